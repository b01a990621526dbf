"""Any causal language model of transformers as an agent: a renderer (`agents.render`) and a local sampler."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from agents.adapter import find_adapter, has_tokenizer, merge, without_adapter
from agents.batching import batching_of
from agents.context import check_length
from agents.decode import Sample
from agents.generation import check_file, check_settings, choose_padding, eos_ids, make_savable, suppress
from agents.render import Messages, Renderer
from agents.sample import Ids, Limit, LocalSampler
from clarify_env.games.base import Reply, View
from clarify_env.games.clarification.prompts import messages
from clarify_env.games.description import ReplyLimit
from clarify_env.plugins import described

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
    try:
        model, tokenizer = _read(path, revision, trust_remote_code, dtype)
        if model.num_parameters() <= SMALL and dtype != torch.float32:
            model, tokenizer = _read(path, revision, trust_remote_code, torch.float32)
        model = model.to(device).eval()
        check_settings(model)
    except Exception as error:  # whatever transformers, quantisers and code that comes with a model raise
        reason = _first_sentence(error)
        if "trust_remote_code" in str(error) and not trust_remote_code:
            trust = f"{option.rpartition('.')[0]}.trust_remote_code=true".removeprefix(".")
            reason = f"it comes with code of its own, which runs only with {trust}"
        raise ValueError(f"{option}: cannot load {str(path)!r}: {reason}") from error
    try:
        batching_of(model)
    except ValueError as error:
        raise ValueError(f"{option}: cannot load {str(path)!r}: {_first_sentence(error)}") from error
    if not tokenizer.chat_template:
        raise ValueError(f"{option}: {str(path)!r} has no chat template, so it cannot take part in a chat")
    choose_padding(model, tokenizer)
    if fault := _beyond_embedding(model, tokenizer):
        raise ValueError(f"{option}: cannot load {str(path)!r}: {fault}")
    suppress(model)
    make_savable(model)
    return model, tokenizer


def _read(
    path: str | Path, revision: str | None, trust_remote_code: bool, dtype: torch.dtype
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Reads a model and its tokenizer; an adapter is merged into its base model."""
    code = {"trust_remote_code": trust_remote_code}
    adapter = find_adapter(path, revision)
    if adapter is None:
        tokenizer = AutoTokenizer.from_pretrained(path, revision=revision, **code)
        return _weights(path, dtype=dtype, revision=revision, **code), tokenizer
    try:
        with without_adapter(adapter) as base:
            source, at = (path, revision) if has_tokenizer(adapter) else (base, adapter.base_revision)
            tokenizer = AutoTokenizer.from_pretrained(source, revision=at, **code)
            model = _weights(base, dtype=dtype, revision=adapter.base_revision, **code)
    except Exception as error:  # as in `load`
        reason = f"it is an adapter of {adapter.base!r}, which cannot be loaded: {_first_sentence(error)}"
        raise ValueError(reason) from error
    return merge(model, tokenizer, adapter), tokenizer


def _weights(path: str | Path, **options: Any) -> PreTrainedModel:
    """Reads a model whose every weight is in its files: transformers would draw those that are missing at random.

    Raises:
        ValueError: A weight is missing, or has another shape than the model's config says; or the generation settings
            cannot be read.
    """
    check_file(path, options["revision"])
    model, report = AutoModelForCausalLM.from_pretrained(
        path, output_loading_info=True, ignore_mismatched_sizes=True, **options
    )
    if mismatched := sorted(report["mismatched_keys"]):
        name, stored, expected = mismatched[0]
        raise ValueError(
            f"{len(mismatched)} of its weights do not fit its config.json, such as {name} of shape {tuple(stored)} "
            f"instead of {tuple(expected)}"
        )
    parameters = dict(model.named_parameters(remove_duplicate=False))
    if missing := sorted(set(report["missing_keys"]) & parameters.keys()):
        raise ValueError(
            f"its files lack {len(missing)} of the {len(parameters)} weights of {type(model).__name__}, such as "
            f"{missing[0]}"
        )
    return model


