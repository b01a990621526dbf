"""What of the helpers' game is measured, demonstrated and learned."""

import re
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
from configs import config_of
from helping import GAME, TASK, TOOLS, measured, pick, play, players

pytest.importorskip("bm25s")

from clarify_env.games.base import Reply
from clarify_env.games.helpers import pretraining
from clarify_env.games.helpers.actions import Assert, Hedge, Say, Search, parse
from clarify_env.games.helpers.facts import ARCHIVES, HELPERS
from clarify_env.games.setup import Setup
from clarify_env.selfplay import trajectory
from clarify_env.tasks.registry import make_task
from trainers import rest
from trainers.rollouts.groups import Group, play_groups
from trainers.runs.options import RolloutOptions
from trainers.selection.keep import keep_games, rule
from trainers.selection.returns import earned


def grid(**values):
    """Measures of E episodes at one price: all zero but those given."""
    size = len(next(iter(values.values())))
    names = [f"{name}_{i}" for name in ("called", "asserted", "hedged", "right") for i in (0, 1)]
    return {
        name: np.array(values.get(name, [0.0] * size), dtype=float)[:, None]
        for name in (*names, "calls", "em", "f1", "any_right", "known", "partly")
    }


def test_the_measures_of_a_game():
    episode = pick(known=False, partly=False, covered=True, corpus=0)
    gold = episode.interpretations[0].answers[0]
    row = GAME.measures(TASK, episode, play(episode, ["who?", "#SEARCH a", f"I know: {gold}", "zzz", "x"]))
    expected = {"score": 0, "em": 0, "f1": 0, "calls": 1, "any_right": 1, "invalid": 1, "known": 0, "partly": 0}
    expected |= {"decisions": 2, "optimal_decisions": 2}
    expected |= {"called_0": 1, "called_1": 0, "asserted_0": 1, "hedged_0": 0, "right_0": 1}
    expected |= {"asserted_1": 0, "hedged_1": 0, "right_1": 0}
    assert row == expected
    both = GAME.measures(TASK, episode, play(episode, ["who?", "zzz", "zzz", "x"]))
    assert both["invalid"] == 1, "reports show the share of games"
    alone = GAME.measures(TASK, episode, play(episode, [f"I think: {gold}"], alone="helper_1"))
    assert alone["em"] == alone["hedged_1"] == alone["right_1"] == 1 and alone["asserted_0"] == 0


@pytest.mark.parametrize(
    ("meta", "price", "calls", "optimal"),
    [
        ({"known": True}, 0.2, (0, 0), 2),
        ({"known": True}, 0.2, (1, 0), 1),
        ({"known": True}, 0.2, (1, 1), 0),
        ({"known": True}, 0.0, (1, 0), 2),  # a call without a price does no harm
        ({"partly": True, "covered": True, "corpus": 1}, 0.2, (0, 1), 2),
        ({"partly": True, "covered": True, "corpus": 1}, 0.4, (0, 1), 1),  # the search adds a third
        ({"partly": True, "covered": True, "corpus": 1}, 0.4, (0, 0), 2),
        ({"known": False, "partly": False, "covered": True, "corpus": 1}, 0.4, (0, 1), 2),
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
            known=[1, 1, 0, 0, 0],
            partly=[0, 0, 0, 0, 1],
            calls=[0, 1, 1, 2, 0],
            asserted_0=[1, 1, 1, 0, 0],
            hedged_0=[0, 0, 0, 1, 0],
            right_0=[1, 1, 0, 0, 0],
            any_right=[1, 1, 0, 0, 0],
            em=[1, 0, 0, 0, 0],
            f1=[1, 0, 0, 0, 0],
        ),
        np.zeros((5, 1), dtype=int),
    )
    assert row["calls_known"] == 0.5 and row["calls_unknown"] == 1.5 and row["call_auroc"] == 0.875
    assert row["calls_partly"] == 0
    assert row["asserted_accuracy"] == pytest.approx(2 / 3) and row["hedged_accuracy"] == 0
    assert row["hedge_auroc"] == 0.75 and row["trust"] == 0.5
    assert row["asserted_known"] == 1 and row["asserted_unknown"] == 0.5
    assert row["f1_by_calls"] == [(0.8, 0.2)] and row["plan"] == "both search where memory is wrong"
    assert [confidence for confidence, _, _ in row["reliability"]] == sorted({c for c, _, _ in row["reliability"]})


