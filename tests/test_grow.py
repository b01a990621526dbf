"""Growing games: which groups there are, how many games are played, and what is read from disk."""

from dataclasses import replace

import pytest
from configs import arguments_of
from conftest import SMALL

from clarify_env.costs import CostPlane
from clarify_env.games import find_game
from clarify_env.games.clarification.strategies import ScriptedAssistant
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.games.setup import Setup
from clarify_env.tasks.base import make_task
from trainers.rollouts import grow as growing
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


def test_no_more_games_are_played_than_the_last_group_makes(tmp_path):
    almanac = make_task("almanac")  # with more training episodes than a chunk holds
    agents = {"assistant": ScriptedAssistant(almanac, "guess"), "user": ScriptedUser(almanac)}
    for budget in (20, 150, 333):
        run = Quiet(tmp_path / str(budget))
        played, again = (
            [len(games) for _, games in growing.grow(experiment_on(almanac), GUESSING, run, agents, 1, budget)]
            for _ in range(2)
        )
        assert 2 <= max(played) <= 5, "readings of an episode"
        # A whole chunk of 32 episodes has about 100 games.
        assert budget <= sum(played) < budget + 3 * max(played)
        assert again == played, "read from disk"
