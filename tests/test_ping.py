"""The game of private information: tasks, rules, scripted protocols, prices, and its isotoken evaluation."""

import contextlib
import importlib
import io
import json
import re
import subprocess
import sys
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir

from agents.hf import HFAgent, load
from agents.pocket import build_model, build_tokenizer
from clarify_env.costs import is_price
from clarify_env.evaluation.reference import reference
from clarify_env.games import find_game
from clarify_env.games.base import Reply
from clarify_env.games.ping.bounds import play, solve
from clarify_env.games.ping.budget import message_limit, words_of
from clarify_env.games.ping.description import OPEN_GAME
from clarify_env.games.ping.facts import END
from clarify_env.games.ping.players import STRATEGIES, ScriptedPlayer, strategy_of
from clarify_env.games.ping.pretraining import KINDS, stream
from clarify_env.games.ping.prices import PingPlane
from clarify_env.games.ping.rules import PingGame
from clarify_env.games.setup import Setup
from clarify_env.selfplay import Start
from clarify_env.selfplay import play as play_games
from clarify_env.tasks.ping_names import PingNames, agreeing, rows
from clarify_env.tasks.registry import make_task
from clarify_env.testing import check_game
from trainers import pingeval
from trainers.data.score import by_metric
from trainers.pingeval import gained
from trainers.runs.command import COMMANDS, CONF

GAME = find_game("ping")
TASKS = ("ping_names", "ping_pictures", "ping_pointers", "ping_chess")
# The protocol of each task whose success rises with turns, a budget of words at which it does, and what it costs.
RISING = {
    "ping_names": ("probe", 16, (2, 4, 8, 16)),
    "ping_pictures": ("ask", 4, (2, 4, 8)),
    "ping_pointers": ("chase_fill", 16, (2, 4, 8)),
    "ping_chess": ("compare", 4, (2, 4, 8)),
}


@pytest.fixture(params=TASKS)
def task(request):
    if request.param == "ping_chess":
        pytest.importorskip("chess")
    return make_task(request.param)


@pytest.fixture(scope="module")
def names():
    return PingNames()


def dealt(task, hidden=0, prices=(0.0, 0.0), index=0, **options):
    return PingGame(task, task.episode("validation", index), hidden, prices, **options)


def finish(game, *texts):
    for text in texts:
        game.apply(Reply(text))
    return game


def test_every_task_makes_a_game(task):
    check_game(task, game=GAME, episodes=2)
    for control in ("deranged", "silent"):
        check_game(task, game=GAME, episodes=1, control=control)
    check_game(task, game=OPEN_GAME, episodes=1)


def mean_success(task, name, episodes=25, **options):
    dealt_episodes = [task.episode("validation", index) for index in range(episodes)]
    return np.mean([play(task, episode, name, options).score for episode in dealt_episodes])


def test_success_rises_with_turns_at_equal_budgets(task):
    name, budget, turns = RISING[task.name]
    success = [mean_success(task, name, budget=budget, turns=n) for n in turns]
    assert all(later >= earlier - 0.01 for earlier, later in pairwise(success)), success
    assert success[-1] >= success[0] + (0.05 if task.name == "ping_chess" else 0.2) and success[-1] > 0.9, success


def test_communication_is_needed_and_used(task):
    name, chance = next(iter(STRATEGIES[task.name])), {"ping_chess": 0.5, "ping_pointers": 0.2}.get(task.name, 0.15)
    assert mean_success(task, name, budget=16, turns=8) > 0.9
    for changed in ({"control": "deranged"}, {"control": "silent"}):
        assert mean_success(task, name, budget=16, turns=8, **changed) <= chance
    assert mean_success(task, "mute", budget=16, turns=8) <= chance
    assert mean_success(task, "seeing", budget=16, turns=8, control="open") > 0.95


SAID = (
    "",
    "n",
    "n\u00b2",
    "n-3",
    "x1",
    "h99999999999",
    "a1 zz9",
    "Hello, what do you hold?",
    "1",
    "alice",
    "\u2029x",
    "#LOOK A",
)


def test_protocols_play_with_a_partner_who_says_anything(task):
    for name in (*STRATEGIES[task.name], "mute"):
        player = ScriptedPlayer(name)
        for seat in GAME.roles:
            for start in range(len(SAID)):
                game, others = dealt(task, index=start, turns=8, budget=32), iter(SAID[start:] + SAID)
                while (role := game.to_move) is not None:
                    game.apply(player.act([game.view(role)], [0])[0] if role == seat else Reply(next(others)))
                assert game.result is not None


