"""Small tokenizers of the kinds that families of chat models have, and what is decoded back from their ids."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from chat_families import BAR, ChatFamily
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

# Added tokens of Gemma and others that are ordinary text.
ORDINARY = {"\n", "\n\n", "▁▁", "<table>", "<h1>", "<b>", "<code>", "</code>"}


def chat_tokenizer(
    family: ChatFamily, texts: Iterable[str] = (), vocabulary: int = 400, **options
) -> PreTrainedTokenizerFast:
    """Makes a tokenizer of a family's kind with its tokens and template; merges are learned from the texts.

    ``vocabulary`` counts neither control tokens nor the pieces for single bytes of SentencePiece.
    """
    tokenizer = _pieces(texts, vocabulary) if family.kind in ("pieces", "prefixed") else _bytes(texts, vocabulary)
    if family.kind == "nfc":
        tokenizer.normalizer = normalizers.NFC()
    elif family.kind == "prefixed":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.decoder = decoders.Sequence([tokenizer.decoder, decoders.Strip(" ", 1, 0)])
    strips = family.kind == "prefixed"  # the tokens of Phi 3 take white space behind them
    tokenizer.add_special_tokens(
        [AddedToken(text, special=True, rstrip=strips and text.startswith("<|")) for text in family.special]
    )
    # As published: special ones are looked up in the text as it is, those of DeepSeek after normalisation.
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=BAR in text) for text in family.added])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=family.special[0],
        eos_token=family.eos,
        pad_token=next((text for text in family.special if "pad" in text), family.special[1]),
        clean_up_tokenization_spaces=False,
        chat_template=family.template,
        **options,
    )


def _bytes(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _pieces(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    learner = Tokenizer(models.BPE())
    learner.normalizer = normalizers.Replace(" ", "▁")
    learner.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    alphabet = [chr(code) for code in range(0x21, 0x7F)] + ["▁", "\n"]
    learner.train_from_iterator(
        texts,
        trainers.BpeTrainer(vocab_size=max(vocabulary, len(alphabet)), initial_alphabet=alphabet, show_progress=False),
    )
    learned = Words.of(learner)
    words = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *learned.words]
    tokenizer = Tokenizer(
        models.BPE(
            vocab={word: index for index, word in enumerate(words)},
            merges=learned.merges,
            unk_token="<unk>",
            byte_fallback=True,
            fuse_unk=True,
        )
    )
    tokenizer.normalizer = learner.normalizer
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return tokenizer


class Words(NamedTuple):
    """Words and merges of a learned BPE."""

    words: list[str]
    merges: list[tuple[str, str]]

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> "Words":
        """Reads them from a tokenizer."""
        model = json.loads(tokenizer.to_str())["model"]
        return cls(sorted(model["vocab"], key=model["vocab"].get), [tuple(pair) for pair in model["merges"]])


class Decoder:
    """Decodes roles and control tokens from the token ids of prompts.

    Attributes:
        control: Ids of the control tokens: all added tokens but white space and HTML tags.
    """

    def __init__(self, family: ChatFamily, tokenizer: PreTrainedTokenizerFast):
        added = {index: token for token, index in tokenizer.get_added_vocab().items() if token not in ORDINARY}
        self.control = set(added)
        self._turn = re.compile(family.turn)
        self._written = [
            f"⟦{added[index]}⟧" if index in added else tokenizer.decode([index]) for index in range(len(tokenizer))
        ]

    def structure(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Returns the control ids, in order."""
        return tuple(token for token in ids if token in self.control)

    def roles(self, ids: Sequence[int]) -> list[str]:
        """Returns the names of the roles, a name a turn."""
        return self._turn.findall("".join(map(self._written.__getitem__, ids)))
