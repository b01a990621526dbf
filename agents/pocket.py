"""The pocket model: a small causal language model with its own tokenizer, made for one task (DESIGN section 5)."""

from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from clarify_env.actions import TAGS

END, PAD = "<|end|>", "<|pad|>"
_ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
# The shipped models by the task they were made for.
SHIPPED = {task: Path(__file__).parent / f"pocket_{task}" for task in ("almanac",)}


def build_tokenizer(texts: Iterable[str], vocabulary: int, whole: Iterable[str] = ()) -> PreTrainedTokenizerFast:
    """Trains a byte-level BPE tokenizer: any string round-trips, each digit and each tag is one token.

    Args:
        texts: What to train on.
        vocabulary: Most tokens, those of ``whole`` aside.
        whole: Words that are one token each where they stand alone, such as years.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [PAD, END, *_ROLES]
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )  # fmt: skip
    tokenizer.add_tokens([*TAGS, *(AddedToken(word, single_word=True, normalized=False) for word in whole)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, padding_side="left",
                                   extra_special_tokens=list(_ROLES), clean_up_tokenization_spaces=False)  # fmt: skip
    fast.chat_template = TEMPLATE
    return fast


def build_model(tokenizer: PreTrainedTokenizerFast, *, width: int, layers: int, heads: int, kv_heads: int,
                feed_forward: int) -> LlamaForCausalLM:  # fmt: skip
    """Makes a Llama with random weights (drawn from torch's global generator) for the tokenizer.

    Few key-value heads keep the cache small, which is most of what decoding on a CPU waits for.
    """
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=feed_forward,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=kv_heads,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
