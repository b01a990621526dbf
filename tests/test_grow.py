"""Growing games: which groups there are, how many games are played, and what is read from disk."""

import re
from dataclasses import replace

import pytest
from configs import arguments_of
from conftest import SMALL

from clarify_env.costs import CostPlane
from clarify_env.games import find_game
from clarify_env.games.base import Reply
from clarify_env.games.clarification.strategies import ScriptedAssistant
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.games.setup import Setup
from clarify_env.tasks.registry import make_task
from trainers.rollouts import grow as growing
from trainers.rollouts.groups import Group, most_games, play_groups, was_played
from trainers.runs.experiment import Experiment
from trainers.runs.options import BudgetOptions, RolloutOptions


class Quiet:
    """A run that only has a place."""

    def __init__(self, folder):
        self.dir = folder
        folder.mkdir(exist_ok=True)

    def bar(self, *_):
        return lambda _: None

    def recorded(self, *_):
        return True


# As many games a group as an episode has readings, by an assistant that guesses.
GUESSING = RolloutOptions(free=2, forced=0, actions=[], follow_ups=1)
PLANE = CostPlane((0.15, 0.62), (0.02, 0.05), 28, (0.01, 0.001))


def experiment_on(task):
    return Experiment(Setup(find_game("clarification"), task), plane=PLANE)


@pytest.mark.parametrize("rule", ["free", "charged"])
def test_reasoning_is_refused_before_anything_is_played(rule):
    small = [word for word in SMALL if word.startswith("task.")]
    with pytest.raises(NotImplementedError, match=f"game.reasoning={rule} is for measuring alone"):
        arguments_of("rest", f"game.reasoning={rule}", *small)


def test_a_group_is_an_episode_at_one_price_vector_even_where_a_chunk_holds_it_twice(almanac, tmp_path, monkeypatch):
    monkeypatch.setattr(growing, "GROUPS", 5)
    experiment = experiment_on(almanac)
    agents = {"assistant": ScriptedAssistant(almanac, "guess"), "user": ScriptedUser(almanac)}
    few_episodes = replace(experiment, budget=BudgetOptions(episodes=3))
    few = {episode.id for episode, _ in growing.grow(few_episodes, GUESSING, Quiet(tmp_path / "few"), agents, 1, 100)}
    assert few == {almanac.episode("train", index).id for index in range(3)}
    chosen = {
        episode.id
        for episode, _ in growing.grow(experiment, GUESSING, Quiet(tmp_path / "some"), agents, 1, 100, [5, 2])
    }
    assert chosen == {almanac.episode("train", index).id for index in (2, 5)}
    groups = list(growing.grow(experiment, GUESSING, Quiet(tmp_path), agents, 1, 400))
    assert len(groups) > 100 and all(len({game.prices for game in games}) == 1 for _, games in groups)
    assert all({game.episode_id for game in games} == {episode.id} for episode, games in groups)


@pytest.mark.parametrize("budget", [20, 150, 333, *(pytest.param(n, marks=pytest.mark.slow) for n in (300, 1000))])
def test_at_most_the_budget_of_games_is_played(tmp_path, monkeypatch, budget):
    almanac = make_task("almanac")  # with more training episodes than a chunk holds
    agents = {"assistant": ScriptedAssistant(almanac, "guess"), "user": ScriptedUser(almanac)}

    def grown(name, games):
        groups = growing.grow(experiment_on(almanac), GUESSING, Quiet(tmp_path / name), agents, 1, games)
        return [[(game.id, game.seed, game.prices) for game in group] for _, group in groups]

    played, whole = grown("played", budget), grown("whole", 3 * budget)
    size = sum(map(len, played))
    assert size <= budget < size + max(map(len, whole)), "the next group would not fit"
    assert played == whole[: len(played)], "a smaller budget ends earlier, and changes nothing before"
    assert grown("played", budget) == played, "read from disk"
    append = growing.ChunkWriter.append
    with monkeypatch.context() as patched:
        patched.setattr(growing.ChunkWriter, "append", lambda log, games: append(log, games) or 1 / 0)
        while sum(map(len, _until_killed(lambda: grown("torn", budget)))) < size:
            pass
    assert grown("torn", budget) == played, "whichever chunk it was killed after"


def _until_killed(grown):
    try:
        return grown()
    except ZeroDivisionError:
        return []


class Sampled(ScriptedAssistant):
    """Guesses in two tokens, and counts the tokens that it was asked for."""

    tokens = 0

    def act(self, views, seeds, openings=None):
        self.tokens += 2 * len(set(zip(views, seeds, strict=True)))
        return [
            reply._replace(prompt_ids=(0,), ids=(1, 2), logprobs=(-1.0, -1.0))
            for reply in super().act(views, seeds, openings)
        ]


