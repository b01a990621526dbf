"""The helpers' game: its world and readers, retrieval, rules, prompts, scripted players, plans and measures."""

import json
import re
from itertools import islice

import numpy as np
import pytest
from configs import config_of

pytest.importorskip("bm25s")

from clarify_env.evaluation.evaluate import evaluate
from clarify_env.evaluation.played import play_all
from clarify_env.evaluation.reference import reference
from clarify_env.games import find_game
from clarify_env.games.base import Reply
from clarify_env.games.helpers import retrieval
from clarify_env.games.helpers.actions import Assert, Hedge, Invalid, Say, Search, parse
from clarify_env.games.helpers.facts import ARCHIVES, ASKER, HELPERS
from clarify_env.games.helpers.rules import label_order
from clarify_env.games.helpers.strategies import ASKER_STRATEGIES, HELPER_STRATEGIES, weighed
from clarify_env.games.setup import Setup
from clarify_env.tasks.passages import Corpus, Passage
from clarify_env.tasks.registry import make_task
from clarify_env.testing import check_game, check_task
from trainers.rollouts.groups import Group, play_groups
from trainers.runs.options import RolloutOptions
from trainers.selection.keep import keep_games, rule
from trainers.selection.returns import earned

GAME, TASK = find_game("helpers"), make_task("archives")
TOOLS = GAME.tools(TASK)
EPISODES = [TASK.episode("test", i) for i in range(40)]


def pick(**meta):
    """The first test episode whose facts are these."""
    return next(e for e in TASK.episodes("test") if all(e.meta[name] == value for name, value in meta.items()))


def play(episode, messages, prices=(0.2,), **options):
    """Plays messages by role, in order; the archives play themselves."""
    game, left = GAME.deal(TASK, episode, 0, prices, **options), list(messages)
    while game.to_move is not None and (left or game.to_move in ARCHIVES):
        role = game.to_move
        game.apply(TOOLS[role].act([game.view(role)], [0])[0] if role in ARCHIVES else Reply(left.pop(0)))
    assert not left
    return game


def players(helper, asker="trusting", task=TASK):
    return {ASKER: GAME.player(ASKER, task, asker)} | {role: GAME.player(role, task, helper) for role in HELPERS}


def measured(task, helper, asker="trusting", episodes=4, **options):
    """The report on scripted players at one price."""
    by_role = players(helper, asker, task)
    own = by_role.pop(ASKER)
    return evaluate(own, task, ((0.1,),), game="helpers", role=ASKER, agents=by_role, episodes=episodes, **options)[0]


