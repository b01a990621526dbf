"""The pocket model: a small causal language model with its own tokenizer, made for one task (docs/design.md)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clarify_env.games.clarification.actions import TAGS

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

END, PAD = "<|end|>", "<|pad|>"
_ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
# Folders of the shipped models, by task.
SHIPPED = {
    task: Path(__file__).parent / f"pocket_{task}"
    for task in ("almanac", "archives", "boxes", "ledger", "ping_names", "workshop")
}


def build_tokenizer(
    texts: Iterable[str], vocabulary: int, whole: Iterable[str] = (), tags: Iterable[str] = TAGS
) -> PreTrainedTokenizerFast:
    """Trains a byte-level BPE tokenizer: any string round-trips, each digit and each tag is one token.

    Args:
        texts: Training texts.
        vocabulary: Maximum number of tokens, not counting those of ``whole``.
        whole: Texts that become one token each. A text that begins with a space matches anywhere, the longest first:
            ``" 23"`` is one token, while the 23 of ``0.23`` is two. Any other text matches only as a whole word, such
            as a year.
        tags: Texts with which messages begin, one token each.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [PAD, END, *_ROLES]
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    words = (AddedToken(text, single_word=not text.startswith(" "), normalized=False) for text in whole)
    tokenizer.add_tokens([*tags, *words])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        padding_side="left",
        extra_special_tokens=list(_ROLES),
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = TEMPLATE
    return fast


def is_pocket(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Returns whether a tokenizer is that of a pocket model, by its chat template."""
    return isinstance(tokenizer.chat_template, str) and tokenizer.chat_template.strip() == TEMPLATE


def build_model(
    tokenizer: PreTrainedTokenizerFast,
    *,
    width: int,
    layers: int | Sequence[str],
    heads: int,
    kv_heads: int,
    feed_forward: int,
    init: float | None = None,
) -> PreTrainedModel:
    """Makes a model with random weights (drawn from torch's global generator) for the tokenizer.

    Args:
        tokenizer: Tokenizer; its size is the size of the model's vocabulary.
        width: Width of the residual stream.
        layers: Number of layers of a Llama; or the kind of each layer of an LFM2, ``"conv"`` (a short convolution) or
            ``"full_attention"``. Convolutions mix each token with its neighbours, so the model learns many times faster
            to look facts up in its context (arXiv 2312.04927).
        heads: Number of attention heads.
        kv_heads: Number of key-value heads. Few heads make a small cache; reading it limits the speed of decoding on a
            CPU.
        feed_forward: Inner width of the feed-forward blocks.
        init: Standard deviation of the initial weights; ``None``: 0.02, transformers' default.

    Raises:
        ValueError: A layer's kind is unknown.
    """
    from transformers import Lfm2Config, Lfm2ForCausalLM, LlamaConfig, LlamaForCausalLM

    common = {
        "vocab_size": len(tokenizer),
        "hidden_size": width,
        "intermediate_size": feed_forward,
        "num_hidden_layers": layers if isinstance(layers, int) else len(layers),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        **({} if init is None else {"initializer_range": init}),
    }
    if isinstance(layers, int):
        return LlamaForCausalLM(LlamaConfig(**common))
    if unknown := set(layers) - {"conv", "full_attention"}:
        raise ValueError(f"pretrain.model.layers: conv or full_attention, not {', '.join(sorted(unknown))}")
    rope = {"rope_type": "default", "rope_theta": 10_000.0}
    return Lfm2ForCausalLM(
        Lfm2Config(**common, layer_types=list(layers), block_auto_adjust_ff_dim=False, rope_parameters=rope)
    )
