import numpy as np
import pytest
from toys import ASHFORD, DUNLEY, Toy

from agents.selfplay import Start, play
from clarify_env.costs import CostPlane, Costs
from clarify_env.games.base import Message, Trajectory
from clarify_env.games.clarification.actions import KINDS, kind
from clarify_env.games.clarification.oracle import FIXED, solve
from clarify_env.games.clarification.rules import ClarificationGame
from clarify_env.games.clarification.strategies import STRATEGIES, ScriptedAssistant
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.tasks.registry import make_task

SETS = CostPlane().sets()
EVERY = "#MULTI_ANS film: Brandt; opera: Jon Vale; bridge: Bank of Lund"
CELLS = SETS["between"][::3] + SETS["beyond_both"][::7] + SETS["seen"][::6] + (Costs(0.0, 0.0), Costs(0.05, 0.001))


@pytest.fixture(scope="module")
def solved():
    task = make_task("almanac", train_names=8, validation_names=2, test_names=8)
    episodes = list(task.episodes("test"))
    return task, episodes, solve(task, episodes)


def played(task, episodes, name):
    """Every game of every episode at every costs, with its weight and where it belongs: (weight, episode, costs)."""
    agents = {"assistant": ScriptedAssistant(task, name), "user": ScriptedUser(task)}
    everything = [
        (reading.weight, e, c, Start(episode, intent, costs, seed=3))
        for e, episode in enumerate(episodes)
        for c, costs in enumerate(CELLS)
        for intent, reading in enumerate(episode.interpretations)
    ]
    games = play([start for *_, start in everything], agents, task=task)
    return [(weight, e, c, game) for (weight, e, c, _), game in zip(everything, games, strict=True)]


def expected(games, episodes, value):
    """Expected value over intents, shape [episodes, costs]."""
    table = np.zeros((len(episodes), len(CELLS)))
    for weight, e, c, game in games:
        table[e, c] += weight * value(game)
    return table


def is_tied(task, game):
    """Whether more than one item of the closing list fits what the user means."""
    closing = game.moves(["assistant"])[-1].action
    fits = getattr(closing, "items", ()) and task.pick(closing.items, game.hidden, task.lookup(game.episode_id))
    return len(fits) > 1


def test_the_oracle_player_earns_what_the_oracle_says(solved):
    task, episodes, tables = solved
    games, costs = played(task, episodes, "oracle"), np.array(CELLS)
    values, actions = (np.array(part) for part in zip(*(table.oracle(costs) for table in tables), strict=True))
    assert not any(is_tied(task, game) for *_, game in games)
    assert np.abs(expected(games, episodes, Trajectory.reward) - values).max() < 1e-9, "exact over intents"
    length = expected(games, episodes, lambda game: game.result.usage["words"])
    assert np.abs(length - [table.words_used(costs) for table in tables]).max() < 1e-9
    firsts = {(e, c, KINDS.index(kind(game.turns[0].action))) for _, e, c, game in games}
    assert firsts == {(*at, action) for at, action in np.ndenumerate(actions)}, "by the actions it says"
    assert {first for *_, first in firsts} == {0, 1, 2}, "all of which these questions and costs call for"
    assert not any(any(game.result.flags.values()) for *_, game in games)


@pytest.mark.parametrize("name", FIXED)
def test_a_fixed_strategy_earns_what_is_said_of_it(solved, name):
    task, episodes, tables = solved
    earned = expected(played(task, episodes, name), episodes, Trajectory.reward)
    assert np.abs(earned - [table.fixed(np.array(CELLS))[name] for table in tables]).max() < 1e-9


@pytest.mark.parametrize(
    ("name", "alpha", "said", "why"),
    [
        ("guess", 0.1, "#ANSWER Brandt", "the likeliest reading, by its shortest alias"),
        ("list", 0.1, EVERY, "every reading, no article"),
        ("ask", 0.9, "#CLARIFY Which kind?", "what tells most readings apart, whatever it costs"),
        ("threshold", 0.49, "#CLARIFY Which kind?", "1 - 0.49 is more than the best guess, 0.5"),
        ("threshold", 0.5, "#ANSWER Brandt", "1 - 0.5 is not"),
        ("oracle", 0.01, "#CLARIFY Which kind?", "at a low price a question is best"),
    ],
)
def test_first_messages(name, alpha, said, why):
    view = ClarificationGame(Toy(), ASHFORD, 1, Costs(alpha, 0.01)).view("assistant")
    assert ScriptedAssistant(Toy(), name).say(view) == said, why


def seen(*history, episode=ASHFORD):
    game, heard = ClarificationGame(Toy(), episode, 0, Costs(0.25, 0.03)), tuple(Message(*said) for said in history)
    return game.view_at("assistant", heard, game.prices)


@pytest.mark.parametrize(
    ("name", "history", "said", "why"),
    [
        ("ask", [("assistant", "#CLARIFY Which kind?"), ("user", "The opera one.")], "#ANSWER Jon Vale", "it listens"),
        (
            "ask",
            [("assistant", "#CLARIFY Which kind?"), ("user", "No idea, sorry!")],
            EVERY,
            "a reply that fits no reading tells nothing",
        ),
        ("oracle", [("assistant", "#CLARIFY Which era?"), ("user", "The Tudor one.")], "#ANSWER Bank of Lund", "too"),
        ("list", [], EVERY, "nothing said yet"),
    ],
)
def test_what_was_heard_counts(name, history, said, why):
    assert ScriptedAssistant(Toy(), name).say(seen(*history)) == said, why


def test_a_single_reading_is_answered():
    for name in ("guess", "list", "oracle", "threshold"):
        assert ScriptedAssistant(Toy(), name).say(seen(episode=DUNLEY)) == "#ANSWER May 1901", name


def test_an_unknown_strategy():
    with pytest.raises(ValueError, match=r"assistant\.strategy must be one of guess, .* not 'bluff'"):
        ScriptedAssistant(Toy(), "bluff")
    assert set(FIXED) < set(STRATEGIES)
