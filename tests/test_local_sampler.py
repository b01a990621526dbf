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
