"""The `workshop` task: machines that fail, causes and findings with known probabilities, for the game `interview`.

The assistant's context is a page of a handbook: for each finding, how often in 100 cases it is as listed, and the value
listed for each cause, with the cause's share in 100 cases. The user has the machine before it and can tell its
findings; nobody can see the cause. Everything follows from ``world_seed``; no page is in two splits.
"""

from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

from clarify_env.tasks import workshop_words as words
from clarify_env.tasks.base import ENDLESS, NOT_UNDERSTOOD, Episode, Interpretation, Task, register

# Findings of a page. One of them may be unreliable, so that a page has at most twice as many possibilities as causes.
FINDINGS = 3
# Shares of pages by their number of causes, as far as the task's option `causes` allows them.
_CAUSES = {2: 0.3, 3: 0.4, 4: 0.3}
# Share of findings that are the same under every cause, so that to ask for them is useless.
_USELESS = 0.2
# Share of pages with an unreliable finding, and how often in 100 cases it is as listed.
_UNRELIABLE, _RELIABILITY = 0.5, (80, 90)
_SPLITS = ("train", "validation", "test")
HEADER = "Of 100 cases: how many are as listed, and how many are of each cause."


@register
class Workshop(Task):
    """Machines that fail, each with a page of a handbook on causes and findings.

    A possibility (`Interpretation`) is a cause with the findings that the user sees; its weight is the cause's share
    times the probability of each finding. The answer is the cause.

    Args:
        world_seed: Seed of all pages, the splits included.
        validation: Number of validation pages.
        test: Number of test pages. The train split is endless, and holds no page of the other two.
        causes: Most causes of a page, from 2 to 4.

    Version history: 1, first version; 2, pages that count cases, and other shares of the causes; 3, pages by finding,
    each value right before its cause.
    """

    name = "workshop"
    version = 3
    attributes = words.CUES
    pretraining = ("train",)

    def __init__(self, world_seed: int = 0, validation: int = 100, test: int = 300, causes: int = 3):
        if min(validation, test) < 1:
            raise ValueError(f"task.validation={validation} and task.test={test} must be at least 1")
        if causes not in _CAUSES:
            raise ValueError(f"task.causes must be one of {', '.join(map(str, _CAUSES))}, not {causes}")
        self.world_seed, self.causes = world_seed, causes
        self.sizes = {"train": None, "validation": validation, "test": test}
        self._held_out: dict[str, list[Episode]] = {"validation": [], "test": []}
        seen: set[Any] = set()
        for split, episodes in self._held_out.items():
            while len(episodes) < (self.sizes[split] or 0):
                rng = np.random.default_rng([world_seed, _SPLITS.index(split), len(episodes), len(seen)])
                while (key := _key(episode := _page(rng, causes))) in seen:
                    pass
                episodes.append(episode._replace(id=f"{split}/{len(episodes)}"))
                seen.add(key)
        self._keys = frozenset(seen)

    def _episode(self, split: str, index: int) -> Episode:
        if split in self._held_out:
            return self._held_out[split][index]
        return _train_page(self.world_seed, index, self.causes, self._keys)

    def reply(self, question: str, intent: int, episode: Episode) -> str:
        """Returns the finding that a question asks for: the first of those that it names; else `NOT_UNDERSTOOD`."""
        values = dict(episode.interpretations[intent].attributes)
        for name in self.attributes_named(question):
            if name in values:
                return f"{name} {values[name]}."
        return NOT_UNDERSTOOD

    def questions(self, episode: Episode) -> list[str]:
        """One question for each finding of the page: its name."""
        return [name for name, _ in episode.interpretations[0].attributes]


# Training pages are dealt again and again: a game looks its episode up by its id.
@lru_cache(maxsize=65_536)
def _train_page(world_seed: int, index: int, causes: int, held_out: frozenset) -> Episode:
    rng = np.random.default_rng([world_seed, 0, index % ENDLESS])
    while True:
        episode = _page(rng, causes)
        if _key(episode) not in held_out:
            return episode._replace(id=f"train/{index}")


def _key(episode: Episode) -> tuple:
    """What makes a page: its causes, findings and probabilities, whatever their order and the machine."""
    return tuple(sorted((r.attributes, r.answers, round(r.weight, 9)) for r in episode.interpretations))


def _page(rng: np.random.Generator, most: int) -> Episode:
    shares_of_counts = np.array([share for count, share in _CAUSES.items() if count <= most])
    count = 2 + int(rng.choice(len(shares_of_counts), p=shares_of_counts / shares_of_counts.sum()))
    causes = [words.CAUSES[i] for i in rng.choice(len(words.CAUSES), size=count, replace=False)]
    priors = words.PRIORS[count]
    shares = rng.permutation(priors[rng.integers(len(priors))]).tolist()
    names = [list(words.FINDINGS)[i] for i in rng.choice(len(words.FINDINGS), size=FINDINGS, replace=False)]
    listed = [_values(count, rng) for _ in names]
    reliability = [100] * FINDINGS
    useful = [i for i, values in enumerate(listed) if len(set(values)) > 1]
    if useful and rng.random() < _UNRELIABLE:
        reliability[useful[rng.integers(len(useful))]] = int(rng.choice(_RELIABILITY))
    machine = words.MACHINES[rng.integers(len(words.MACHINES))]
    complaint = words.COMPLAINTS[rng.integers(len(words.COMPLAINTS))]
    readings = _possibilities(causes, shares, names, listed, reliability)
    by_share = sorted(range(count), key=lambda i: -shares[i])
    lines = [HEADER]
    for name, values, share in zip(names, listed, reliability, strict=True):
        entries = (f"{words.FINDINGS[name][values[i]]} {causes[i]} {shares[i]}" for i in by_share)
        lines.append(f"{name} {share}: {', '.join(entries)}.")
    meta = {"entity": " ".join(lines), "options": causes}
    return Episode("", f"The {machine} {complaint}. Why?", "\n".join(lines), readings, meta)


def _values(count: int, rng: np.random.Generator) -> list[int]:
    """Which of a finding's two values each cause has; all the same in a share of `_USELESS`."""
    if rng.random() < _USELESS:
        return [int(rng.integers(2))] * count
    while True:
        values = rng.integers(2, size=count).tolist()
        if len(set(values)) > 1:
            return values


def _possibilities(
    causes: list[str], shares: list[int], names: list[str], listed: list[list[int]], reliability: list[int]
) -> tuple[Interpretation, ...]:
    readings = []
    for i, (cause, share) in enumerate(zip(causes, shares, strict=True)):
        for flips in product((0, 1), repeat=len(names)):
            weight = share / 100
            for flip, sure in zip(flips, reliability, strict=True):
                weight *= 1 - sure / 100 if flip else sure / 100
            if weight <= 0:
                continue
            found = tuple(
                (name, words.FINDINGS[name][values[i] ^ flip])
                for name, values, flip in zip(names, listed, flips, strict=True)
            )
            label = " ".join(value for _, value in found)
            text = ", ".join(f"{name} {value}" for name, value in found)
            readings.append(Interpretation(label, text, (cause,), weight, found))
    return tuple(readings)