def _beyond_embedding(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> str:
    """Returns, in words, that a prompt may hold an id without a row of the embedding; empty if none may.

    Control tokens that neither the chat template nor padding writes, as those of images, may have no row.
    """
    rows = model.get_input_embeddings().weight.shape[0]
    special, template = set(tokenizer.all_special_tokens), str(tokenizer.chat_template)
    special |= {added.content for added in tokenizer.added_tokens_decoder.values() if added.special}
    beyond = {
        token: index
        for token, index in tokenizer.get_vocab().items()
        if index >= rows and (token not in special or token in template or token == tokenizer.pad_token)
    }
    if not beyond:
        return ""
    token = min(beyond, key=lambda token: beyond[token])
    return f"ids of its tokenizer, such as {beyond[token]} of {token!r}, lie beyond the {rows} rows of its embedding"


def _first_sentence(error: Exception) -> str:
    # The first sentence states the error; the others give advice about the hub.
    text = " ".join(str(error).split())
    if not text or isinstance(error, LookupError | TypeError | AttributeError):
        text = described(error)
    return text.partition(". ")[0]


class TooLong:
    """Tells whether token ids are a longer message than a game allows.

    Args:
        renderer: Ids to text.
        limit: The game's limit.
    """

    def __init__(self, renderer: Renderer, limit: ReplyLimit):
        self.renderer, self.limit = renderer, limit

    def __call__(self, ids: list[int]) -> bool:
        """Returns whether the ids, without an end token, are too long."""
        most, counted = self.limit
        return (len(ids) if counted is None else counted(self.renderer.decode(ids))) > most


class HFAgent:
    """A language model that plays any role, given views in batches.

    Equal views with equal seeds and openings are computed once.

    Args:
        model: A causal language model.
        tokenizer: Its tokenizer, with a chat template.
        style: Style in which views are rendered, one that `chat` knows.
        chat: Renders a view in a style; called with ``style`` as a keyword. Must be picklable.
        template: Options of the chat template; see `agents.template.ChatTemplate`.
        reasons: Whether replies may begin with reasoning.
        temperature: Sampling temperature; 0 is greedy.
        max_new_tokens: Longest reply in tokens.
        batch: Most replies decoded at once.
        name: Recorded with results.
        option: Name of the option that sets ``max_new_tokens``, for errors.
        section: Config section of the player's options, for errors.
        reply_limit: Returns how long the message at a view may be, which ends it; ``None``: none is limited.

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
        template: Mapping[str, Any] | None = None,
        reasons: bool = False,
        temperature: float = 1.0,
        max_new_tokens: int = 64,
        batch: int = 512,
        name: str = "hf",
        option: str = "max_new_tokens",
        section: str = "assistant",
        reply_limit: Callable[[View], ReplyLimit | None] | None = None,
    ):
        self._reply_limit = reply_limit
        self._limits: dict[ReplyLimit, TooLong] = {}
        self.name, self._option, self._model_option = name, option, f"{option.rpartition('.')[0] or 'agent'}.model"
        ends = eos_ids(model)
        self.renderer = Renderer(
            tokenizer, partial(chat, style=style), template, eos_ids=ends, reasons=reasons, section=section
        )
        self.sampler = LocalSampler(
            model,
            pad_id=self.renderer.pad_id,
            end_id=self.renderer.end_ids,
            temperature=temperature,
            max_new_tokens=max_new_tokens,
            batch=batch,
        )

    def act(self, views: list[View], seeds: list[int], openings: list[str] | None = None) -> list[Reply]:
        """Replies to each view; see `clarify_env.games.agents.Agent`.

        Raises:
            ValueError: An opening is as long as the longest reply, or a prompt with its reply is too long for the
                model.
        """
        requests = self.requests(views, openings)
        prompts, opening_ids = [prompt for prompt, _, _ in requests], [opening for _, opening, _ in requests]
        limits = [limit for _, _, limit in requests]
        return self.replies(requests, self.sampler.sample(prompts, opening_ids, seeds, limits))

    def requests(self, views: list[View], openings: list[str] | None = None) -> list[tuple[Ids, Ids, Limit]]:
        """Encodes views and openings as token ids, for the sampler; see `clarify_env.selfplay.Batched`.

        Raises:
            ValueError: As for `act`.
        """
        distinct_views = list(dict.fromkeys(views))
        prompt_of = dict(zip(distinct_views, self.renderer.encode_all(distinct_views), strict=True))
        texts = openings or [""] * len(views)
        most = self.sampler.max_new_tokens
        opening_of = {text: self.renderer.opening(text, most, self._option) for text in set(texts)}
        prompts, opening_ids = [prompt_of[view] for view in views], [opening_of[text] for text in texts]
        longest = max(map(len, prompts), default=0)
        if prompts:
            sequence = f"a prompt of {longest} tokens with a reply of up to {most} ({self._option})"
            check_length(self.sampler.model, longest + most, sequence, self._model_option)
        limit_of = {view: self._limit(view) for view in distinct_views}
        return list(zip(prompts, opening_ids, [limit_of[view] for view in views], strict=True))

    def _limit(self, view: View) -> Limit:
        limit = self._reply_limit and self._reply_limit(view)
        # One object for each limit: equal requests are answered once.
        return self._limits.setdefault(limit, TooLong(self.renderer, limit)) if limit else None

    def replies(self, requests: Sequence[tuple[Ids, Ids, Limit]], samples: Sequence[Sample]) -> list[Reply]:
        """Decodes the samples of some requests; see `clarify_env.selfplay.Batched`."""
        distinct_ids = list(dict.fromkeys(sample.ids for sample in samples))
        text_of = dict(zip(distinct_ids, self.renderer.decode_all(distinct_ids), strict=True))
        return [
            Reply(text_of[sample.ids], prompt, sample.ids, sample.logprobs, len(opening))
            for sample, (prompt, opening, _) in zip(samples, requests, strict=True)
        ]

    def ended(self, reply: Reply) -> bool:
        """Whether a reply of this agent ended before the limit on its length; see `KnowsEnds`."""
        return not reply.ids or reply.ids[-1] in self.renderer.end_ids
