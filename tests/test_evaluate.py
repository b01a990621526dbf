"""`clarify_env.evaluate`: any agent in one call, as the command measures it."""

import inspect
import json

import numpy as np
import pytest
from toys import Toy

import clarify_env
from clarify_env import CostPlane, Costs, evaluate
from clarify_env.evaluation import evaluate as evaluating
from clarify_env.games.base import Reply
from clarify_env.games.clarification.strategies import ScriptedAssistant
from clarify_env.games.clarification.users import ScriptedUser

COSTS = (0.25, 0.03)


def guess(messages):
    """A function of chat messages."""
    return "#ANSWER Brandt"


class Guesser:
    """An agent without a name."""

    def act(self, views, seeds, openings=None):
        return [Reply(guess(None)) for _ in views]


class Writer(Guesser):
    """An agent that returns texts."""

    name = "writer"

    def act(self, views, seeds, openings=None):
        return [guess(None) for _ in views]


# On the one training episode of the toy task, a reading of weight 0.5 of three has the answer: 0.5 less one word.
@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (guess, "guess"),
        (Guesser(), "Guesser"),
        (Writer(), "writer"),
        ("guess", "guess"),
        (lambda _: "#ANSWER Brandt", "<"),
    ],
)
def test_any_agent_is_measured_exactly_over_readings(agent, name):
    table = evaluate(agent, Toy(), COSTS, split="train")
    (row,) = table
    assert row["reward"] == pytest.approx(0.47) and row["accuracy"] == 0.5 and row["words"] == 1
    assert row["share_answer"] == 1 and row["share_clarify"] == row["questions"] == row["share_invalid"] == 0
    assert row["reward_low"] == row["reward_high"] == pytest.approx(0.47), "there is one entity"
    assert (row["costs"], row["episodes"], row["games"]) == ("given", 1, 3)
    assert row["percent_of_oracle"] == pytest.approx(47 / row["oracle"]) and row["regret"] > 0
    assert table.title.startswith(f"toy/train: user scripted, assistant {name}")
    printed = str(table).splitlines()
    assert len(printed) == 3 and "% of oracle" in printed[1] and " 0.470 " in printed[2]
    assert json.loads(json.dumps(table.rows)) == list(table), "rows are flat and JSON"
    row["gap_closed"] = -0.001
    assert " 0.00  " in str(table) and "-0.00" not in str(table), "zero has no sign"


def test_an_agent_that_asks_hears_the_scripted_user():
    heard = []

    def ask(messages):
        heard.append(messages[-1]["content"])
        return "#CLARIFY Which kind?" if len(messages) == 2 else "#ANSWER Brandt"

    (row,) = evaluate(ask, Toy(), COSTS, split="train", style="zero_shot")
    assert row["questions"] == 1 and row["reward"] == pytest.approx(0.5 - 0.25 - 0.03)
    assert len(heard) == 4 and "The opera one." in heard, "one first message, then one for each reading"


PLANE = CostPlane()


@pytest.mark.parametrize(
    ("costs", "names", "vectors"),
    [
        (None, list(PLANE.sets()), 100),
        ("between", ["between"], 20),
        (PLANE, list(PLANE.sets()), 100),
        (COSTS, ["given"], 1),
        (Costs(*COSTS), ["given"], 1),
        (np.array(COSTS), ["given"], 1),
        ([COSTS, (0.5, 0.05)], ["given"], 2),
        (np.array([COSTS] * 3), ["given"], 3),
        ({"cheap": [(0.1, 0.01)], "mine": [COSTS, (0, 0)]}, ["cheap", "mine"], 3),
    ],
)
def test_costs_are_given_in_every_form(costs, names, vectors):
    table = evaluate("guess", Toy(), costs)
    assert [row["costs"] for row in table] == names and len(table) == len(names)
    single = table.by_costs()
    assert len(single) == vectors and "price of questions" in str(single)
    assert sum(row["games"] for row in single) == sum(row["games"] for row in table)
    for row in table:
        rewards = [one["reward"] for one in single if one["costs"] == row["costs"]]
        assert np.mean(rewards) == pytest.approx(row["reward"])
    if costs is COSTS:
        assert (single[0]["price_questions"], single[0]["price_words"]) == COSTS