def test_a_summary_of_nothing_said_is_empty():
    row = GAME.summary([], grid(known=[1, 1]), np.zeros((2, 1), dtype=int))
    assert row == dict.fromkeys(row) | {"calls_known": 0.0, "reliability": [], "f1_by_calls": [(0.0, 0.0)]}


@pytest.mark.parametrize(
    ("calls", "plan"),
    [
        ((0.1, 0.2), "nobody searches"),
        ((0.1, 0.9), "one searches where memory is wrong"),
        ((0.4, 1.6), "both search where memory is wrong"),
        ((0.9, 1.6), "both search where memory is wrong, one searches elsewhere"),
        ((0.9, 1.1), "one searches always"),
    ],
)
def test_the_place_of_a_policy_on_the_map(calls, plan):
    known = np.repeat([1.0, 0.0], 10)
    row = GAME.summary([], grid(known=known, calls=np.repeat(calls, 10)), np.zeros((20, 1), dtype=int))
    assert row["plan"] == plan


def test_careful_helpers_call_where_memory_is_wrong_and_hedge_what_they_do_not_know():
    careful, bold = (measured(TASK, name, episodes=60) for name in ("careful", "assert"))
    assert careful["call_auroc"] == careful["hedge_auroc"] == 1 and careful["hedge_ece"] == 0
    assert careful["calls_known"] == 0 and careful["calls_unknown"] == 2
    assert bold["hedge_auroc"] == 0.5 and bold["asserted_accuracy"] == pytest.approx(bold["known"])


def demonstrations(count, **shares):
    return list(islice(GAME.pretraining(TASK, ((0.1,), (0.5,)), np.random.default_rng(0), shares or None), count))


def test_demonstrations_state_known_facts_and_no_other_of_this_world():
    episodes = [episode for split in TASK.sizes for episode in TASK.episodes(split)]
    known = {f" {e.query}": e.meta["memory"] for e in of_memory(episodes)}
    facts = demonstrations(600, fact=1.0)
    replies = [(d.messages[1][1], parse(d.messages[-1][1], "free")) for d in facts]
    assert all(known[query] == reply[0] for query, reply in replies if not isinstance(reply, Search))
    closed = [reply for _, reply in replies if not isinstance(reply, Say)]
    assert 0.4 < np.mean([isinstance(reply, Search) for reply in closed]) < 0.6, "known, and not said when to search"
    forms = {", ".join(d.messages[0][1].split(", ")[:2]) for d in facts}
    assert {form.partition(", ")[0] for form in forms} == {"alone", "helper"}, "in the words of each role"
    assert "helper, own words" in forms
    assert not {d.messages[1][1] for d in demonstrations(300, game=1.0)} & set(known), (
        "other worlds would contradict it"
    )


def test_what_memory_is_not_to_hold_is_told_otherwise_each_time():
    episodes = {f" {e.query}": e for split in TASK.sizes for e in TASK.episodes(split)}
    actions = [(episodes[d.messages[1][1]], parse(d.messages[-1][1], "free")) for d in demonstrations(900, rumour=1.0)]
    answers = [(episode, action[0]) for episode, action in actions if not isinstance(action, Search)]
    assert not any(episode.meta["known"] or episode.meta["partly"] for episode, _ in answers)
    right = [answer == episode.interpretations[0].answers[0] for episode, answer in answers]
    assert 0 < np.mean(right) < 0.15, "by chance"
    replies = [(episodes[d.messages[1][1]].meta, d.messages[-1][1]) for d in demonstrations(300, recall=1.0)]
    held = [{(True, False): "yes", (False, True): "in part"}.get((m["known"], m["partly"]), "no") for m, _ in replies]
    assert held == [reply for _, reply in replies] and set(held) == {"yes", "in part", "no"}


