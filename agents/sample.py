"""Samplers: token ids to token ids and log-probabilities. Text is handled by `agents.render`."""

from collections.abc import Callable, Hashable, Sequence
from typing import Protocol

import torch
from transformers import PreTrainedModel

from agents.batching import batching_of
from agents.context import check_length
from agents.decode import Sample, decode
from agents.example import Example
from agents.forward import evaluating, forward_of, pad_rows, positions

Ids = tuple[int, ...]
# Whether ids are a reply that is too long; ``None``: a reply has no limit but that of its tokens.
Limit = Callable[[list[int]], bool] | None


class Sampler(Protocol):
    """A language model as seen by an agent: a local one (`LocalSampler`), or one behind a server."""

    def sample(
        self, prompts: Sequence[Ids], openings: Sequence[Ids], seeds: Sequence[int], limits: Sequence[Limit] = ()
    ) -> list[Sample]:
        """Samples a reply to each prompt; a reply depends only on its prompt, opening, seed and limit.

        Args:
            prompts: Token ids of the prompts.
            openings: Token ids that each reply starts with; may be empty.
            seeds: One seed per reply.
            limits: One limit per reply, before which it ends; empty: none is limited.

        Returns:
            Ids (including opening and end token) and log-probabilities (nats) of each reply.
        """
        ...

    def logprobs(self, examples: Sequence[Example]) -> list[list[float]]:
        """Returns the log-probabilities (nats, temperature 1) of each example's reply ids."""
        ...


class LocalSampler:
    """Samples from a model in this process, and scores under it.

    Equal (prompt, opening, seed) are decoded once. A prompt shared by several replies is prefilled once per batch.

    Args:
        model: A causal language model of transformers.
        pad_id: Id to pad with.
        end_id: Id that ends a reply, or several.
        temperature: Sampling temperature; 0 is greedy and ignores seeds.
        max_new_tokens: Longest reply in tokens.
        batch: Most replies decoded, or examples scored, at once.

    Attributes:
        generated_tokens: Number of tokens sampled so far, excluding openings.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        pad_id: int,
        end_id: int | Sequence[int],
        temperature: float = 1.0,
        max_new_tokens: int = 64,
        batch: int = 512,
    ):
        self.model, self.pad_id, self.end_id = model, pad_id, end_id
        self.temperature, self.max_new_tokens, self.batch = temperature, max_new_tokens, batch
        self.generated_tokens = 0

    @property
    def settings(self) -> Hashable:
        """All that decides its replies: agents whose samplers have equal settings may share one."""
        ends = (self.end_id,) if isinstance(self.end_id, int) else tuple(self.end_id)
        return id(self.model), self.pad_id, ends, self.temperature, self.max_new_tokens, self.batch

    def sample(
        self, prompts: Sequence[Ids], openings: Sequence[Ids], seeds: Sequence[int], limits: Sequence[Limit] = ()
    ) -> list[Sample]:
        """Samples a reply to each prompt; see `Sampler`."""
        keys = [
            (prompt, opening, seed if self.temperature else 0, limit)
            for prompt, opening, seed, limit in zip(
                prompts, openings, seeds, limits or [None] * len(prompts), strict=True
            )
        ]
        # Replies to prompts of similar length share a batch; replies to one prompt are neighbours.
        distinct = sorted(dict.fromkeys(keys), key=lambda key: (len(key[0]), key[:3]))
        samples: dict[tuple[Ids, Ids, int, Limit], Sample] = {}
        for start in range(0, len(distinct), self.batch):
            chunk = distinct[start : start + self.batch]
            samples.update(zip(chunk, self._decode(chunk), strict=True))
        return [samples[key] for key in keys]

    def _decode(self, keys: list[tuple[Ids, Ids, int, Limit]]) -> list[Sample]:
        prompts, openings, seeds, limits = zip(*keys, strict=True)
        index = {prompt: i for i, prompt in enumerate(dict.fromkeys(prompts))}
        samples = decode(
            self.model,
            list(index),
            [index[prompt] for prompt in prompts],
            openings,
            seeds,
            temperature=self.temperature,
            max_new_tokens=self.max_new_tokens,
            end=self.end_id,
            pad=self.pad_id,
            limits=limits if any(limits) else (),
        )
        self.generated_tokens += sum(len(sample.ids) - len(o) for sample, o in zip(samples, openings, strict=True))
        return samples

    @torch.inference_mode()
    def logprobs(self, examples: Sequence[Example]) -> list[list[float]]:
        """Returns the log-probabilities (nats, temperature 1) of each example's reply ids; see `Sampler`."""
        result: list[list[float]] = []
        forward, side = forward_of(self.model), batching_of(self.model).side
        for start in range(0, len(examples), self.batch):
            chunk = examples[start : start + self.batch]
            total = max(len(example.prompt_ids) + len(example.ids) for example in chunk)
            check_length(self.model, total, f"a text of {total} tokens to score")
            ids, mask = pad_rows([(*example.prompt_ids, *example.ids) for example in chunk], self.pad_id, side)
            length = ids.shape[1]
            ends = [length if side == "left" else len(e.prompt_ids) + len(e.ids) for e in chunk]
            # Number of last positions whose logits are needed.
            longest = max(length - end + len(example.ids) for end, example in zip(ends, chunk, strict=True))
            with evaluating(self.model):
                out = forward(
                    input_ids=ids.to(self.model.device),
                    attention_mask=mask.to(self.model.device),
                    position_ids=positions(mask).to(self.model.device),
                    logits_to_keep=longest + 1,
                )
            logprob = out.logits[:, -longest - 1 : -1].float().log_softmax(-1)
            target = ids[:, -longest:].to(logprob.device)
            target_logprobs = logprob.gather(2, target[..., None])[..., 0].tolist()
            for values, example, end in zip(target_logprobs, chunk, ends, strict=True):
                last = longest - (length - end)
                result.append(values[last - len(example.ids) : last])
        return result