@pytest.mark.parametrize("strategy", ["threshold", "oracle"])
def test_it_is_what_the_command_measures(almanac, tmp_path, strategy, monkeypatch, capsys):
    from configs import arguments_of

    from trainers.evaluation import measure
    from trainers.runs.run import Run

    monkeypatch.setattr("trainers.reporting.report.write_report", lambda folder: None)
    sizes = {"train_names": 4, "validation_names": 2, "test_names": 2}
    overrides = ["assistant=scripted", f"assistant.strategy={strategy}", "eval.grid=2", "eval.modes=[temperature]"]
    overrides += [f"task.{name}={size}" for name, size in sizes.items()]
    experiment = arguments_of("evaluate", *overrides)["experiment"]
    with Run(tmp_path, {"command": "evaluate"}) as run:
        measure.measure_policy(run, experiment, method="evaluate")
    entries = json.loads((tmp_path / "summary.json").read_text())["eval"]
    table = evaluate(strategy, "almanac", task_options=sizes)
    assert [row["costs"] for row in table] == list(entries)
    for row in table:
        entry = entries[row["costs"]]["temperature"]
        assert [row["reward_low"], row["reward_high"]] == entry["reward_ci"]
        for name in ("reward", "accuracy", "questions", "words", "oracle", "gap_closed", "dominance", "regret"):
            assert row[name] == entry[name], name
        assert row["optimal_match"] == entry["optimal_match"]
        assert [row["optimal_match_low"], row["optimal_match_high"]] == entry["optimal_match_ci"]
        for action, share in entry["share"].items():
            assert row[f"share_{action}"] == share
    capsys.readouterr()


def test_its_defaults_are_the_commands():
    from trainers.runs.options import EvalOptions

    defaults = inspect.signature(evaluate).parameters
    for name in ("split", "episodes", "seed"):
        assert defaults[name].default == getattr(EvalOptions(), name)


def test_progress_and_transcripts():
    steps = []
    costs = [COSTS, (0.5, 0.05)]
    table = evaluate(
        "oracle",
        "almanac",
        costs,
        episodes=5,
        chunk=4,
        transcripts=3,
        progress=lambda *counts: steps.append(counts),
    )
    assert steps == [(4, 10), (8, 10), (10, 10)]
    assert len(table.transcripts) == 3
    for shown in table.transcripts:
        assert shown["set"] == "given" and shown["reward"] <= 1 and shown["oracle"] is not None


def test_other_players_may_be_named():
    class Mute:
        name = "mute"

        def act(self, views, seeds, openings=None):
            return [Reply("") for _ in views]

    guessing = ScriptedAssistant(Toy(), "guess")
    (row,) = evaluate("guess", Toy(), COSTS, split="train", agents={"user": Mute()})
    assert row["accuracy"] == 0 and row["ungrounded"] == 1
    (row,) = evaluate(Mute(), Toy(), COSTS, split="train", role="user", agents={"assistant": guessing})
    assert row["accuracy"] == 0 and row["share_answer"] == 1, "the shares are of the assistant's messages"


def test_what_beats_the_oracle_is_warned_of_and_still_returned(monkeypatch):
    def beaten(*_):
        raise AssertionError("a policy beats the oracle by 0.1 on test/0: its plans have a hole")

    monkeypatch.setattr(evaluating, "check_not_beaten", beaten)
    with pytest.warns(UserWarning, match="at given costs a policy beats the oracle by 0.1"):
        table = evaluate("guess", Toy(), COSTS)
    assert len(table) == 1


class Short(Guesser):
    """An agent that forgets to reply."""

    def act(self, views, seeds, openings=None):
        return []


class Replies:
    """An agent whose `act` returns what it was made with."""

    def __init__(self, replies):
        self.replies = replies

    def act(self, views, seeds, openings=None):
        return self.replies


