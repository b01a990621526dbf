"""The two corpora of the helpers' game, their search, and the reader of people's own files."""

import json
import re

import numpy as np
import pytest
from helping import EPISODES, GAME, TASK, measured

pytest.importorskip("bm25s")

from clarify_env.games.base import Reply
from clarify_env.games.helpers import retrieval
from clarify_env.tasks.passages import Corpus, Passage
from clarify_env.tasks.registry import make_task
from clarify_env.testing import check_game, check_task


@pytest.mark.parametrize(("known", "partly", "covered"), [(0.4, 0.2, 0.9), (0.0, 0.5, 1.0), (1.0, 0.0, 0.25)])
def test_shares_are_exact_in_each_split_and_corpus(known, partly, covered):
    shares = {"known": known, "partly": partly, "covered": covered}
    task = make_task("archives", **shares, train_names=20, validation_names=10, test_names=10)
    for split in task.sizes:
        episodes = list(task.episodes(split))
        for corpus in (0, 1):
            of = [episode for episode in episodes if episode.meta["corpus"] == corpus]
            assert len(of) == len(episodes) / 2
            for name, share in shares.items():
                assert sum(episode.meta[name] for episode in of) == round(share * len(of))


def test_shares_that_cannot_be():
    with pytest.raises(ValueError, match=re.escape("task.known=0.9 and task.partly=0.2 must be at most 1 together")):
        make_task("archives", known=0.9)


def test_no_name_is_in_two_splits_and_no_passage_in_both_corpora():
    names = {split: {episode.meta["entity"] for episode in TASK.episodes(split)} for split in TASK.sizes}
    assert not names["train"] & names["test"] and not names["validation"] & (names["train"] | names["test"])
    one, other = (corpus.passages for corpus in TASK.corpora)
    assert len({p.id for p in (*one, *other)}) == len(one) + len(other) == 2 * sum(map(len, names.values()))
    assert {p.id.partition("-")[2] for p in one} == {p.id.partition("-")[2] for p in other}, "namesakes"


def test_a_passage_states_what_is_covered_and_nothing_else():
    for episode in TASK.episodes("test"):
        passage = next(
            p for p in TASK.corpora[episode.meta["corpus"]].passages if p.id.endswith("-" + episode.meta["entity"])
        )
        assert (episode.meta["statement"] in passage.text) == episode.meta["covered"]
        memory, sure = TASK.memory(episode)
        assert sure == episode.meta["known"] == (TASK.score(memory, 0, episode) == 1)
        assert episode.meta["partly"] == (0 < TASK.score(memory, 0, episode) < 1), "two thirds"


def bm25(passages, query, k1=1.5, b=0.75):
    """Scores by the formula of Lucene's BM25."""
    documents = [f"{p.title} {p.text}".lower().replace(".", "").replace(":", "").split() for p in passages]
    mean, n = np.mean([len(d) for d in documents]), len(documents)
    scores = np.zeros(n)
    for word in query.lower().split():
        count = np.array([d.count(word) for d in documents])
        frequency = (count > 0).sum()
        idf = np.log(1 + (n - frequency + 0.5) / (frequency + 0.5))
        length = np.array([len(d) for d in documents]) / mean
        scores += idf * count / (count + k1 * (1 - b + b * length))
    return scores


def test_search_is_bm25():
    passages = [
        Passage("1", "film Ashford", "Directed by Brandt."),
        Passage("2", "opera Ashford", "Directed by Castell and paid for by Brandt."),
        Passage("3", "film Bramley", "Directed by Dorn."),
    ]
    index = retrieval.Index(passages)
    for query in ("film ashford", "brandt", "opera directed by dorn", "paid"):
        scores = bm25(passages, query)
        order = [passages[i] for i in np.argsort(-scores, kind="stable") if scores[i] > 0]
        assert index.search(query, 3) == order, query
        assert index.search(query, 1) == order[:1]


@pytest.mark.parametrize("query", ["", "zzz qqq", "?!", "the"])
def test_a_search_without_a_common_word_finds_nothing(query):
    corpus = Corpus("films", (Passage("1", "film Ashford", "Directed by Brandt."),))
    assert retrieval.search(corpus, query, 2) == retrieval.NOTHING