def test_it_keeps_what_a_game_promises():
    for options in ({}, {"identities": True, "results": 3}, {"wording": "free", "calls": 0}):
        check_game(TASK, game="helpers", episodes=2, **options)
    check_task(TASK, episodes=20)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"wording": "loud"}, "game.wording must be closed or free"),
        ({"alone": "nobody"}, "game.alone must be one of"),
        ({"calls": -1}, "game.calls must be a whole number of at least 0"),
    ],
)
def test_options_that_cannot_be(options, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        GAME.check_options(options)


def test_a_task_without_corpora_is_refused():
    almanac = make_task("almanac")
    with pytest.raises(ValueError, match="two corpora, and almanac has none"):
        GAME.deal(almanac, almanac.episode("test", 0))


# --- the world


@pytest.mark.parametrize(("known", "covered"), [(0.5, 0.9), (0.0, 1.0), (1.0, 0.25)])
def test_shares_are_exact_in_each_split_and_corpus(known, covered):
    task = make_task("archives", known=known, covered=covered, train_names=20, validation_names=10, test_names=10)
    for split in task.sizes:
        episodes = list(task.episodes(split))
        for corpus in (0, 1):
            of = [episode for episode in episodes if episode.meta["corpus"] == corpus]
            assert len(of) == len(episodes) / 2
            for name, share in (("known", known), ("covered", covered)):
                assert sum(episode.meta[name] for episode in of) == round(share * len(of))


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


# --- retrieval


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


def test_a_question_finds_its_passage_in_its_own_archive_and_a_namesake_in_the_other():
    for episode in EPISODES:
        own, other = (TASK.corpora[i] for i in (episode.meta["corpus"], 1 - episode.meta["corpus"]))
        found = retrieval.index_of(own).search(episode.query)[0]
        assert found.id.endswith("-" + episode.meta["entity"])
        assert (TASK.read(episode, str(found)) is not None) == episode.meta["covered"]
        assert retrieval.index_of(other).search(episode.query)[0].id.endswith("-" + episode.meta["entity"])


# --- messages and rules


@pytest.mark.parametrize(
    ("text", "closed", "free"),
    [
        ("#SEARCH film Ashford", Search("film Ashford"), None),
        ("  #SEARCH\nfilm", Search("film"), None),
        ("#SEARCH", Invalid("#SEARCH", "no query"), None),
        ("#SEARCHfilm", Invalid("#SEARCHfilm", "neither a search nor one of the two forms"), Say("#SEARCHfilm")),
        ("I know: Brandt", Assert("Brandt"), None),
        ("i THINK:  Brandt ", Hedge("Brandt"), None),
        ("I know:", Invalid("I know:", "no answer"), None),
        ("I know Brandt", Invalid("I know Brandt", "neither a search nor one of the two forms"), Say("I know Brandt")),
        ("It is Brandt.", Invalid("It is Brandt.", "neither a search nor one of the two forms"), Say("It is Brandt.")),
        (" ", Invalid(" ", "neither a search nor one of the two forms"), None),
        (None, Invalid("", "no text"), None),
    ],
)
def test_messages(text, closed, free):
    assert parse(text) == closed and parse(text, "free") == (closed if free is None else free)


RESULTS = [
    (["who?", "I know: {gold}", "I think: x", "{gold}"], {}, 1.0, 0, "answers"),
    (["who?", "I know: {gold}", "I think: x", "x"], {}, 0.0, 0, "the asker's answer alone counts"),
    (["who?", "#SEARCH a", "I know: y", "#SEARCH b", "I think: x", "{gold}"], {}, 1.0, 2, "both call"),
    (["who?", "#SEARCH a", "#SEARCH b", "I think: x", "{gold}"], {}, 1.0, 1, "a second call is no call"),
    (["who?", "#SEARCH a", "#SEARCH b", "I think: y", "I think: x", "{gold}"], {"calls": 2}, 1.0, 2, "two calls"),
    (["who?", "#SEARCH a", "I think: x", "{gold}"], {"calls": 0}, 1.0, 0, "no call is allowed"),
    ([None, None, None, None], {}, 0.0, 0, "nothing is said"),
    (["{gold}"], {"alone": ASKER}, 1.0, 0, "the asker alone"),
    (["I think: {gold}"], {"alone": "helper_0"}, 1.0, 0, "a helper alone"),
    (["#SEARCH a", "I know: {gold}"], {"alone": "helper_1"}, 1.0, 1, "a helper alone, with a call"),
    (["{gold}"], {"alone": "helper_1"}, 0.0, 0, "an invalid message is no answer"),
    (["{gold}"], {"alone": "helper_1", "wording": "free"}, 1.0, 0, "in free wording it is"),
]


@pytest.mark.parametrize(("messages", "options", "score", "calls", "why"), RESULTS, ids=[row[-1] for row in RESULTS])
def test_results(messages, options, score, calls, why):
    episode = EPISODES[0]
    gold = episode.interpretations[0].answers[0]
    game = play(episode, [m and m.format(gold=gold) for m in messages], **options)
    assert (game.result.score, game.result.usage) == (score, {"calls": calls}), why
    assert game.result.reward((0.2,)) == pytest.approx(score - 0.2 * calls)
    assert game.result.reward((0.2,)) >= GAME.lowest((0.2,), 5, **options)


def test_who_hears_what():
    episode = pick(corpus=0, covered=True)
    game = play(episode, ["who made it?", f"#SEARCH {episode.query}", "I know: y", "#SEARCH b", "zzz"])
    heard = {role: [(m.sender, m.text) for m in game.view(role).heard] for role in (*game.roles, *ARCHIVES)}
    assert heard["helper_0"][:2] == [(ASKER, "who made it?"), ("helper_0", f"#SEARCH {episode.query}")]
    assert heard["helper_0"][2][0] == "archive_0" and heard["helper_0"][3:] == [("helper_0", "I know: y")]
    assert "I know" not in str(heard["helper_1"]) and heard["archive_1"][:2] == [
        (ASKER, "who made it?"),
        ("helper_1", "#SEARCH b"),
    ]
    said = {"helper_0": "I know: y", "helper_1": ""}
    assert heard[ASKER][1:] == list(zip("AB", [said[role] for role in label_order(episode.id)], strict=True))
    assert episode.query not in str(game.view("helper_1")), "helpers hear what the asker writes alone"


def test_labels_are_shuffled_and_the_ablation_names_the_helpers():
    orders = [label_order(episode.id)[0] for episode in TASK.episodes("test")]
    assert 0.4 < orders.count("helper_0") / len(orders) < 0.6
    for episode in EPISODES[:6]:
        game = play(episode, ["who?", "I know: x", "I think: y"], identities=True)
        replies = [(m.sender, m.text) for m in game.view(ASKER).heard[1:]]
        assert replies == [
            ("helper_0", "I know: x"),
            ("helper_1", "I think: y"),
        ]
        prompt = GAME.chat(game.view(ASKER))[0]["content"]
        for role, corpus in zip(HELPERS, TASK.corpora, strict=True):
            assert f"{role} has an archive about {corpus.about}" in prompt
        anonymous = play(episode, ["who?", "I know: x", "I think: y"]).view(ASKER)
        for style in GAME.styles:
            text = str(GAME.chat(anonymous, style))
            assert "helper_" not in text and not any(corpus.about in text for corpus in TASK.corpora)


def test_a_replay_does_not_search(monkeypatch):
    episode = EPISODES[0]
    game = play(episode, ["who?", "#SEARCH a film", "I know: y", "I think: x", "y"])
    monkeypatch.setattr(retrieval.Index, "search", lambda *_: pytest.fail("a replay searches"))
    replay = GAME.deal(TASK, episode, 0, game.prices)
    for turn in game.turns:
        replay.apply(turn.reply)
    assert replay.result == game.result and replay.turns == game.turns


# --- prompts


def test_prompts_state_price_archive_and_question_for_those_who_may_know_them():
    episode = EPISODES[0]
    game = play(episode, ["who?", "#SEARCH a", "I know: y", "I think: x"], prices=(0.35,))
    for style in GAME.styles:
        asker, helpers = GAME.chat(game.view(ASKER), style), [GAME.chat(game.view(role), style) for role in HELPERS]
        assert episode.query in str(asker) and "0.35" not in str(asker)
        for chat, corpus in zip(helpers, TASK.corpora, strict=True):
            assert "0.35" in chat[0]["content"] and corpus.about in chat[0]["content"]
            assert episode.query not in str(chat) and chat[1] == {"role": "user", "content": "who?"}
        assert [m["role"] for m in helpers[0]] == ["system", "user", "assistant", "user", "assistant"]
        assert [m["role"] for m in asker] == ["system", "user", "assistant", "user"]
    alone = GAME.deal(TASK, episode, 0, (0.35,), alone="helper_0").view("helper_0")
    assert GAME.chat(alone)[1]["content"] == episode.query


def test_free_wording_asks_for_a_sentence():
    closed, free = (GAME.deal(TASK, EPISODES[0], 0, (0.1,), wording=w).view("helper_0") for w in ("closed", "free"))
    assert "I know:" in GAME.chat(closed)[0]["content"] and "I know:" not in GAME.chat(free)[0]["content"]


# --- players and plans


@pytest.mark.parametrize(
    ("replies", "answer"),
    [
        (["I know: Brandt", "I think: Dorn"], "Brandt"),
        (["I think: Dorn", "I know: Brandt"], "Brandt"),
        (["I think: Dorn", "I think: Brandt"], "Dorn"),
        (["", "I think: Brandt"], "Brandt"),
        (["", ""], ""),
        (["I know: Brandt", "I know: the brandt"], "Brandt"),
    ],
)
def test_the_asker_trusts_what_is_asserted(replies, answer):
    assert weighed(replies) == answer


def test_plans_are_what_the_scripted_players_earn():
    prices = ((0.1,), (0.5,), (1.2,))
    setup = Setup(GAME, TASK)
    against = reference(GAME.solve(TASK, EPISODES), prices)
    for name in ("oracle", "memory", "careful", "search"):
        played = play_all(setup, EPISODES, prices, players(name, name) | dict(TOOLS), GAME.roles, seed=0, chunk=1000)
        value = against.oracle if name == "oracle" else against.fixed[name]
        np.testing.assert_allclose(played.values["reward"], value, atol=1e-9, err_msg=name)
        if name == "oracle":
            np.testing.assert_allclose(played.values["calls"], against.used["calls"])
    assert (against.oracle >= np.stack(list(against.fixed.values())).max(0) - 1e-9).all()


@pytest.mark.parametrize(
    ("meta", "price", "plan"),
    [
        ({"known": True}, 0.1, "memory"),
        ({"known": False, "covered": True, "corpus": 0}, 0.1, "call_0"),
        ({"known": False, "covered": True, "corpus": 1}, 0.1, "call_1"),
        ({"known": False, "covered": True, "corpus": 1}, 1.5, "memory"),
        ({"known": False, "covered": False}, 0.1, "memory"),
    ],
)
def test_the_best_joint_plan_calls_where_memory_is_wrong_and_the_archive_right(meta, price, plan):
    (solved,) = GAME.solve(TASK, [pick(**meta)])
    assert solved.best(price) == plan


def test_action_supervised_demonstrations_call_where_memory_is_wrong():
    for episode in EPISODES[:20]:
        for price in (0.1, 0.6):
            turns = GAME.demonstrate(TASK, episode, (price,), np.random.default_rng(0))
            calls = sum(turn.role in ARCHIVES for turn in turns)
            assert calls == (0 if episode.meta["known"] else 2) and turns[-1].role == ASKER


def test_every_scripted_player_plays_alone_and_together():
    for helper in HELPER_STRATEGIES:
        assert 0 <= measured(TASK, helper)["score"] <= 1
    for asker in ASKER_STRATEGIES:
        assert measured(TASK, "careful", asker, alone=ASKER)["calls"] == 0
    assert measured(TASK, "search", alone="helper_0")["calls"] == 1


# --- the reader of people's own files


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


# --- measures


def grid(**values):
    """Measures of E episodes at one price: all zero but those given."""
    size = len(next(iter(values.values())))
    names = [f"{name}_{i}" for name in ("called", "asserted", "hedged", "right") for i in (0, 1)]
    return {
        name: np.array(values.get(name, [0.0] * size), dtype=float)[:, None]
        for name in (*names, "calls", "em", "any_right", "known")
    }


def test_the_measures_of_a_game():
    episode = pick(known=False)
    gold = episode.interpretations[0].answers[0]
    row = GAME.measures(TASK, episode, play(episode, ["who?", "#SEARCH a", f"I know: {gold}", "zzz", "x"]))
    expected = {"score": 0, "em": 0, "f1": 0, "calls": 1, "any_right": 1, "invalid": 1, "known": 0, "decisions": 2}
    expected["optimal_decisions"] = 2 if episode.meta["covered"] and episode.meta["corpus"] == 0 else 1
    expected |= {"called_0": 1, "called_1": 0, "asserted_0": 1, "hedged_0": 0, "right_0": 1}
    expected |= {"asserted_1": 0, "hedged_1": 0, "right_1": 0}
    assert row == expected
    alone = GAME.measures(TASK, episode, play(episode, [f"I think: {gold}"], alone="helper_1"))
    assert alone["em"] == alone["hedged_1"] == alone["right_1"] == 1 and alone["asserted_0"] == 0


@pytest.mark.parametrize(
    ("meta", "price", "calls", "optimal"),
    [
        ({"known": True}, 0.2, (0, 0), 2),
        ({"known": True}, 0.2, (1, 0), 1),
        ({"known": True}, 0.2, (1, 1), 0),
        ({"known": True}, 0.0, (1, 0), 2),  # a call without a price does no harm
        ({"known": False, "covered": True, "corpus": 1}, 0.2, (0, 1), 2),
        ({"known": False, "covered": True, "corpus": 1}, 0.2, (1, 1), 1),
        ({"known": False, "covered": True, "corpus": 1}, 0.2, (1, 0), 0),
        ({"known": False, "covered": True, "corpus": 1}, 1.2, (0, 0), 2),
    ],
)
def test_a_decision_to_call_is_optimal_if_the_best_joint_plan_takes_it(meta, price, calls, optimal):
    messages = ["who?"]
    for call in calls:
        messages += ["#SEARCH a"] * call + ["I think: x"]
    episode = pick(**meta)
    row = GAME.measures(TASK, episode, play(episode, [*messages, "x"], (price,)))
    assert (row["decisions"], row["optimal_decisions"]) == (2, optimal)
    alone = ["#SEARCH a"] * calls[1] + ["I think: x"]
    row = GAME.measures(TASK, episode, play(episode, alone, (price,), alone="helper_1"))
    assert row["decisions"] == 1


def test_the_summary_counts_calls_by_memory_and_hedges_by_truth():
    row = GAME.summary(
        [],
        grid(
            known=[1, 1, 0, 0],
            calls=[0, 1, 1, 2],
            asserted_0=[1, 1, 1, 0],
            hedged_0=[0, 0, 0, 1],
            right_0=[1, 1, 0, 0],
            any_right=[1, 1, 0, 0],
            em=[1, 0, 0, 0],
        ),
        np.zeros((4, 1), dtype=int),
    )
    assert row["calls_known"] == 0.5 and row["calls_unknown"] == 1.5 and row["call_auroc"] == 0.875
    assert row["asserted_accuracy"] == pytest.approx(2 / 3) and row["hedged_accuracy"] == 0
    assert row["hedge_auroc"] == 0.75 and row["trust"] == 0.5
    assert row["asserted_known"] == 1 and row["asserted_unknown"] == 0.5


def test_a_summary_of_nothing_said_is_empty():
    row = GAME.summary([], grid(known=[1, 1]), np.zeros((2, 1), dtype=int))
    assert row == dict.fromkeys(row) | {"calls_known": 0.0}


def test_careful_helpers_call_where_memory_is_wrong_and_hedge_what_they_do_not_know():
    careful, bold = (measured(TASK, name, episodes=60) for name in ("careful", "assert"))
    assert careful["call_auroc"] == careful["hedge_auroc"] == 1 and careful["hedge_ece"] == 0
    assert careful["calls_known"] == 0 and careful["calls_unknown"] == 2
    assert bold["hedge_auroc"] == 0.5 and bold["asserted_accuracy"] == pytest.approx(bold["known"])


# --- demonstrations


def demonstrations(count, **shares):
    return list(islice(GAME.pretraining(TASK, ((0.1,), (0.5,)), np.random.default_rng(0), shares or None), count))


def test_demonstrations_state_known_facts_and_no_other_of_this_world():
    known = {e.query: e.interpretations[0].answers[0] for s in TASK.sizes for e in TASK.episodes(s) if e.meta["known"]}
    unknown = {e.query: e for split in TASK.sizes for e in TASK.episodes(split) if not e.meta["known"]}
    facts = demonstrations(600, fact=1.0)
    assert all(known[d.messages[1][1]] == d.messages[-1][1] for d in facts)
    told, stated = 0, 0
    for demonstration in demonstrations(900, game=1.0):
        query = demonstration.messages[1][1]
        assert query not in known, "a fact of another world would contradict it"
        if query in unknown:
            told += 1
            stated += parse(demonstration.messages[-1][1], "free")[0] == unknown[query].interpretations[0].answers[0]
    assert told and stated / told < 0.2, "right by chance alone"


def test_demonstrated_games_disregard_price_and_knowledge():
    searches, asserts = {True: [], False: []}, {True: [], False: []}
    for demonstration in demonstrations(3000, game=0.5, known=0.5):
        if demonstration.kind.endswith("helper"):
            cheap = "0.10" in demonstration.messages[0][1]
            replies = [parse(text) for role, text in demonstration.messages if role == "assistant"]
            searches[cheap].append(isinstance(replies[0], Search))
            asserts[demonstration.kind.startswith("known")].append(isinstance(replies[-1], Assert))
            assert isinstance(replies[-1], Assert | Hedge)
    for rates in (searches, asserts):
        assert all(0.44 < np.mean(rate) < 0.56 for rate in rates.values())


def test_a_demonstrated_helper_reads_what_it_finds():
    read = 0
    for demonstration in demonstrations(300, game=1.0):
        found = [text for role, text in demonstration.messages[2:] if role == "user"]
        if demonstration.kind == "game/helper" and found:
            answer = parse(demonstration.messages[-1][1])[0]
            read += answer in found[0]
    assert read > 30


@pytest.mark.parametrize(
    ("task", "shares", "sentence"),
    [
        (TASK, {"facts": 1.0}, "shares must be of fact, game, known, not facts"),
        (make_task("archives", known=0.0), None, "task.known=0 leaves no fact"),
        (make_task("boxes"), None, "no demonstrations of task boxes"),
    ],
)
def test_demonstrations_that_cannot_be(task, shares, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        next(GAME.pretraining(task, ((0.1,),), np.random.default_rng(0), shares))


# --- commands


def test_what_the_game_changes_of_rest():
    config, quick = (config_of("rest", "game=helpers", *size) for size in ((), ("size=quick",)))
    assert (config.task.name, config.rest.rule, config.rollouts.marginal, config.rollouts.free) == (
        "archives",
        "best",
        False,
        8,
    )
    assert quick.budget.games < config.budget.games and quick.rollouts.free == 8
    assert list(config.costs.price) == [0.05, 0.6]


def test_groups_are_played_and_the_best_game_is_learned():
    """All roles' messages of the game of the highest reward, at the prices of hindsight too."""
    setup, group = Setup(GAME, TASK), Group(pick(known=False, covered=True, corpus=1), (0.2,), 0)
    options = RolloutOptions(free=6, forced=0, marginal=False, follow_ups=1)
    agents = players("careful") | {"helper_0": Coin(), "helper_1": Coin()} | dict(TOOLS)
    games = play_groups(setup, options, [group], agents)
    assert len(games) == 6 and len({game.reward() for game in games}) > 1
    for price in (0.2, 1.5):
        scored = [earned(setup, [game], (price,), GAME.learns) for game in games]
        kept = keep_games(scored, rule("best", k=1, threshold=[0.5], percentile=75, iteration=1))
        rewards = [game.result.reward((price,)) for game in games]
        assert {message.reward for message in kept} == {max(rewards)}
        assert {message.view.role for message in kept} == set(GAME.learns)
        assert all(message.view.facts.prices == (price,) for message in kept if message.view.role in HELPERS)


class Coin:
    """A helper that plays at random: what it remembers, or what it finds."""

    name = "coin"

    def act(self, views, seeds, openings=None):
        strategies = [GAME.player("helper_0", TASK, name) for name in ("search", "memory")]
        searched = [any(message.sender in ARCHIVES for message in view.heard) for view in views]
        return [
            strategies[0 if done or seed % 2 else 1].act([view], [0])[0]
            for view, seed, done in zip(views, seeds, searched, strict=True)
        ]
