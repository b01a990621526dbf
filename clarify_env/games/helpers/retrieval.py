"""BM25 retrieval (`bm25s`, extra ``[helpers]``) over the passages of a corpus, and the tool that runs it."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from clarify_env.games.base import Reply, View
from clarify_env.games.helpers.actions import Search, parse
from clarify_env.games.helpers.facts import ARCHIVES, ToolFacts
from clarify_env.scores.answers import normalize
from clarify_env.tasks.passages import Corpus, Passage, PassageTask

# What a search returns that shares no word with any passage.
NOTHING = "Nothing found."


def _require() -> None:
    """Checks that passages can be searched.

    Raises:
        ValueError: The extra is not installed.
    """
    if find_spec("bm25s") is None:
        raise ValueError("game helpers needs the package bm25s; install the extra [helpers]")


class Index:
    """A BM25 index (Lucene's variant, k1 = 1.5, b = 0.75) over title and text, normalised as answers are.

    Args:
        passages: The passages.
    """

    def __init__(self, passages: Sequence[Passage]):
        _require()
        import bm25s

        logging.getLogger("bm25s").setLevel(logging.WARNING)  # which it sets to DEBUG itself
        self.passages = tuple(passages)
        self._index: Any = bm25s.BM25(k1=1.5, b=0.75, method="lucene")
        self._index.index([_tokens(f"{p.title} {p.text}") for p in self.passages], show_progress=False)

    def search(self, query: str, most: int = 1) -> list[Passage]:
        """Returns the best passages that share a word with the query, best first; ties in the order of the corpus."""
        tokens = [token for token in _tokens(query) if token in self._index.vocab_dict]
        if not tokens:
            return []
        scores = self._index.get_scores(tokens)
        order = np.argsort(-scores, kind="stable")[:most]
        return [self.passages[i] for i in order if scores[i] > 0]


def _tokens(text: str) -> list[str]:
    return normalize(text).split()


@lru_cache(maxsize=16)
def index_of(corpus: Corpus) -> Index:
    """Returns the index of a corpus; made once in a process."""
    return Index(corpus.passages)


def search(corpus: Corpus, query: str, most: int) -> str:
    """Returns what the tool replies to a query: passages, one a line, or `NOTHING`."""
    return _shown(index_of(corpus).search(query, most))


def _shown(passages: Sequence[Passage]) -> str:
    return "\n".join(map(str, passages)) or NOTHING


class Archive:
    """The tool of one helper. It has no part in replays: its replies are recorded.

    Args:
        name: Its name as a sender.
        task: Holds the corpora.
        number: Which of them it searches.
    """

    def __init__(self, name: str, task: PassageTask, number: int):
        self.name, self._task, self._number = name, task, number
        self._index: Index | None = None

    def act(self, views: list[View], seeds: list[int], openings: list[str] | None = None) -> list[Reply]:
        """Replies to the query that each view holds last."""
        if self._index is None:
            # To find an index by its corpus takes as long as the corpus is large.
            self._index = index_of(self._task.corpora[self._number])
        return [Reply(_shown(self._index.search(_query(view), _facts(view).results))) for view in views]


def _query(view: View) -> str:
    action = parse(view.heard[-1].text)
    assert isinstance(action, Search), "an archive hears searches alone"
    return action.query


def _facts(view: View) -> ToolFacts:
    assert isinstance(view.facts, ToolFacts), f"{view.role} is no archive"
    return view.facts


class Tools(Mapping[str, Archive]):
    """The archive of each helper by name, made when it is asked for: stored games are read without `bm25s`.

    Args:
        task: Holds the corpora.
    """

    def __init__(self, task: PassageTask):
        self._task = task
        self._made: dict[str, Archive] = {}

    def __getitem__(self, name: str) -> Archive:
        number = ARCHIVES.index(name) if name in ARCHIVES else None
        if number is None:
            raise KeyError(name)
        if name not in self._made:
            _require()
            self._made[name] = Archive(name, self._task, number)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(ARCHIVES)

    def __len__(self) -> int:
        return len(ARCHIVES)
