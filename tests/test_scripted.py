import numpy as np
import pytest
from toys import ASHFORD, DUNLEY, Toy

from clarify_env.costs import CostPlane, Costs
from clarify_env.games.base import View
from clarify_env.games.clarification.oracle import FIXED, solve
from clarify_env.games.clarification.rules import ClarificationGame
from clarify_env.games.clarification.strategies import STRATEGIES, ScriptedAssistant
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.tasks.base import make_task
from trainers.evaluation.metrics import play_cells, reference

SETS = CostPlane().sets()
EVERY = "#MULTI_ANS film: Brandt; opera: Jon Vale; bridge: Bank of Lund"
CELLS = SETS["between"][::3] + SETS["beyond_both"][::7] + SETS["seen"][::6] + (Costs(0.0, 0.0), Costs(0.05, 0.001))


@pytest.fixture(scope="module")
def solved():
    task = make_task("almanac", train_names=8, validation_names=2, test_names=8)
    episodes = list(task.episodes("test"))
    return task, episodes, solve(task, episodes)


def played(task, episodes, name, cells=CELLS):
    agents = {"assistant": ScriptedAssistant(task, name), "user": ScriptedUser(task)}
    return play_cells(task, episodes, cells, agents, ClarificationGame, seed=3, chunk=64)


def test_the_oracle_player_earns_what_the_oracle_says(solved):
    task, episodes, tables = solved
    result, against = played(task, episodes, "oracle"), reference(tables, CELLS)
    assert not result.drawn.any()
    assert np.abs(result.values["reward"] - against.oracle).max() < 1e-9, "exact over intents"
    assert np.abs(result.values["words"] - against.words).max() < 1e-9
    assert (result.first == against.action).all(), "by the actions it says"
    assert {*np.unique(result.first)} == {0, 1, 2}, "all of which these questions and costs call for"
    assert not result.values["invalid"].any() and not result.values["ungrounded"].any()


@pytest.mark.parametrize("name", FIXED)
def test_a_fixed_strategy_earns_what_is_said_of_it(solved, name):
    task, episodes, tables = solved
    result = played(task, episodes, name)
    assert np.abs(result.values["reward"] - reference(tables, CELLS).fixed[name]).max() < 1e-9


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
    return View("assistant", episode.query, "", None, history, Costs(0.25, 0.03), len(history), episode.id)


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
