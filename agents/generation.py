"""A model's own generation settings (``generation_config.json``): which are honoured, and which are not.

Honoured: every id that ends a text, the padding token, and the ids that are never to be written, which have
probability 0 in sampling, scoring and learning alike. Not honoured: what shapes sampling otherwise, since the
log-probabilities that methods learn from must be those of the distribution sampled from.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import GENERATION_CONFIG_NAME, cached_file

# Logit of suppressed ids, less what the model computes. Not -inf, which makes entropies NaN.
_NEVER = -1e4
# Settings that change what is written, with the value at which each does nothing, beside null.
_SHAPING = {
    "temperature": 1.0,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "top_h": 1.0,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "exponential_decay_length_penalty": None,
    "num_beams": 1,
    "min_length": 0,
    "min_new_tokens": 0,
    "begin_suppress_tokens": None,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "sequence_bias": None,
    "guidance_scale": 1.0,
    "watermarking_config": None,
    "stop_strings": None,
}


def eos_ids(model: PreTrainedModel | None) -> tuple[int, ...]:
    """Returns the ids that end a text by the model's generation settings; a setting may name one or several."""
    ids = _setting(model, "eos_token_id")
    return () if ids is None else (ids,) if isinstance(ids, int) else tuple(ids)


def check_file(path: str | Path, revision: str | None) -> None:
    """Checks that a model's ``generation_config.json``, if it has one, can be read: transformers goes on without it.

    Raises:
        ValueError: It is no JSON object.
    """
    file = cached_file(
        str(path),
        GENERATION_CONFIG_NAME,
        revision=revision,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    if file is None:
        return
    try:
        settings = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"its {GENERATION_CONFIG_NAME} cannot be read: {error}") from error
    if not isinstance(settings, dict):
        raise ValueError(f"its {GENERATION_CONFIG_NAME} must hold an object, not {type(settings).__name__}")


def check_settings(model: PreTrainedModel) -> None:
    """Checks the types of the settings that are read here.

    Raises:
        ValueError: A setting of ids is something else.
    """
    kinds = {"eos_token_id": "an id or a list of ids", "pad_token_id": "an id", "suppress_tokens": "a list of ids"}
    for name, kind in kinds.items():
        value = _setting(model, name)
        is_list = isinstance(value, list | tuple)
        fits = name == "eos_token_id" or is_list == (name == "suppress_tokens")
        if value is not None and not (fits and all(type(index) is int for index in (value if is_list else [value]))):
            raise ValueError(f"{name} of its generation settings must be {kind}, not {value!r}")


def suppressed_ids(model: PreTrainedModel | None) -> tuple[int, ...]:
    """Returns the ids that are never written: ``suppress_tokens``, and words of one token of ``bad_words_ids``."""
    words = _setting(model, "bad_words_ids") or []
    return tuple(dict.fromkeys([*(_setting(model, "suppress_tokens") or []), *(w[0] for w in words if len(w) == 1)]))


def suppress(model: PreTrainedModel) -> None:
    """Gives suppressed ids probability 0 in sampling, scoring and learning, by a bias of the output head.

    Learning may compute log-probabilities from the head's weights, without the model's logits.
    """
    head, ids = _head(model), suppressed_ids(model)
    if head is None or not ids:
        return
    if head.bias is None:
        bias = torch.zeros(head.out_features, dtype=head.weight.dtype, device=head.weight.device)
        del head.bias
        head.register_buffer("bias", bias, persistent=False)  # neither learned nor saved
    with torch.no_grad():
        head.bias[[index for index in ids if 0 <= index < head.out_features]] = _NEVER


def _head(model: PreTrainedModel | None) -> torch.nn.Linear | None:
    head = model.get_output_embeddings() if isinstance(model, PreTrainedModel) else None
    return head if isinstance(head, torch.nn.Linear) else None


def make_savable(model: PreTrainedModel) -> None:
    """Changes generation settings that transformers would refuse to save with a trained model.

    Published settings may contradict themselves, as a temperature without ``do_sample``; they can be saved as long as
    nothing else in them changes, and trainers change them.
    """
    settings = getattr(model, "generation_config", None)
    if settings is None or _savable(settings):
        return
    settings.do_sample = True
    if not _savable(settings):
        names = ("eos_token_id", "pad_token_id", "bos_token_id", "suppress_tokens", "bad_words_ids")
        model.generation_config = GenerationConfig(**{name: getattr(settings, name) for name in names})


def _savable(settings: GenerationConfig) -> bool:
    try:
        settings.validate(strict=True)
    except ValueError:
        return False
    return True


def choose_padding(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Gives a tokenizer without a padding token one: that of the model's generation settings, or the end of text.

    Padding is masked everywhere, so which token it is makes no difference.
    """
    if tokenizer.pad_token_id is not None:
        return
    added = {index: token.content for index, token in tokenizer.added_tokens_decoder.items()}
    choices = [_setting(model, "pad_token_id"), tokenizer.eos_token_id, *eos_ids(model), *tokenizer.all_special_ids]
    tokenizer.pad_token = next((added[index] for index in choices if index in added), tokenizer.eos_token)


def played_settings(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, end_ids: Sequence[int], max_new_tokens: int
) -> GenerationConfig:
    """Returns generation settings by which ``generate`` of transformers samples as the project plays.

    Args:
        model: Its suppressed ids are kept.
        tokenizer: Names the padding token.
        end_ids: Ids that end a reply, at least one.
        max_new_tokens: Longest reply in tokens.

    Returns:
        Sampling at temperature 1 from the whole distribution; with ``do_sample=False`` generation is greedy.
    """
    own_ids = {name: _setting(model, name) for name in ("bos_token_id", "suppress_tokens", "bad_words_ids")}
    return GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=max_new_tokens,
        eos_token_id=list(end_ids),
        pad_token_id=tokenizer.pad_token_id,
        **own_ids,
    )


def not_honoured(model: PreTrainedModel | None) -> str:
    """Returns the settings that change what ``generate`` writes and are not honoured here, as ``top_p=0.9``."""
    values = {name: _setting(model, name) for name in _SHAPING}
    named = [f"{name}={value}" for name, value in values.items() if value not in (None, _SHAPING[name])]
    if any(len(word) > 1 for word in _setting(model, "bad_words_ids") or []):
        named.append("bad_words_ids (words of several tokens)")
    if isinstance(model, PreTrainedModel) and _head(model) is None and suppressed_ids(model):
        named.append(f"suppressed ids {list(suppressed_ids(model))} (the model has no linear output head)")
    return ", ".join(named)


def _setting(model: PreTrainedModel | None, name: str) -> Any:
    return getattr(getattr(model, "generation_config", None), name, None)
