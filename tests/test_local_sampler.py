"""The local sampler knows token ids alone: no tokenizer, no text."""

import numpy as np
import pytest

from agents.example import Example
from agents.sample import LocalSampler

PROMPTS = [(2, 9, 10, 1, 4), (2, 9), (2, 9, 11, 12, 13, 1)]


@pytest.fixture
def sampler(tiny):
    return LocalSampler(tiny[0], pad_id=0, end_id=1, max_new_tokens=8, batch=4)


def test_samples_and_their_log_probabilities(sampler):
    openings = [(), (20, 21), ()]
    samples = sampler.sample(PROMPTS, openings, [1, 2, 3])
    for sample, opening in zip(samples, openings, strict=True):
        assert sample.ids[: len(opening)] == opening and len(sample.ids) <= 8
        assert len(sample.ids) == 8 or sample.ids[-1] == 1, "cut short only by the end"
    scored = sampler.logprobs([Example(p, s.ids) for p, s in zip(PROMPTS, samples, strict=True)])
    assert all(np.allclose(s.logprobs, values, atol=1e-4) for s, values in zip(samples, scored, strict=True))


def test_equal_requests_are_decoded_once_and_keep_their_order(sampler):
    prompts, seeds = PROMPTS * 4, [7, 8, 9] * 4
    samples = sampler.sample(prompts, [()] * 12, seeds)
    assert samples == samples[:3] * 4
    assert sampler.generated_tokens == sum(len(sample.ids) for sample in samples[:3])
    assert [s.ids for s in sampler.sample(prompts[::-1], [()] * 12, seeds[::-1])] == [s.ids for s in samples[::-1]]


def test_greedy_disregards_seeds(tiny):
    sampler = LocalSampler(tiny[0], pad_id=0, end_id=1, max_new_tokens=8, temperature=0)
    one, other = sampler.sample([PROMPTS[0]] * 2, [(), ()], [1, 2])
    assert one == other and sampler.generated_tokens == len(one.ids)


def test_nothing_to_do(sampler):
    assert sampler.sample([], [], []) == [] == sampler.logprobs([])


def test_a_limit_ends_a_reply_before_it_is_too_long(sampler):
    """The token that would make it too long is replaced by the end; other replies of the batch stay as they are."""
    requests, seeds = ([PROMPTS[0]] * 8, [()] * 8), list(range(8))
    limits = [(lambda ids: len(ids) > 2) if seed % 2 else None for seed in seeds]
    ended = 0
    for seed, free, limited in zip(
        seeds, sampler.sample(*requests, seeds), sampler.sample(*requests, seeds, limits), strict=True
    ):
        too_long = seed % 2 and len(free.ids) > 2 and free.ids[2] != 1
        assert limited.ids == ((*free.ids[:2], 1) if too_long else free.ids)
        ended += bool(too_long)
    assert ended
