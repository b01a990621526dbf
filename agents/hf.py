"""Any causal language model of transformers as an agent."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from agents.decode import decode, left_pad
from clarify_env.games.base import Reply, View
from clarify_env.games.clarification.prompts import messages

# Models of at most so many parameters leave most of a processor idle. On a GPU bf16 makes them no faster, but rounds
# what they learn: on an H100 ReST took the embedded model, in 245 s, to 94.0 % of the oracle beyond both and closed .30
# of the gap beyond beta; in float32, in 242 s, to 94.6 % and .50.
SMALL = 20_000_000

# What a template writes between messages without its being a token of its own, such as [INST] or <<SYS>>.
_MARKER = re.compile(r"<\|[^|<>]*\|>|<</?[A-Za-z_]+>>|</?[A-Za-z_]+>|\[/?[A-Z_]+\]")


class Row(NamedTuple):
    """A prompt and a reply as token ids, with the weight of the reply's loss.

    Attributes:
        prompt_ids: Token ids of the prompt.
        ids: Token ids of the reply.
        weight: Of each reply token's loss.
        lead: Weights of the reply's first tokens, where these differ.
        instead: Position in the reply, and the id that is learned there in place of the reply's own.
    """

    prompt_ids: tuple[int, ...]
    ids: tuple[int, ...]
    weight: float = 1.0
    lead: tuple[float, ...] = ()
    instead: tuple[int, int] | None = None


def load(
    path: str | Path, *, revision: str | None = None, trust_remote_code: bool = False, device: str | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Loads a model and its tokenizer by folder or hub id: bf16 on a GPU that has it, float32 elsewhere.

    Small models (`SMALL`) are float32 everywhere. On a GPU, torch's choice of attention kernels is narrowed for the
    whole process: cuDNN's are left out.

    Raises:
        ValueError: The model cannot be loaded, or has no chat template; the message says which.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.float32
    if device.startswith("cuda"):
        # The gradients of some batches padded on the left were NaN by cuDNN (torch 2.11, H100, bf16), and by no other
        # kernel; and it plans anew for each length: games took 104 s instead of 35 s.
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
        # The first sentence says what is wrong; what follows is advice about the hub.
        reason = str(error).strip().splitlines()[0].partition(". ")[0]
        raise ValueError(f"assistant.model: cannot load {str(path)!r}: {reason}") from error
    if not tokenizer.chat_template:
        raise ValueError(f"assistant.model: {str(path)!r} has no chat template, so it cannot take part in a chat")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model, tokenizer


class HFAgent:
    """A language model that plays either role, given views in batches.

    Equal views with equal seeds are computed once; a prompt that several rows share is computed once.

    Args:
        model: A causal language model.
        tokenizer: Its tokenizer, with a chat template.
        style: How views are rendered; see `clarify_env.games.clarification.prompts.messages`.
        temperature: Of sampling; 0 is greedy.
        max_new_tokens: Longest reply in tokens.
        batch: Most rows decoded at once.
        name: Recorded with results.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        style: str = "zero_shot",
        temperature: float = 1.0,
        max_new_tokens: int = 64,
        batch: int = 512,
        name: str = "hf",
    ):
        self.model, self.tokenizer, self.style = model, tokenizer, style
        self.temperature, self.max_new_tokens, self.batch, self.name = temperature, max_new_tokens, batch, name
        self._end = _end_of_turn(tokenizer)
        self._reserved = sorted({*tokenizer.all_special_tokens, *_markers(tokenizer)}, key=len, reverse=True)
        self.generated_tokens = 0

    def encode(self, view: View) -> tuple[int, ...]:
        """Token ids of the prompt for a view; no message can smuggle in a control token of the template."""
        return self._encode([view])[0]

    def _encode(self, views: list[View]) -> list[tuple[int, ...]]:
        texts = []
        for view in views:
            chat = [m | {"content": self._scrub(m["content"])} for m in messages(view, self.style)]
            texts.append(self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True))
        return [tuple(ids) for ids in self.tokenizer(texts, add_special_tokens=False)["input_ids"]]

    def _scrub(self, text: str) -> str:
        # A space takes the marker's place, so that what stood around it cannot close up to a new one;
        # the loop is for tokenizers whose markers hold spaces.
        while any(marker in text for marker in self._reserved):
            for marker in self._reserved:
                text = text.replace(marker, " ")
        return text

    def tokenize_reply(self, text: str) -> tuple[int, ...]:
        """Token ids of a whole reply written by hand, end of turn included."""
        return (*self.tokenizer(self._scrub(text), add_special_tokens=False)["input_ids"], self._end)

    def leading(self, ids: Sequence[int], characters: int) -> int:
        """How many leading ids it takes to write so many characters."""
        return next((n for n in range(len(ids)) if len(self.tokenizer.decode(ids[:n])) >= characters), len(ids))

    def act(self, views: list[View], seeds: list[int], prefixes: list[str] | None = None) -> list[Reply]:
        """Replies to each view; see `clarify_env.games.base.Agent`."""
        distinct_views = list(dict.fromkeys(views))
        prompt_of = dict(zip(distinct_views, self._encode(distinct_views), strict=True))
        openings = {prefix: self._opening(prefix) for prefix in set(prefixes or [""])}
        keys = [
            (prompt_of[view], openings[prefix], seed if self.temperature else 0)
            for view, seed, prefix in zip(views, seeds, prefixes or [""] * len(views), strict=True)
        ]
        # Rows of like length share a batch, and rows of one prompt stand together.
        distinct = sorted(set(keys), key=lambda key: (len(key[0]), key))
        replies: dict[tuple, Reply] = {}
        for start in range(0, len(distinct), self.batch):
            chunk = distinct[start : start + self.batch]
            replies.update(zip(chunk, self._decode(chunk), strict=True))
        return [replies[key] for key in keys]

    def _decode(self, keys: list[tuple]) -> list[Reply]:
        prompts = list(dict.fromkeys(key[0] for key in keys))
        index = {prompt: i for i, prompt in enumerate(prompts)}
        samples = decode(
            self.model,
            prompts,
            [index[key[0]] for key in keys],
            [key[1] for key in keys],
            [key[2] for key in keys],
            temperature=self.temperature,
            max_new_tokens=self.max_new_tokens,
            end=self._end,
            pad=self.tokenizer.pad_token_id,
        )
        self.generated_tokens += sum(len(sample.ids) - len(key[1]) for sample, key in zip(samples, keys, strict=True))
        texts = self.tokenizer.batch_decode(
            [sample.ids[: -1 if sample.ids[-1] == self._end else None] for sample in samples]
        )
        return [
            Reply(text, key[0], sample.ids, sample.logprobs, len(key[1]))
            for text, sample, key in zip(texts, samples, keys, strict=True)
        ]

    def _opening(self, prefix: str) -> tuple[int, ...]:
        opening = tuple(self.tokenizer(prefix, add_special_tokens=False)["input_ids"]) if prefix else ()
        if len(opening) >= self.max_new_tokens:
            raise ValueError(
                f"assistant.max_new_tokens={self.max_new_tokens} leaves no room after the opening {prefix!r}"
            )
        return opening

    @torch.inference_mode()
    def logprobs(self, rows: Sequence[Row]) -> list[list[float]]:
        """Log-probabilities (nats, temperature 1) of each row's reply ids under the model."""
        result = []
        for start in range(0, len(rows), self.batch):
            chunk = rows[start : start + self.batch]
            ids, mask = left_pad([(*row.prompt_ids, *row.ids) for row in chunk], self.tokenizer.pad_token_id)
            longest = max(len(row.ids) for row in chunk)
            out = self.model(
                input_ids=ids.to(self.model.device),
                attention_mask=mask.to(self.model.device),
                position_ids=(mask.cumsum(1) - 1).clamp(min=0).to(self.model.device),
                logits_to_keep=longest + 1,
            )
            logprob = out.logits[:, :-1].float().log_softmax(-1)
            target = ids[:, -longest:].to(logprob.device)
            picked = logprob.gather(2, target[..., None])[..., 0].tolist()
            result += [values[longest - len(row.ids) :] for values, row in zip(picked, chunk, strict=True)]
        return result


def _end_of_turn(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that ends an assistant message in the template; the end-of-text token where none does."""
    probe = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    text = tokenizer.apply_chat_template(probe, tokenize=False)
    tail = tokenizer(text[text.rindex("b") + 1 :], add_special_tokens=False)["input_ids"]
    special = set(tokenizer.all_special_ids)
    return next((token for token in tail if token in special), tokenizer.eos_token_id)


def _markers(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """What sets messages apart in the tokenizer's template, and so must not stand inside one."""
    added = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    return added + _MARKER.findall(tokenizer.chat_template)