REFUSED = [
    ({"task": "chess"}, "unknown task 'chess'", "no such task"),
    ({"task": Toy}, r"task must be a task or the name of one, not .*Toy.*: make one, Toy\(\)", "a class"),
    ({"task_options": {"a": 1}}, "task_options are those of a task given by name; toy is made already", "options"),
    ({"split": "tset"}, "split: task toy has no split 'tset', only train, test", "no such split"),
    ({"episodes": 0}, "episodes must be a whole number of at least 1, not 0", "no episodes"),
    ({"episodes": 2.0}, "episodes must be a whole number of at least 1, not 2.0", "a fraction"),
    ({"costs": "cheap"}, "costs: game clarification has no cost set 'cheap', only seen, between", "no such set"),
    ({"costs": (0.1,)}, "costs", "too few costs"),
    ({"costs": (0.1, -1)}, "costs.beta must be", "a negative cost"),
    ({"costs": []}, "costs must be vectors with a price for each of: questions, words", "no costs"),
    ({"costs": [(0.1, 0.2), (0.1,)]}, "costs must be vectors with a price for each of", "ragged costs"),
    ({"game": "chess"}, "unknown game 'chess'", "no such game"),
    ({"role": "judge"}, "game clarification has no role 'judge', only assistant, user", "no such role"),
    ({"agents": {"judge": Guesser()}}, "game clarification has no role 'judge'", "no such other role"),
    ({"agents": {"assistant": Guesser()}}, "agents names every role of game clarification that learns", "all named"),
    (
        {"max_question": 1},
        "game clarification has no option max_question; known: leaks, max_questions",
        "no such option",
    ),
    ({"max_questions": -1}, "game.max_questions must be a whole number of at least 0, not -1", "a wrong option"),
    ({"agent": "cleverest"}, "game clarification has no scripted assistant named 'cleverest'; known: oracle", "a name"),
    ({"style": "sonnet"}, "style must be one of", "no such style"),
    ({"costs": {}}, "costs names no cost set", "no cost sets"),
    ({"costs": ("0.1", "0.2")}, "costs must be vectors with a price for each of", "prices as texts"),
    ({"costs": (True, False)}, "costs.alpha must be a finite number of at least 0, not True", "a truth value"),
    ({"costs": (10**400, 0)}, "costs.alpha must be a finite number of at least 0", "no float"),
    ({"episodes": True}, "episodes must be a whole number of at least 1, not True", "a truth value of episodes"),
    ({"seed": -1}, "seed must be a whole number of at least 0, not -1", "a negative seed"),
    ({"seed": None}, "seed must be a whole number of at least 0, not None", "no seed"),
    ({"chunk": 0}, "chunk must be a whole number of at least 1, not 0", "an empty chunk"),
    ({"chunk": -1}, "chunk must be a whole number of at least 1, not -1", "a negative chunk"),
    ({"transcripts": -1}, "transcripts must be a whole number of at least 0, not -1", "negative transcripts"),
    ({"transcripts": 1.5}, "transcripts must be a whole number of at least 0, not 1.5", "half a transcript"),
    ({"task": "almanac", "task_options": {"world_seed": -1}}, "task.world_seed must be a whole number in", "its seed"),
    ({"task": "almanac", "task_options": {"test_names": "9"}}, "task.test_names must be a whole number", "its size"),
    ({"task": "almanac", "task_options": 5}, "task_options must be a dictionary, not 5", "no options"),
    ({"agents": {"user": "parrot"}}, "game clarification has no scripted user named 'parrot'", "no such user"),
]


@pytest.mark.parametrize(("wrong", "sentence", "why"), REFUSED, ids=[why for *_, why in REFUSED])
def test_what_is_wrong_is_said_before_a_game_is_played(wrong, sentence, why):
    def played(messages):
        raise AssertionError("a game was played")

    arguments = {"agent": played, "task": Toy(), "costs": COSTS} | wrong
    with pytest.raises(ValueError, match=sentence):
        evaluate(**arguments)