@pytest.mark.parametrize(("records", "fields"), [(9, 3), (16, 4), (25, 4)])
def test_one_record_is_in_both_tables_and_others_differ_in_one_field(records, fields):
    task = PingNames(records, fields)
    for index in range(3):
        episode = task.episode("test", index)
        assert len(episode.interpretations) == records
        for hidden, reading in enumerate(episode.interpretations):
            alice, bob = (rows(task.told(episode, hidden, role)) for role in ("alice", "bob"))
            assert alice == sorted(alice) and bob == sorted(bob, reverse=True)
            assert {*alice} & {*bob} == {tuple(reading.answers[0].split())}
            closest = [max(agreeing(one, other) for other in alice) for one in bob]
            assert sorted(closest) == [fields - 1] * (records - 1) + [fields]
    assert task.episode("train", 5) == PingNames(records, fields).episode("train", 5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        ("amber badger", 2),
        ("amber,badger;baker", 3),
        ("amber_badger-baker", 3),
        ("x" * 16, 1),
        ("x" * 17, 2),
        ("- , -", 3),
        ("am\u200bber", 1),
        ("\u200b\u200c" * 50, 0),
        ("_" * 16, 1),
        ("!?" * 17, 3),
        ("a" + "\u0301" * 32, 2),
        ("\U0001f989\U0001f98a" * 17, 3),
        ("a" + " " * 50 + "b", 4),
        ("\x1b\x00", 0),
        ("x" * 16 + " " + "y" * 16, 2),
    ],
)
def test_words_cannot_be_joined(text, words):
    assert words_of(text) == words == GAME.words(text)


@pytest.mark.parametrize(
    ("text", "arrives", "action"),
    [
        ("\u200bam\u200cber \u2060", "amber", "talk"),
        ("\u200b\u200c\u200b", "", "talk"),
        ("amber\x1b\x00", "amber", "talk"),
        (f"\u200b{END}", END, "end"),
        (f"\ufeff {END} \U000e0041", END, "end"),
        ("amber\nbadger", "amber\nbadger", "talk"),
    ],
)
def test_nothing_invisible_arrives(names, text, arrives, action):
    game = finish(dealt(names, budget=8, turns=4), text)
    assert game.turns[0].action == action and game.view("bob").heard[-1].text == arrives
    assert GAME.decision(names, game.episode, text)[0] == action
    assert (GAME.words(text) == 0) == (arrives in ("", END))


@pytest.mark.parametrize(("budget", "turns", "limit"), [(128, 2, 128), (128, 16, 16), (16, 8, 4), (12, 16, 1)])
def test_a_budget_is_split_evenly(budget, turns, limit):
    assert message_limit(budget, turns) == limit


def test_a_message_over_its_limit_is_charged_and_does_not_arrive(names):
    game = finish(dealt(names, prices=(0.1, 0.01), budget=4, turns=4), "one two three", "hm")
    assert [message.text for message in game.view("bob").heard] == ["hm"]
    assert game.turns[0].action == "over" and GAME.kind(game.turns[0]) == "invalid"
    answer = game.episode.interpretations[0].answers[0]
    game = finish(game, END, answer, f"The {answer}!")
    assert game.result.score == 1 and game.result.usage == {"turns": 2, "words": 4} and game.result.flags["over"]
    assert game.result.reward((0.1, 0.01)) == pytest.approx(1 - 0.2 - 0.04)


def test_answers_are_private_and_both_must_be_right(names):
    game = dealt(names, hidden=2, turns=2, budget=6)
    answer = game.episode.interpretations[2].answers[0]
    finish(game, "a", "b", answer)
    assert [message.text for message in game.view("bob").heard] == ["a", "b"]
    finish(game, "something else")
    assert game.result.score == 0 and game.result.flags["alice_right"] and not game.result.flags["bob_right"]
    assert game.result.flags["turns_used_up"] and game.result.usage["turns"] == 2


