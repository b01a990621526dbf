"""The games that methods learn from: every action tried, every reading played, or neither."""

from collections import Counter

import pytest
from omegaconf import OmegaConf
from toys import ASHFORD, Toy

from clarify_env.costs import Costs
from clarify_env.games.base import Reply
from clarify_env.games.clarification.actions import TAGS
from clarify_env.games.clarification.rules import ClarificationGame
from clarify_env.games.clarification.strategies import ScriptedAssistant
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.tasks.base import make_task
from trainers.rollouts import sample
from trainers.rollouts.sample import generated_tokens, play_groups

TASK, COSTS = Toy(), Costs(0.25, 0.03)
SAID_BY = {"clarify": TAGS[0], "answer": TAGS[1], "multi_answer": TAGS[2]}
SAID = {TAGS[0]: "#CLARIFY Which kind?", TAGS[1]: "#ANSWER Brandt", TAGS[2]: "#MULTI_ANS film: Brandt; opera: Jon Vale"}


class Says:
    """Begins as it is told to, else guesses; after a question it answers with what the user said."""

    name = "says"

    def act(self, views, seeds, prefixes=None):
        self.seeds = [*getattr(self, "seeds", ()), *seeds]
        prefixes = prefixes or [""] * len(views)
        texts = [
            f"#ANSWER {view.history[-1][1]}" if view.history else SAID[prefix or TAGS[1]]
            for view, prefix in zip(views, prefixes, strict=True)
        ]
        return [
            Reply(text, ids=(len(prefix), 1, 2), forced=bool(prefix))
            for text, prefix in zip(texts, prefixes, strict=True)
        ]


def played(**options):
    config = OmegaConf.create(
        {"sample": {"free": 2, "forced": 4, "actions": list(SAID_BY), "marginal": True, "follow_ups": 3} | options}
    )
    agents = {"assistant": Says(), "user": ScriptedUser(TASK)}
    return play_groups(
        config, TASK, [(ASHFORD, COSTS, 7)], agents, lambda *game: ClarificationGame(*game), 100
    ), agents["assistant"]


def test_each_distinct_message_is_played_for_each_reading():
    games, _ = played()
    first = Counter((game.turns[0].reply.text, game.intent) for game in games)
    assert set(first) == {(text, intent) for text in SAID.values() for intent in range(3)}
    assert {count for (text, _), count in first.items() if text == SAID[TAGS[0]]} == {3}, "follow-ups"
    assert {count for (text, _), count in first.items() if text != SAID[TAGS[0]]} == {1}
    assert [game.id for game in games] == list(range(100, 115)) and {game.costs for game in games} == {COSTS}


def test_plain_sampling_plays_one_game_a_message_for_an_intent_drawn_by_weight():
    games, assistant = played(free=3000, forced=0, marginal=False)
    assert len(games) == 3000 and {game.turns[0].reply.text for game in games} == {SAID[TAGS[1]]}
    shares = Counter(game.intent for game in games)
    for intent, reading in enumerate(ASHFORD.interpretations):
        assert shares[intent] / 3000 == pytest.approx(reading.weight, abs=0.03)
    games, assistant = played(free=1, forced=1, marginal=False)
    assert [game.turns[0].reply.text for game in games] == [SAID[TAGS[1]], *SAID.values()], "in no other way"
    assert len(set(assistant.seeds)) == len(assistant.seeds), "no seed is used twice"


def test_tokens_that_games_share_count_once_and_forced_ones_not_at_all():
    games, _ = played(free=0, forced=1)
    # Three first messages of three tokens, one of them forced; after the question three replies, and of three games
    # each the first is forced to answer.
    assert generated_tokens(games) == 3 * 2 + 3 * (2 + 3)


def test_games_may_be_begun_with_some_tags_alone():
    games, _ = played(free=0, forced=5, actions=["clarify"], marginal=False, follow_ups=1)
    assert [game.turns[0].reply.text for game in games] == [SAID[TAGS[0]]] * 5


class Quiet:
    """A run that only has a place."""

    def __init__(self, folder):
        self.dir = folder
        folder.mkdir(exist_ok=True)

    def bar(self, *_):
        return lambda _: None

    def recorded(self, *_):
        return True


# As many games a group as a question has readings, by an assistant that guesses.
GUESSING = {
    "seed": 0,
    "budget": {"questions": None},
    "sample": {"free": 2, "forced": 0, "actions": [], "marginal": True, "follow_ups": 1},
    "selfplay": {"max_questions": 2, "redact_leaks": False, "reasoning": "none"},
    "costs": {"alpha": [0.15, 0.62], "beta": [0.02, 0.05], "values": 28, "steps": [0.01, 0.001], "band": 0.05},
}


@pytest.mark.parametrize("rule", ["free", "charged"])
def test_reasoning_is_refused_before_anything_is_played(rule, tmp_path):
    config = OmegaConf.create({"seed": 0, "selfplay": {"reasoning": rule}})
    said = f"selfplay.reasoning={rule} is for measuring alone"
    with pytest.raises(NotImplementedError, match=said):
        next(sample.grow(config, Quiet(tmp_path), TASK, {}, 1, 400))
    with pytest.raises(NotImplementedError, match=said):
        sample.players(config, TASK, None, None, 1.0)


def test_a_group_is_a_question_at_one_costs_even_where_a_chunk_holds_it_twice(almanac, tmp_path, monkeypatch):
    monkeypatch.setattr(sample, "GROUPS", 5)
    config = OmegaConf.create(GUESSING)
    agents = {"assistant": ScriptedAssistant(almanac, "guess"), "user": ScriptedUser(almanac)}
    config.budget.questions = 3
    few = {episode.id for episode, _ in sample.grow(config, Quiet(tmp_path / "few"), almanac, agents, 1, 100)}
    assert few == {almanac.episode("train", index).id for index in range(3)}
    config.budget.questions = None
    chosen = {
        episode.id for episode, _ in sample.grow(config, Quiet(tmp_path / "some"), almanac, agents, 1, 100, [5, 2])
    }
    assert chosen == {almanac.episode("train", index).id for index in (2, 5)}
    groups = list(sample.grow(config, Quiet(tmp_path), almanac, agents, 1, 400))
    assert len(groups) > 100 and all(len({game.costs for game in games}) == 1 for _, games in groups)
    assert all({game.episode_id for game in games} == {episode.id} for episode, games in groups)


def test_no_more_games_are_played_than_the_last_group_makes(tmp_path):
    almanac = make_task("almanac")  # with more training questions than a chunk holds
    agents = {"assistant": ScriptedAssistant(almanac, "guess"), "user": ScriptedUser(almanac)}
    for budget in (20, 150, 333):
        run = Quiet(tmp_path / str(budget))
        played, again = (
            [len(games) for _, games in sample.grow(OmegaConf.create(GUESSING), run, almanac, agents, 1, budget)]
            for _ in range(2)
        )
        assert 2 <= max(played) <= 5, "readings of a question"
        # A whole chunk of 32 questions has about 100 games.
        assert budget <= sum(played) < budget + 3 * max(played)
        assert again == played, "read from disk"
