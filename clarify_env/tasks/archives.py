"""The `archives` task: questions about a procedural world, answered from memory or from one of two corpora.

One corpus is about works of art, the other about places and science. Each name of the almanac's world stands for one
thing in each, so that the search of the wrong helper finds a namesake. A tunable share of the facts is to be in the
weights of the model (pretraining states no other fact), a tunable share in part, and a tunable share in the corpora.
"""

from functools import cached_property, lru_cache

import numpy as np

from clarify_env.tasks import almanac_words
from clarify_env.tasks.archives_words import CORPORA, Group, Relation
from clarify_env.tasks.base import Episode, Interpretation, register
from clarify_env.tasks.passages import Corpus, Passage, PassageTask

METRICS = ("em", "f1")
# Facts of each thing, and shares of the lengths of answers, 1 and 2 words.
_FACTS, _SHORT = 2, 0.5


@register
class Archives(PassageTask):
    """Questions whose answers are known, stand in one of two corpora, or both, or neither.

    Args:
        world_seed: Seed of the whole world, splits and shares included.
        known: Share of the facts that the model's weights hold, in [0, 1]; the same in each split and corpus.
        partly: Share of the facts of which the weights hold one word of two, which scores 2/3 in token F1; so a search
            is worth less there, and the price decides. With ``known`` at most 1.
        covered: Share of the facts that their corpus states, in [0, 1], drawn independently of what is known.
        train_names: Names of the train split; each has two things with two facts each, so four questions.
        validation_names: Names of the validation split.
        test_names: Names of the test split.
        metric: ``"f1"`` (as arXiv 2503.14481 has it) or ``"em"``.

    Version history: 1, first version.
    """

    name = "archives"

    def __init__(
        self,
        world_seed: int = 0,
        known: float = 0.4,
        partly: float = 0.2,
        covered: float = 0.9,
        train_names: int = 120,
        validation_names: int = 40,
        test_names: int = 100,
        metric: str = "f1",
    ):
        counts = {"train": train_names, "validation": validation_names, "test": test_names}
        if sum(counts.values()) > len(almanac_words.NAMES) or min(counts.values()) < 1:
            total = len(almanac_words.NAMES)
            raise ValueError(f"task archives has {total} names to share among its splits, not {counts}")
        for option, share in (("known", known), ("partly", partly), ("covered", covered)):
            if not 0 <= share <= 1:
                raise ValueError(f"task.{option} must be in [0, 1], not {share}")
        if known + partly > 1:
            raise ValueError(f"task.known={known} and task.partly={partly} must be at most 1 together")
        if metric not in METRICS:
            raise ValueError(f"task.metric must be one of {', '.join(METRICS)}, not {metric!r}")
        self.world_seed, self.metric = world_seed, metric
        self.known, self.partly, self.covered = known, partly, covered
        self._counts = counts
        self.sizes = {split: len(CORPORA) * _FACTS * count for split, count in counts.items()}

    @cached_property
    def _world(self) -> tuple[tuple[Corpus, Corpus], dict[str, list[Episode]]]:
        return _world(self.world_seed, self.known, self.partly, self.covered, tuple(self._counts.items()))

    @property
    def names(self) -> dict[str, int]:
        """Numbers of names, as options."""
        return {f"{split}_names": count for split, count in self._counts.items()}

    @property
    def corpora(self) -> tuple[Corpus, Corpus]:
        """Works of art, then places and science."""
        return self._world[0]

    def _episode(self, split: str, index: int) -> Episode:
        return self._world[1][split][index]

    def memory(self, episode: Episode) -> tuple[str, bool]:
        """The answer, of which memory is sure, if the fact is known; a word of it if partly known; else a wrong one."""
        return episode.meta["memory"], episode.meta["known"]