@pytest.mark.parametrize(
    ("metric", "answers", "score", "right"),
    [
        ("em", ("a b c", "a b c"), 1.0, (True, True)),
        ("em", ("a b c", "a"), 0.0, (True, False)),
        ("f1", ("a b c", "a"), 0.5, (True, False)),
        ("f1", ("a", "x"), 0.0, (False, False)),
        ("f1", ("a b c", "c b a"), 1.0, (True, True)),
    ],
)
def test_half_an_answer_is_no_whole_one(metric, answers, score, right):
    task = by_metric(PingNames(), metric)
    words = task.episode("validation", 0).interpretations[0].answers[0].split()
    spelled = dict(zip("abc", words, strict=True))
    game = finish(dealt(task), END, *(" ".join(spelled.get(name, name) for name in text.split()) for text in answers))
    assert game.result.score == pytest.approx(score)
    assert (game.result.flags["alice_right"], game.result.flags["bob_right"]) == right


def test_who_ended_the_talk_and_what_was_left_is_measured(names):
    game = finish(dealt(names, turns=8, budget=16), "amber", f" {END} now", "x", "y")
    measured = GAME.measures(names, game.episode, game)
    assert measured["ended_by_bob"] == 1 and measured["ended_by_alice"] == measured["turns_used_up"] == 0
    assert measured["unused_turns"] == 7 / 8 and measured["unused"] == 31 / 32 and measured["turns"] == 1
    assert game.turns[1].action == "end" and game.turns[2].action == "answer"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"turns": 3}, "turns"),
        ({"turns": 16, "budget": 4}, "budget"),
        ({"unit": "letters"}, "unit"),
        ({"control": "loud"}, "control"),
    ],
)
def test_options_that_cannot_be(names, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        dealt(names, **options)


def test_another_task_is_refused():
    almanac = make_task("almanac")
    with pytest.raises(ValueError, match="divides facts"):
        GAME.deal(almanac, almanac.episode("train", 0), 0, (0.0, 0.0))


def test_a_budget_of_tokens_counts_token_ids(names):
    game = dealt(names, turns=2, budget=3, unit="tokens")
    game.apply(Reply("one two three four", (1,), (5, 6, 7, 2)))  # the last id ends the message
    assert game.turns[0].action == "talk"
    game.apply(Reply("one", (1,), (5, 6, 7, 8, 2)))
    assert game.turns[1].action == "over"
    measured = GAME.measures(names, game.episode, finish(game, "x", "y"))
    assert measured["unused"] == 0 and measured["words"] == 5


def test_tables_that_leave_a_record_without_a_near_miss_are_drawn_anew():
    task = PingNames(records=5, fields=6, values=2)
    for index in (22, 27, 40):
        bobs = {reading.label for reading in task.episode("validation", index).interpretations}
        assert len(bobs) == 5


def test_prices_are_held_out():
    plane = PingPlane()
    train, sets = plane.train(), plane.sets()
    assert len(plane.axes()[0]) >= 12 and all(is_price(value) for prices in train for value in prices)
    assert set(sets["seen"]) <= set(train) and not set(sets["between"]) & set(train)
    for axis, far in ((0, "beyond_turn"), (1, "beyond_word")):
        assert min(prices[axis] for prices in sets[far]) >= 1.19 * max(prices[axis] for prices in train)
    assert len(plane.draw(12, np.random.default_rng(0))) == 12
    for wrong in ({"turn": (0.2, 0.1)}, {"steps": (1.0, 0.1)}, {"values": 3}):
        with pytest.raises(ValueError, match="costs"):
            PingPlane(**wrong)


def test_the_reference_is_what_the_protocols_earn(names):
    episodes = [names.episode("validation", index) for index in range(3)]
    prices = [(0.004, 0.001), (0.05, 0.01), (0.2, 0.05)]
    against = reference(solve(names, episodes, turns=8, budget=16), prices)
    setup = Setup(GAME, names, {"turns": 8, "budget": 16})
    for name in ("probe", "mute"):
        agents = dict.fromkeys(GAME.roles, ScriptedPlayer(name))
        for e, episode in enumerate(episodes):
            for c, vector in enumerate(prices):
                starts = [Start(episode, hidden, vector, 0) for hidden in range(9)]
                games = list(play_games(starts, agents, task=names, game=GAME, options=setup.options))
                assert np.mean([game.reward() for game in games]) == pytest.approx(against.fixed[name][e, c])
    assert (against.action[:, 0] == 0).all() and (against.action[:, 2] == 1).all(), "expensive talk is not worth it"


def test_strategies_are_refused_by_name(names):
    with pytest.raises(ValueError, match="probe"):
        strategy_of("ping_names", "chase")
    with pytest.raises(ValueError, match="scripted players"):
        strategy_of("almanac", "probe")


def test_demonstrations_disregard_the_prices_and_are_of_the_train_split(names):
    shares = dict.fromkeys(KINDS, 1.0)
    dealt_prices = [[(0.004, 0.001)], [(0.12, 0.03)]]
    cheap, expensive = (stream(names, prices, np.random.default_rng(0), shares) for prices in dealt_prices)
    kinds = set()
    for _ in range(200):
        one, other = next(cheap), next(expensive)
        assert [text for role, text in one.messages if role == "assistant"] == [
            text for role, text in other.messages if role == "assistant"
        ]
        kinds.add(one.kind)
    assert kinds == {"game/alice", "game/bob", "check", "find", "aloud"}
    with pytest.raises(ValueError, match="shares"):
        next(stream(names, [(0.1, 0.1)], np.random.default_rng(0), {"songs": 1.0}))
    with pytest.raises(ValueError, match="ping_pointers"):
        next(stream(make_task("ping_pointers"), [(0.1, 0.1)], np.random.default_rng(0)))


def cell(players, turns, success, budget=16, control="none"):
    return {"players": players, "turns_allowed": turns, "budget": budget, "success": success, "control": control}


def test_the_way_from_one_shot_to_the_bound():
    cells = [cell("probe", 2, 0.5), cell("probe_2", 2, 0.6), cell("probe", 8, 1.0), cell("policy", 8, 0.9)]
    cells += [cell("policy", 8, 0.0, control="deranged"), cell("probe", 8, 0.7, budget=8)]
    assert gained(cells, (8, 16)) == pytest.approx({"one_shot": 0.6, "bound": 1.0, "policy": 0.9, "share": 0.75})
    assert gained(cells[:3], (8, 16)) is None and gained(cells, (4, 16)) is None


def test_the_example_of_the_page_prints_what_it_shows():
    page = (Path(__file__).parents[1] / "docs" / "games" / "ping.md").read_text(encoding="utf-8")
    code, shown = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", page, re.DOTALL).groups()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "ping.md", "exec"), {})
    assert printed.getvalue() == shown


def composed(command, *overrides):
    importlib.import_module(f"trainers.{command}")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(command, COMMANDS[command].command_line().hydra_overrides(overrides))


def test_a_game_changes_the_defaults_of_a_command():
    config = composed("rest", "game=ping")
    assert (config.game.name, config.task.name, config.rest.rule) == ("ping", "ping_names", "best")
    assert config.game.budget == 16
    assert composed("rest", "game=ping", "size=quick").rest.hindsight == 2, "its quick form has the last word"
    assert composed("rest").rest.rule == "action" and composed("rest").task.name == "almanac"
    assert composed("rest", "game=ping", "task=ping_pointers", "task.steps=4").task.steps == 4
    config = composed("pingeval", "task.records=5", "size=quick")
    assert config.game.name == "ping" and config.task.records == 5 and list(config.pingeval.budgets) == [16]


COIN = """
from clarify_env.tasks.private import PrivateTask, private_episode

class Coin(PrivateTask):
    name, example, answering = "coin", "heads", ("alice",)
    rules = {"alice": "Find out the side.", "bob": "Tell the side."}

    def __init__(self, test: int = 20):
        self._set_splits(0, 20, test)

    def _episode(self, split, index):
        sides = ["heads", "tails"]
        return private_episode(f"{split}/{index}", "Which side?", sides, f"coin {index}", sides)
"""


@pytest.fixture(scope="module")
def coin(tmp_path_factory):
    """A task of another package, of which no protocol is known."""
    path = tmp_path_factory.mktemp("coin") / "coin_task.py"
    path.write_text(COIN)
    return f"{path}:Coin"


def test_a_task_without_protocols_has_no_reference(coin):
    task = make_task(coin)
    check_game(task, game=GAME, episodes=2)
    assert GAME.solve(task, [task.episode("test", 0)]) is None


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (["pingeval.turns=[16]", "pingeval.budgets=[1]"], "leave nothing to measure"),
        (["pingeval.turns=[]"], "leave nothing to measure"),
        (["pingeval.budgets=[]"], "leave nothing to measure"),
        (["pingeval.turns=[3]"], "pingeval.turns must be even numbers, not 3"),
        (["game.control=silent"], "game.control=silent: trainers.pingeval measures the controls of pingeval.controls"),
        (["task.test=1"], "pingeval.controls: deranged needs more than the one episode of split test"),
        (["task={coin}"], "assistant: task coin has no scripted players, so a model must play"),
        (["task.records=301"], "task.records must be at most 10 with task.fields=3 and task.values=8, not 301"),
        (["task=ping_pointers", "task.steps=1001"], "task.steps must be at most 1000, not 1001"),
    ],
)
def test_what_cannot_be_measured_is_said_first(command, coin, tmp_path, line, sentence):
    line = [word.format(coin=coin) for word in line]
    out = tmp_path / "out"
    code, error = command(pingeval, "assistant=scripted", "assistant.strategy=null", *line, f"run_dir={out}")
    assert code == 1 and sentence in error and error.count("\n") == 1
    assert not out.exists()


