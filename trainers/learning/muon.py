"""The optimizer of most updates."""

import torch


class Muon(torch.optim.Optimizer):
    """Muon (momentum, orthogonalised) on the layers' matrices, AdamW on embeddings, output head, gains and biases.

    Facts seen rarely are learned in fewer steps than by AdamW alone. Both have the same rate, Muon's scaled as torch's
    ``match_rms_adamw`` does.

    Args:
        model: What is trained.
        rate: Of both.
        decay: Weight decay of both.
    """

    def __init__(self, model: torch.nn.Module, rate: float, decay: float):
        tables = {id(p) for m in model.modules() if isinstance(m, torch.nn.Embedding) for p in m.parameters()}
        head = model.get_output_embeddings()
        tables |= {id(p) for p in head.parameters()} if head is not None else set()
        trained = [p for p in model.parameters() if p.requires_grad]
        matrices = [p for p in trained if p.ndim == 2 and id(p) not in tables]
        rest = [p for p in trained if p.ndim != 2 or id(p) in tables]
        self._parts: list[torch.optim.Optimizer] = []
        if matrices:
            self._parts.append(torch.optim.Muon(matrices, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"))
        if rest:
            self._parts.append(torch.optim.AdamW(rest, lr=rate, weight_decay=decay))
        # The groups are shared, so that a schedule set on this optimizer moves the rates of both.
        super().__init__([group for part in self._parts for group in part.param_groups], {})

    @torch.no_grad()
    def step(self, closure=None):
        """One step of both."""
        for part in self._parts:
            part.step()