@lru_cache(maxsize=4)
def _world(
    seed: int, known: float, partly: float, covered: float, counts: tuple[tuple[str, int], ...]
) -> tuple[tuple[Corpus, Corpus], dict[str, list[Episode]]]:
    """Draws both corpora and the episodes of each split."""
    rng = np.random.default_rng([seed, 2])
    names = [almanac_words.NAMES[i] for i in rng.permutation(len(almanac_words.NAMES))]
    passages: dict[str, list[Passage]] = {about: [] for about in CORPORA}
    world = {}
    for split, count in counts:
        episodes: list[Episode] = []
        for corpus, (about, groups) in enumerate(CORPORA.items()):
            # Each corpus has exact shares in each split, so that choices made on one split hold on the others.
            held = _held(count * _FACTS, known, partly, rng)
            is_covered = (rng.permutation(count * _FACTS) < round(covered * count * _FACTS)).tolist()
            for i, name in enumerate(names[:count]):
                at = slice(i * _FACTS, (i + 1) * _FACTS)
                passage, of_thing = _thing(name, corpus, groups, held[at], is_covered[at], rng)
                passages[about].append(passage)
                episodes += of_thing
        names = names[count:]
        order = rng.permutation(len(episodes))
        world[split] = [episodes[j]._replace(id=f"{split}/{i}") for i, j in enumerate(order)]
    # The order of passages says nothing of the splits.
    art, places = (Corpus(about, tuple(of[i] for i in rng.permutation(len(of)))) for about, of in passages.items())
    return (art, places), world


def _held(size: int, known: float, partly: float, rng: np.random.Generator) -> list[str]:
    """Draws what memory holds of each fact: ``known``, ``partly`` or ``unknown``."""
    places = rng.permutation(size)
    first = round(known * size)
    last = first + round(partly * size)
    return ["known" if i < first else "partly" if i < last else "unknown" for i in places.tolist()]


def _thing(
    name: str, corpus: int, groups: tuple[Group, ...], held: list[str], covered: list[bool], rng: np.random.Generator
) -> tuple[Passage, list[Episode]]:
    """Draws a thing: its passage, and a question about each of its facts."""
    kinds = [(kind, group) for group in groups for kind in group.kinds]
    kind, group = kinds[rng.integers(len(kinds))]
    thing = f"the {kind} {name}"
    era, place = (rng.choice(almanac_words.VALUES[key]) for key in ("era", "place"))
    sentences = [f"{era.capitalize()} {kind} in {place}."]
    episodes = []
    for i, relation in enumerate(rng.choice(len(group.relations), size=_FACTS, replace=False)):
        chosen = group.relations[relation]
        gold, memory = _answers(chosen, held[i], rng)
        query = chosen.asks[rng.integers(len(chosen.asks))].format(thing)
        statement = _statement(chosen, gold)
        if covered[i]:
            sentences.append(statement)
        reading = Interpretation(thing, query, (gold, *almanac_words.aliases(gold)), 1.0)
        meta = {
            "entity": name,
            "corpus": corpus,
            "known": held[i] == "known",
            "partly": held[i] == "partly",
            "covered": covered[i],
            "memory": memory,
            "statement": statement,
        }
        episodes.append(Episode("", query, "", (reading,), meta))
    return Passage(f"{corpus}-{name}", f"{kind} {name}", " ".join(sentences)), episodes


def _answers(relation: Relation, held: str, rng: np.random.Generator) -> tuple[str, str]:
    """Draws the right answer, and the one that memory gives: a wrong one is of the same pool, and shares no word."""
    words = 1 if rng.random() < _SHORT else 2
    pool = relation.pools[1 if held == "partly" else words - 1]
    gold = pool[rng.integers(len(pool))]
    others = [answer for answer in pool if not set(answer.split()) & set(gold.split())]
    mistaken = others[rng.integers(len(others))]
    return gold, {"known": gold, "partly": gold.split()[relation.telling], "unknown": mistaken}[held]


def _statement(relation: Relation, answer: str) -> str:
    """States a fact in a passage, whose title names the thing."""
    text = relation.states.format("it", answer)
    return text[0].upper() + text[1:]