@pytest.mark.parametrize(
    ("agent", "sentence"),
    [
        (7, "agent must be an object with act"),
        (Guesser, "agent must be an object with act"),
        (lambda messages: {"content": "x"}, "a reply must be a text or None, not {'content': 'x'}"),
        (Replies(None), r"agent Replies: act\(\) must return a list of replies, not None"),
        (Replies("#"), r"agent Replies: act\(\) must return a list of replies, not '#'"),
        (Replies({0: "#ANSWER x"}), r"agent Replies: act\(\) must return a list of replies, not {0"),
        (Replies([Reply(7)]), "agent Replies: a reply must be a text or None, not 7"),
        (
            Short(),
            r"agent Short: act\(\) returned 0 replies to 1 views",
        ),
    ],
)
def test_what_is_no_agent(agent, sentence):
    with pytest.raises(TypeError, match=sentence):
        evaluate(agent, Toy(), COSTS)


def test_another_player_that_cannot_act_is_refused():
    with pytest.raises(
        TypeError, match=r"agents.user must be an object with act\(views, seeds, openings\), a function"
    ):
        evaluate(guess, Toy(), COSTS, agents={"user": 7})


@pytest.mark.parametrize("user", ["scripted", lambda messages: "The film one.", Guesser()])
def test_other_players_are_given_in_every_form(user):
    (row,) = evaluate(guess, Toy(), COSTS, split="train", agents={"user": user})
    assert row["games"] == 3 and row["share_answer"] == 1


@pytest.mark.parametrize(
    "given",
    [{"seed": np.int64(3)}, {"episodes": np.int32(2)}, {"chunk": np.uint8(1)}, {"transcripts": np.int64(0)}],
    ids=str,
)
def test_numbers_of_numpy_are_numbers(given):
    python = {name: int(value) for name, value in given.items()}
    assert list(evaluate(guess, Toy(), COSTS, **given)) == list(evaluate(guess, Toy(), COSTS, **python))


@pytest.mark.parametrize("costs", [np.float32([[0.1, 0.3], [0.2, 0.3]]), [np.float32([0.1, 0.3]), (0.2, 0.3)]])
def test_costs_of_fewer_bits_are_read_by_their_decimal_form(costs):
    assert evaluate(guess, Toy(), costs).sets[0].costs == ((0.1, 0.3), (0.2, 0.3))


def test_no_reply_is_an_invalid_message():
    (row,) = evaluate(lambda messages: None, Toy(), COSTS)
    assert row["share_invalid"] == 1 and row["accuracy"] == 0 and clarify_env.evaluate is evaluate


def test_the_faults_of_a_user_of_the_callers_are_reported(almanac):
    def user(messages):
        return "I will not say."

    options = {"costs": [(0.1, 0.01), (0.2, 0.01)], "episodes": 2}
    table = clarify_env.evaluate("ask", almanac, agents={"user": user}, **options)
    report = table.faults["user"]
    assert table[0]["games"] <= report["messages"] <= 3 * table[0]["games"]
    assert report["kinds"]["no_answer"]["count"] > 0 and report["kinds"]["leak"]["count"] == 0
    assert report["kinds"]["ungrounded"]["rate"] == 1.0 and table.by_costs().faults == table.faults
    assert clarify_env.evaluate("ask", almanac, **options).faults == {}, "the scripted user has none"
    assert clarify_env.evaluate("ask", almanac, agents={"user": "scripted"}, **options).faults == {}


def test_a_user_of_the_callers_may_know_which_messages_did_not_end(almanac):
    class Cut(ScriptedUser):
        """Reaches the longest length in every message."""

        def ended(self, reply):
            return False

    def unended(user):
        kinds = evaluate("ask", almanac, COSTS, episodes=2, agents={"user": user}).faults["user"]["kinds"]
        return kinds["unended"]["count"], kinds["unended"]["of"]

    count, of = unended(Cut(almanac))
    assert count == of > 0 and unended(ScriptedUser(almanac)) == (0, of), "a player that cannot tell has none"
