"""Options of an update, and what follows from them: its steps, its passes and the tokens it reads."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from agents.example import Example
from clarify_env.options import option


@dataclass(frozen=True)
class UpdateOptions:
    """How an update is made (``update.*``)."""

    optimizer: str = option("adamw", choices=("adamw", "muon"))
    """adamw; or muon for the layers' matrices, with AdamW for all other weights (`learning.muon`)."""
    learning_rate: float = option(1e-3, least=0)
    """Peak learning rate of AdamW; Muon's follows from it; at least 0."""
    epochs: float = option(1.0, least=0, most=1_000_000)
    """Passes over the examples; at least 0."""
    least_steps: int = option(0, least=0, most=10**9)
    """Fewest optimizer steps; epochs that make fewer are repeated, since few examples would be learned too little."""
    batch: int = option(64, least=1)
    """Examples a step and device; at least 1."""
    lengths: str = option("alike", choices=("alike", "mixed"))
    """Examples of a step. alike: of similar length (little padding), and the loss is the mean over the step's own
    tokens, so that a token of a short example weighs more than one of a long example. mixed: of all lengths, and the
    loss of every step is divided by the mean number of tokens of a step, so that all tokens weigh the same."""
    warmup: float = option(0.05, least=0, most=1)
    """Share of the steps in which the learning rate rises, in [0, 1]; it then falls to zero along a cosine."""
    weight_decay: float = option(0.01, least=0)
    """Weight decay of either optimizer; at least 0."""
    tokens: int = option(16_384, least=1)
    """Most tokens computed at once; the examples of a step are split to fit. Halved when memory runs out. Not of GRPO,
    which computes update.batch games at once."""
    packed: bool = option(False)
    """Compute prefixes that examples share once (`learning.packing`), if the model can; steps mix fewer episodes. Not
    of contrastive training and GRPO."""
    contexts: int = option(4, least=1)
    """Contexts that a packed step mixes, with batch / contexts examples of each: more of them make steps less noisy
    and share fewer prefixes; at least 1."""
    checkpointing: bool = option(False)
    """Compute activations anew in the backward pass: less memory, about a third more time."""
    lora_rank: int = option(0, least=0)
    """Rank of low-rank adapters on all linear layers, merged after the update; 0 trains every weight."""
    layers: int = option(0, least=0)
    """Uppermost layers of the model that get the adapters, those below do not learn; 0: all layers."""
    runs: int = option(1, least=1, most=1000)
    """Updates from the same start with other orders of the examples, whose weights are averaged; at least 1."""

    def __post_init__(self) -> None:
        if self.layers and not self.lora_rank:
            raise ValueError(f"update.layers={self.layers} needs update.lora_rank: without adapters, all layers learn")


def number_of_steps(examples: int, config: UpdateOptions) -> int:
    """Returns the optimizer steps of one run: max(1, round(ceil(examples / batch) epochs), least_steps)."""
    return max(1, round(math.ceil(examples / config.batch) * config.epochs), config.least_steps)


def passes(examples: int, config: UpdateOptions) -> float:
    """Returns how often one run of an update reads each example."""
    return number_of_steps(examples, config) / math.ceil(examples / config.batch)


def update_tokens(examples: Sequence[Example], config: UpdateOptions) -> int:
    """Returns the number of tokens that an update reads, prompts included."""
    tokens = sum(len(example.prompt_ids) + len(example.ids) for example in examples)
    return round(config.runs * passes(len(examples), config) * tokens)


def check_finite(name: str, value: float) -> None:
    """Raises FloatingPointError if a value is not finite."""
    if not math.isfinite(value):
        raise FloatingPointError(f"the {name} became {value}; a lower update.learning_rate may help")


def check_alike(options: UpdateOptions, method: str) -> None:
    """Checks that an update by TRL's trainers, which make its steps themselves, is asked for no other steps.

    Raises:
        ValueError: ``update.lengths``, ``update.packed`` or ``update.contexts`` is not the default.
    """
    defaults = UpdateOptions()
    for name in ("lengths", "packed", "contexts"):
        if (value := getattr(options, name)) != getattr(defaults, name):
            text = str(value).lower()
            raise ValueError(f"update.{name}={text} has no effect on {method}, whose steps TRL's trainer makes")