@pytest.mark.parametrize("marginal", [True, False])
def test_every_token_sampled_is_counted_also_after_a_kill(almanac, tmp_path, monkeypatch, marginal):
    """First messages that equal another one, and those of the group that does not fit, are sampled and not played."""
    monkeypatch.setattr(growing, "GROUPS", 3)
    rollouts = replace(GUESSING, free=4, marginal=marginal)

    def grown(name):
        agents = {"assistant": Sampled(almanac, "guess"), "user": ScriptedUser(almanac)}
        used = {"games": 0, "generated_tokens": 0}
        run = Quiet(tmp_path / name)
        games = [
            game
            for _, group in growing.grow(experiment_on(almanac), rollouts, run, agents, 1, 70, None, used)
            for game in group
        ]
        assert used["games"] == len(games) <= 70
        return used, agents["assistant"].tokens, games

    used, sampled, games = grown("whole")
    assert used["generated_tokens"] == sampled
    distinct = len({(game.turns[0].view, game.turns[0].reply.ids, game.seed) for game in games})
    assert sampled > 2 * distinct, "more than the games tell"
    assert grown("whole")[:2] == (used, 0), "read from disk"
    append = growing.ChunkWriter.append
    for last in range(3):

        def dies(log, games, last=last):
            if log.chunks == last:
                raise ZeroDivisionError  # after the tokens were written, and before the games
            append(log, games)

        with monkeypatch.context() as patched, pytest.raises(ZeroDivisionError):
            patched.setattr(growing.ChunkWriter, "append", dies)
            grown("killed")
    assert grown("killed")[0] == used
    lines = (tmp_path / "killed" / "first_messages" / "iteration-1.jsonl").read_text().splitlines()
    assert [line for k, line in enumerate(lines) if line not in lines[:k]] == (
        tmp_path / "whole" / "first_messages" / "iteration-1.jsonl"
    ).read_text().splitlines()


NEEDS = [
    ("rest", ["budget.games=30"], "30 games an iteration do not hold one group of rollouts.*, which needs up to"),
    ("rest", ["budget.games=300", "rest.iterations=10"], "budget.games: 30 games an iteration do not hold"),
    ("rest", ["rest.iterations=2147483648"], "raise budget.games, or lower rest.iterations, rollouts.free"),
    ("stargate", ["stargate.iterations=16000"], "raise budget.games, or lower stargate.iterations, rollouts.free"),
    ("rest", ["budget.games=5", "rest.iterations=10"], "budget.games: 0 games an iteration do not hold"),
    ("rest", ["rollouts.free=0", "rollouts.forced=0"], "rollouts: free and forced are 0"),
    ("rwsft", ["budget.games=2"], "needs up to 3 (3 first messages); raise budget.games"),
    ("stargate", ["budget.games=9"], "needs up to 10 (10 first messages)"),
    ("contrastive", ["budget.games=30"], "budget.games: 15 games an iteration do not hold one group"),
    ("contrastive", ["budget.games=200", "contrastive.rounds=150"], "no games for each of contrastive.rounds=150"),
    ("grpo", ["budget.games=79"], "budget.games=79 does not hold one step of grpo.games_a_step=80 games"),
]


@pytest.mark.parametrize(
    ("command", "overrides", "sentence"), NEEDS, ids=[" ".join([row[0], *row[1]]) for row in NEEDS]
)
def test_a_budget_that_holds_no_group_is_refused_and_what_it_needs_is_said(command, overrides, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        arguments_of(command, *overrides)


def test_the_most_games_of_a_group_are_enough_for_any_messages(almanac):
    """Counted for an assistant whose first messages all differ."""
    experiment, rollouts = experiment_on(almanac), RolloutOptions(free=2, forced=2, follow_ups=3)
    texts = {"": "#CLARIFY what about {}?", "#CLARIFY": "#CLARIFY {}?", "#ANSWER": "#ANSWER {}"}

    class Rambler:
        name = "rambler"

        def act(self, views, seeds, openings=None):
            openings = openings or [""] * len(views)
            return [
                Reply((texts.get(o, "#MULTI_ANS {}") if not v.heard else "#ANSWER {}").format(seed))
                for v, seed, o in zip(views, seeds, openings, strict=True)
            ]

    for index in range(4):
        group = Group(almanac.episode("train", index), PLANE.train()[0], 5)
        agents = {"assistant": Rambler(), "user": ScriptedUser(almanac)}
        games = play_groups(experiment.setup, rollouts, [group], agents)
        assert len(games) <= most_games(experiment.setup, rollouts, group)
        assert was_played(rollouts, group, games) and not was_played(rollouts, group._replace(seed=10**6), games)
        assert play_groups(experiment.setup, rollouts, [group], agents, most=len(games) - 1) == []
