"""Any causal language model of transformers as an agent: a renderer (`agents.render`) and a local sampler."""

from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from agents.render import Messages, Renderer
from agents.sample import LocalSampler
from clarify_env.games.base import Reply, View
from clarify_env.games.clarification.prompts import messages

# Largest number of parameters of a model that stays in float32 on a GPU (docs/results.md, "Why small models stay
# float32 on a GPU"), and of which several copies are played at once on a CPU.
SMALL = 20_000_000


class Chat(Protocol):
    """Renders a view as chat messages, in a style."""

    def __call__(self, view: View, style: str) -> Messages:
        """Returns messages with ``role`` and ``content``."""
        ...


def load(
    path: str | Path,
    *,
    revision: str | None = None,
    trust_remote_code: bool = False,
    device: str | None = None,
    option: str = "assistant.model",
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Loads a model and its tokenizer by folder or hub id: bf16 on a GPU that has it, float32 elsewhere.

    Models of at most `SMALL` parameters are float32 everywhere. On a GPU, cuDNN's attention kernels are disabled for
    the whole process.

    Args:
        path: Folder or hub id.
        revision: Revision of the hub id; ``None``: the newest.
        trust_remote_code: Whether to run code that comes with the model.
        device: Device of the model; ``None``: a GPU if there is one.
        option: Name of the option that chose the path, for errors.

    Raises:
        ValueError: The model cannot be loaded, or has no chat template; the message says which.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.float32
    if device.startswith("cuda"):
        # cuDNN attention gives NaN gradients and is slow with many lengths (docs/results.md, "Why cuDNN's attention is
        # off").
        torch.backends.cuda.enable_cudnn_sdp(False)
        dtype = torch.bfloat16 if torch.cuda.is_bf16_supported() else dtype
    options = {"revision": revision, "trust_remote_code": trust_remote_code}
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, **options)
        model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype, **options)
        if model.num_parameters() <= SMALL and dtype != torch.float32:
            model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, **options)
        model = model.to(device).eval()
    except (OSError, ValueError, SafetensorError) as error:
        # Keep the first sentence, which states the error; the others give advice about the hub.
        reason = str(error).strip().splitlines()[0].partition(". ")[0]
        raise ValueError(f"{option}: cannot load {str(path)!r}: {reason}") from error
    if not tokenizer.chat_template:
        raise ValueError(f"{option}: {str(path)!r} has no chat template, so it cannot take part in a chat")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model, tokenizer


class HFAgent:
    """A language model that plays any role, given views in batches.

    Equal views with equal seeds and openings are computed once.

    Args:
        model: A causal language model.
        tokenizer: Its tokenizer, with a chat template.
        style: Style in which views are rendered, one that `chat` knows.
        chat: Renders a view in a style; called with ``style`` as a keyword. Must be picklable.
        temperature: Sampling temperature; 0 is greedy.
        max_new_tokens: Longest reply in tokens.
        batch: Most replies decoded at once.
        name: Recorded with results.
        option: Name of the option that sets ``max_new_tokens``, for errors.

    Attributes:
        renderer: Views to token ids, and ids to text.
        sampler: Token ids to token ids.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        style: str = "zero_shot",
        chat: Chat = messages,
        temperature: float = 1.0,
        max_new_tokens: int = 64,
        batch: int = 512,
        name: str = "hf",
        option: str = "max_new_tokens",
    ):
        self.name, self._option = name, option
        self.renderer = Renderer(tokenizer, partial(chat, style=style))
        self.sampler = LocalSampler(
            model,
            pad_id=self.renderer.pad_id,
            end_id=self.renderer.end_id,
            temperature=temperature,
            max_new_tokens=max_new_tokens,
            batch=batch,
        )

    def act(self, views: list[View], seeds: list[int], openings: list[str] | None = None) -> list[Reply]:
        """Replies to each view; see `clarify_env.games.base.Agent`.

        Raises:
            ValueError: An opening is as long as the longest reply.
        """
        distinct_views = list(dict.fromkeys(views))
        prompt_of = dict(zip(distinct_views, self.renderer.encode_all(distinct_views), strict=True))
        texts = openings or [""] * len(views)
        most = self.sampler.max_new_tokens
        opening_of = {text: self.renderer.opening(text, most, self._option) for text in set(texts)}
        prompts, opening_ids = [prompt_of[view] for view in views], [opening_of[text] for text in texts]
        samples = self.sampler.sample(prompts, opening_ids, seeds)
        distinct_ids = list(dict.fromkeys(sample.ids for sample in samples))
        text_of = dict(zip(distinct_ids, self.renderer.decode_all(distinct_ids), strict=True))
        return [
            Reply(text_of[sample.ids], prompt, sample.ids, sample.logprobs, len(opening))
            for sample, prompt, opening in zip(samples, prompts, opening_ids, strict=True)
        ]
