"""The helpers' game: messages, rules, prompts, scripted players and joint plans."""

import re

import numpy as np
import pytest
from helping import EPISODES, GAME, TASK, TOOLS, measured, pick, play, players

pytest.importorskip("bm25s")

from clarify_env.evaluation.played import play_all
from clarify_env.evaluation.reference import reference
from clarify_env.games.helpers import retrieval
from clarify_env.games.helpers.actions import Assert, Hedge, Invalid, Say, Search, parse
from clarify_env.games.helpers.facts import ARCHIVES, ASKER, HELPERS
from clarify_env.games.helpers.plans import FIXED
from clarify_env.games.helpers.rules import label_order
from clarify_env.games.helpers.strategies import ASKER_STRATEGIES, HELPER_STRATEGIES, weighed
from clarify_env.games.setup import Setup
from clarify_env.tasks.registry import make_task
from clarify_env.testing import check_game, check_task


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


def test_prompts_state_price_archive_and_question_for_those_who_may_know_them():
    episode = EPISODES[0]
    game = play(episode, ["who?", "#SEARCH a", "I know: y", "I think: x"], prices=(0.35,))
    for style in GAME.styles:
        asker, helpers = GAME.chat(game.view(ASKER), style), [GAME.chat(game.view(role), style) for role in HELPERS]
        heard = {"plain": "who?", "pocket": " who?"}[style]  # there a word is one token wherever it stands
        assert episode.query in str(asker) and "0.35" not in str(asker)
        for chat, corpus in zip(helpers, TASK.corpora, strict=True):
            assert "0.35" in chat[0]["content"] and corpus.about in chat[0]["content"]
            assert episode.query not in str(chat) and chat[1] == {"role": "user", "content": heard}
        assert [m["role"] for m in helpers[0]] == ["system", "user", "assistant", "user", "assistant"]
        assert [m["role"] for m in asker] == ["system", "user", "assistant", "user"]
    alone = GAME.deal(TASK, episode, 0, (0.35,), alone="helper_0").view("helper_0")
    assert GAME.chat(alone)[1]["content"] == episode.query


def test_free_wording_asks_for_a_sentence():
    closed, free = (GAME.deal(TASK, EPISODES[0], 0, (0.1,), wording=w).view("helper_0") for w in ("closed", "free"))
    assert "I know:" in GAME.chat(closed)[0]["content"] and "I know:" not in GAME.chat(free)[0]["content"]
    assert GAME.chat(closed, "pocket") != GAME.chat(free, "pocket")


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


@pytest.mark.parametrize("calls", [0, 1, 2])
@pytest.mark.parametrize("alone", ["none", "asker", "helper_0", "helper_1"])
def test_plans_are_what_the_scripted_players_earn(alone, calls):
    prices = ((0.1,), (0.5,), (1.2,))
    setup = Setup(GAME, TASK, {"alone": alone, "calls": calls})
    against = reference(GAME.solve(TASK, EPISODES, alone=alone, calls=calls), prices)
    for name in ("oracle", *FIXED):
        played = play_all(setup, EPISODES, prices, players(name, name) | dict(TOOLS), GAME.roles, seed=0, chunk=1000)
        value = against.oracle if name == "oracle" else against.fixed[name]
        np.testing.assert_allclose(played.values["reward"], value, atol=1e-9, err_msg=name)
        if name == "oracle":
            np.testing.assert_allclose(played.values["calls"], against.used["calls"])
            assert not played.values["invalid"].any()
            assert (played.first == against.action).all() or alone.startswith("helper")  # which asserts, or hedges
            assert (played.values["optimal_decisions"] == played.values["decisions"]).all()
    assert (against.oracle >= np.stack(list(against.fixed.values())).max(0) - 1e-9).all()


@pytest.mark.parametrize(
    ("meta", "price", "plan"),
    [
        ({"known": True}, 0.1, "memory"),
        ({"partly": True, "covered": True, "corpus": 0}, 0.3, "call_0"),
        ({"partly": True, "covered": True, "corpus": 0}, 0.4, "memory"),
        ({"known": False, "covered": True, "corpus": 0}, 0.1, "call_0"),
        ({"known": False, "covered": True, "corpus": 1}, 0.1, "call_1"),
        ({"known": False, "covered": True, "corpus": 1}, 1.5, "memory"),
        ({"known": False, "covered": False}, 0.1, "memory"),
    ],
)
def test_the_best_joint_plan_calls_where_memory_is_wrong_and_the_archive_right(meta, price, plan):
    (solved,) = GAME.solve(TASK, [pick(**meta)])
    assert solved.best(price)[0] == plan


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