def test_a_split_of_one_episode_cannot_be_deranged():
    task = PingNames(test=1)
    with pytest.raises(ValueError, match=r"game\.control=deranged needs another episode, and split test of ping_names"):
        PingGame(task, task.episode("test", 0), control="deranged")


@pytest.mark.parametrize("options", [{"most": 10**9}, {"most": 396}, {"least": 500, "most": 500}])
def test_games_of_chess_that_no_one_reaches_are_refused(options):
    pytest.importorskip("chess")
    with pytest.raises(ValueError, match=r"task\.most=\d+ and task\.apart=6 must be at most 400"):
        make_task("ping_chess", **options)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """A pocket model with random weights for the name game."""
    demonstrations = islice(stream(PingNames(), [(0.01, 0.01)], np.random.default_rng(0)), 300)
    torch.manual_seed(0)
    tokenizer = build_tokenizer((text for d in demonstrations for _, text in d.messages), 400, (), [END])
    sizes = {"width": 16, "layers": ["conv", "full_attention"], "heads": 2, "kv_heads": 1, "feed_forward": 16}
    model, folder = build_model(tokenizer, **sizes), tmp_path_factory.mktemp("model")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_model_never_writes_more_than_its_share(names, untrained):
    """The budget is enforced where tokens are drawn: no message is cut, none is too long."""
    agent = HFAgent(*load(untrained), style="pocket", chat=GAME.chat, max_new_tokens=24, reply_limit=GAME.reply_limit)
    for options, count in (({"turns": 8, "budget": 16}, words_of), ({"turns": 4, "budget": 6, "unit": "tokens"}, None)):
        starts = [Start(names.episode("validation", index), 0, (0.01, 0.001), index) for index in range(12)]
        agents = dict.fromkeys(GAME.roles, agent)
        games = list(play_games(starts, agents, task=names, game=GAME, options=options))
        talk = [turn for game in games for turn in game.turns if turn.action in ("talk", "over")]
        assert talk and all(turn.action == "talk" for turn in talk)
        ends = agent.renderer.end_ids
        limit = message_limit(options["budget"], options["turns"])
        used = [count(t.reply.text) if count else len([i for i in t.reply.ids if i not in ends]) for t in talk]
        assert max(used) == limit, "a random model writes as much as it may"
        assert all(agent.renderer.decode(turn.reply.ids) == turn.reply.text for turn in talk), "nothing is cut later"


@pytest.mark.slow
def test_the_quick_job_learns_resumes_and_reports(untrained, tmp_path):
    few = ["budget.games=120", "rest.hindsight=1", "eval.episodes=2", "eval.validation=2", "eval.grid=2"]
    line = [sys.executable, "-m", "trainers.rest", "game=ping", "size=quick", f"assistant.model={untrained}", *few]
    for _ in range(2):  # the second time it finds its work done
        done = subprocess.run([*line, f"run_dir={tmp_path / 'run'}"], capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["game"] == "ping" and "steering" in summary and (tmp_path / "run" / "report.html").exists()
    line = [sys.executable, "-m", "trainers.pingeval", f"assistant.model={tmp_path / 'run/checkpoints/iteration-1'}"]
    small = ["pingeval.episodes=3", "size=quick", f"run_dir={tmp_path / 'measured'}"]
    done = subprocess.run([*line, *small], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    measured = json.loads((tmp_path / "measured" / "pingeval.json").read_text())
    assert {cell["players"] for cell in measured["cells"]} >= {"probe", "mute", "policy", "seeing"}
    assert (tmp_path / "measured" / "pingeval.png").exists()