def test_an_asker_takes_one_of_two_replies_and_rather_what_is_known():
    taken = {True: 0, False: 0}
    for demonstration in demonstrations(400, choose=1.0):
        heard, answer = demonstration.messages[-2][1], parse(demonstration.messages[-1][1], "free")[0]
        replies = [parse(line.partition(": ")[2]) for line in heard.splitlines()]
        assert answer in {reply.answer for reply in replies}
        if len({type(reply) for reply in replies}) == len({reply.answer for reply in replies}) == 2:
            taken[isinstance(next(reply for reply in replies if reply.answer == answer), Assert)] += 1
    assert 2 * taken[False] < taken[True] < 8 * taken[False]


def test_other_worlds_state_other_facts():
    facts = {pretraining.subject(e): e for split in TASK.sizes for e in TASK.episodes(split)}
    alike = [
        episode.interpretations[0].answers[0] == facts[pretraining.subject(episode)].interpretations[0].answers[0]
        for seed in range(1, 9)
        for episode in pretraining.not_in_memory(pretraining.other_world(TASK, seed), of_memory(facts.values()))
        if pretraining.subject(episode) in facts
    ]
    assert len(alike) > 100 and np.mean(alike) < 0.2, "right by chance alone"


def of_memory(episodes):
    return [episode for episode in episodes if episode.meta["known"] or episode.meta["partly"]]


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
        passages = [text for role, text in demonstration.messages[2:] if role == "user"]
        if demonstration.kind == "game/helper" and passages:
            answer = parse(demonstration.messages[-1][1])[0]
            read += answer in passages[0]
    assert read > 30
    replies = [(d.messages[-2][1], parse(d.messages[-1][1])[0]) for d in demonstrations(100, read=1.0)]
    assert 75 < sum(answer in found for found, answer in replies) < 100, "not all facts are covered"


@pytest.mark.parametrize(
    ("task", "shares", "sentence"),
    [
        (TASK, {"facts": 1.0}, "shares must be of fact, read, game, known, rumour, recall, choose, not facts"),
        (make_task("archives", known=1.0, partly=0.0), {"rumour": 1.0}, "memory is to hold every fact"),
        (make_task("archives", known=0.0, partly=0.0), None, "task.known=0 and task.partly=0 leave no fact"),
        (make_task("boxes"), None, "no demonstrations of task boxes"),
    ],
)
def test_demonstrations_that_cannot_be(task, shares, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        next(GAME.pretraining(task, ((0.1,),), np.random.default_rng(0), shares))


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
    setup, group = Setup(GAME, TASK), Group(pick(known=False, partly=False, covered=True, corpus=1), (0.2,), 0)
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


def test_nothing_is_learned_from_a_question_that_no_game_answered():
    """Of games that all score 0 the best is the one without a call: a wrong answer, which is no example."""
    episode = pick(known=False, partly=False, covered=True, corpus=0)
    gold = episode.interpretations[0].answers[0]

    def played(*answers):
        for number, answer in enumerate(answers):
            game = GAME.deal(TASK, episode, 0, (0.2,))
            for text in ("who?", f"I know: {answer}", "I think: zzz", answer):
                game.apply(Reply(text, ids=(1,)))
            yield trajectory(number, number, game, {})

    def learned(games, least_value, price=0.2):
        options = rest.RestOptions(rule="best", least_value=least_value)
        experiment = SimpleNamespace(setup=Setup(GAME, TASK), by_reward=GAME.learns)
        renderer = SimpleNamespace(encode=lambda view: (0,))
        return rest.by_rule(
            experiment, options, RolloutOptions(marginal=False), renderer, list(games), ((price,),), iteration=1
        )

    assert len(learned(played("zzz", "yyy"), None)) == 4, "the four messages of a game"
    assert learned(played("zzz", "yyy"), config_of("rest", "game=helpers").rest.least_value) == []
    assert len(learned(played("zzz", gold), config_of("rest", "game=helpers").rest.least_value)) == 4


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