def test_without_the_extra_nothing_is_played_and_stored_games_are_read(monkeypatch):
    monkeypatch.setattr(retrieval, "find_spec", lambda name: None)
    sentence = re.escape("game helpers needs the package bm25s; install the extra [helpers]")
    task = make_task("archives", train_names=2, validation_names=2, test_names=2)
    assert list(GAME.tools(task)) == ["archive_0", "archive_1"]
    for attempt in (lambda: dict(GAME.tools(task)), lambda: measured(task, "memory")):
        with pytest.raises(ValueError, match=sentence):
            attempt()
    replay = GAME.deal(task, task.episode("test", 0))
    for text in ("who?", "#SEARCH a", "found", "I think: x", "I think: y", "x"):
        replay.apply(Reply(text))
    assert replay.result.usage == {"calls": 1}


def test_a_question_finds_its_passage_in_its_own_archive_and_a_namesake_in_the_other():
    for episode in EPISODES:
        own, other = (TASK.corpora[i] for i in (episode.meta["corpus"], 1 - episode.meta["corpus"]))
        passage = retrieval.index_of(own).search(episode.query)[0]
        assert passage.id.endswith("-" + episode.meta["entity"])
        assert (TASK.read(episode, str(passage)) is not None) == episode.meta["covered"]
        assert retrieval.index_of(other).search(episode.query)[0].id.endswith("-" + episode.meta["entity"])


def write(path, rows):
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return str(path)


QUESTIONS = [{"question": f"Who wrote book {i}?", "answers": [f"Author{i}"]} for i in range(12)]
BOOKS = [{"id": i, "title": f"book {i}", "text": f"Written by Author{i}."} for i in range(12)]
SEAS = [{"id": f"s{i}", "text": f"Sea {i} is deep."} for i in range(3)]


def own(tmp_path, questions=QUESTIONS, books=BOOKS, seas=SEAS, **options):
    paths = [write(tmp_path / f"{i}.jsonl", rows) for i, rows in enumerate((questions, books, seas))]
    return make_task("passages_jsonl", path=paths[0], corpus_a=paths[1], corpus_b=paths[2], **options)


def test_own_files_are_played(tmp_path):
    task = own(tmp_path, about_a="books", about_b="seas")
    check_task(task, episodes=4)
    check_game(task, game="helpers", episodes=2)
    assert task.sizes == {"train": 6, "validation": 2, "test": 4} and task.refused == []
    row = measured(task, "careful")
    assert row["score"] == 1 and row["calls"] == 2 and GAME.solve(task, [task.episode("test", 0)]) is None


FAULTS = [
    ("books", {"id": "x"}, "text is missing"),
    ("books", {"id": "x", "text": "  "}, "text is empty"),
    ("books", {"text": "y"}, "id is missing"),
    ("books", {"id": 3, "text": "y"}, "id '3' stands for a passage already, at"),
    ("books", {"id": "x", "text": "y", "tex": "z"}, "tex is no field; known: id, title, text"),
    ("books", "{", "not JSON"),
    ("seas", {"id": "x", "title": "book 3", "text": "Written by Author3."}, "this passage stands already, at"),
    ("questions", {"question": "Who?", "answers": []}, "answers has no answer"),
    ("questions", {"question": " ", "answers": ["x"]}, "question is empty"),
    ("questions", {"question": "Who?", "answers": ["x"], "split": "dev"}, "split must be one of"),
]


@pytest.mark.parametrize(("file", "row", "sentence"), FAULTS, ids=[row[-1] for row in FAULTS])
def test_a_record_out_of_format_is_named_and_left_out(tmp_path, file, row, sentence):
    rows = {"questions": QUESTIONS, "books": BOOKS, "seas": SEAS}
    rows[file] = [*rows[file], row]
    task = own(tmp_path, **rows)
    number = {"questions": 0, "books": 1, "seas": 2}[file]
    assert len(task.refused) == 1 and sentence in task.refused[0]
    assert task.refused[0].startswith(f"{tmp_path / f'{number}.jsonl'}, line {len(rows[file])}: ")
    with pytest.raises(ValueError, match=re.escape(sentence)):
        own(tmp_path, **rows, strict=True)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match=r"task\.corpus_b: cannot read"):
        make_task(
            "passages_jsonl",
            path=write(tmp_path / "q", QUESTIONS),
            corpus_a=write(tmp_path / "a", BOOKS),
            corpus_b=str(tmp_path / "none"),
        )
    with pytest.raises(ValueError, match="no passage in it"):
        own(tmp_path, seas=[])
    with pytest.raises(ValueError, match="the file is a JSON list"):
        own(tmp_path, seas=['[{"id": "x", "text": "y"}]'])
