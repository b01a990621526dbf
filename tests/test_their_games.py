"""Other people's games: two in tests/plugin, installed as a package, play through every interface and learn by ReST."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from configs import arguments_of, stored_run
from hydra import initialize_config_dir
from pettingzoo.test import api_test, seed_test
from plugin_wheel import SOURCE, install

import clarify_env
from agents.selfplay import Start, play
from clarify_env import games, make_task
from clarify_env.data.records import game_record, read_games
from clarify_env.evaluation.played import play_all
from clarify_env.evaluation.summary import summarize
from clarify_env.games import find_game, game_names
from clarify_env.games.base import Message, Reply
from clarify_env.games.setup import Setup
from clarify_env.testing import check_game, check_task
from clarify_env.testing.games import Noise
from trainers import compare, contrastive, grpo, imitate, prompted, rest, stargate
from trainers.data.export import export
from trainers.evaluation.measure import measure, validate
from trainers.runs import command as commands
from trainers.runs.experiment import Experiment
from trainers.runs.options import EvalOptions
from trainers.runs.run import Run
from trainers.runs.store import ChunkLog, ChunkWriter, read_json, read_lines, replay
from trainers.selection.tree import Tree

GAMES = {"hints": "objects", "desk": "trees"}


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory):
    """The package, installed by pip; its games are known by their entry points alone."""
    site = str(install(tmp_path_factory.mktemp("their")))
    sys.path.insert(0, site)
    before = dict(games._LOADED)
    commands.offer_plugins()  # the commands were imported before
    yield Path(site)
    sys.path.remove(site)
    games._LOADED.clear()  # other tests in this process do not know them
    games._LOADED.update(before)


@pytest.fixture(params=GAMES)
def setup(request):
    return Setup(find_game(request.param), make_task(GAMES[request.param]))


def noise(setup):
    return {role: Noise(setup.game, role) for role in setup.game.roles}


def starts(setup, count=12):
    prices = setup.game.plane().train()[0]
    episodes = [setup.task.episode("train", k % setup.task.sizes["train"]) for k in range(count)]
    return [Start(e, k % len(setup.weights(e)), prices, seed=k) for k, e in enumerate(episodes)]


def test_they_come_from_the_installed_package(installed):
    assert {"hints", "desk"} <= set(game_names())
    assert Path(sys.modules[type(find_game("hints")).__module__].__file__).is_relative_to(installed)


@pytest.mark.slow
def test_they_keep_what_a_game_promises(setup):
    check_task(setup.task)
    check_game(setup.task, game=setup.game.name)


def test_they_are_pettingzoo_environments(setup):
    api_test(clarify_env.env(setup.task, game=setup.game.name), num_cycles=30)
    seed_test(lambda: clarify_env.env(setup.task, game=setup.game.name), num_cycles=30)
    env = clarify_env.env(setup.task, game=setup.game.name)
    env.reset(seed=0)
    turns = 0
    for agent in env.agent_iter():
        observation, _, terminated, _, info = env.last()
        assert observation["transcript"] and info["messages"][0]["role"] == "system"
        assert ("costs" in observation) == (agent in setup.game.priced)
        if terminated:
            assert set(info["outcome"]) == {"score", *setup.game.usage, *env.unwrapped.game.result.flags}
        env.step(None if terminated else "oak")
        turns += 1
    assert turns == 2 * len(setup.game.roles)


def test_they_are_gymnasium_environments_of_each_role(setup):
    for role in setup.game.roles:
        agents = {other: agent for other, agent in noise(setup).items() if other != role}
        env = gymnasium.make("clarify_env/Role-v0", task=setup.task, role=role, agents=agents, game=setup.game.name)
        observation, _ = env.reset(seed=0)
        assert env.observation_space.contains(observation)
        over = False
        while not over:
            _, reward, over, _, info = env.step("oak")
        assert np.isfinite(reward) and "outcome" in info


def test_rewards_differ_by_role():
    hints = clarify_env.raw_env("objects", game="hints", costs=(0.1,))
    hints.reset(options={"split": "train", "index": 0, "hidden": 0})
    hints.step("a round red fruit")
    hints.step(hints.game.episode.interpretations[0].label)
    assert hints.rewards == {"describer": pytest.approx(0.6), "guesser": 1.0}


def test_what_is_said_in_private_is_heard_by_its_addressee_alone():
    game = find_game("desk").deal(task := make_task("trees"), task.episode("train", 0), 0, (0.1,))
    game.apply(Reply("it is the oak"))
    assert game.view("asker").heard == (Message("helper_0", "it is the oak", ("asker",)),)
    assert game.view("helper_1").heard == () and game.view("helper_1").turn == 1


def test_a_tools_result_is_a_recorded_turn_and_a_replay_does_not_run_it(tmp_path):
    desk = find_game("desk")
    setup = Setup(desk, make_task("trees"))
    players = {role: desk.player(role, setup.task, desk.players[role][0]) for role in desk.roles}
    # The second helper remembers, so the first one looks it up.
    begun = [start._replace(intent=1, costs=(0.1,)) for start in starts(setup)]
    games = list(play(begun, players, task=setup.task, game="desk"))
    assert [turn.role for turn in games[0].turns] == ["helper_0", "book", "helper_0", "helper_1", "asker"]
    assert games[0].result.score == 1 and games[0].reward() == games[0].reward("helper_0") == pytest.approx(0.9)
    assert games[0].reward("helper_1") == 1
    log = ChunkWriter(tmp_path / "games.jsonl")
    log.append(games)
    (record, *_) = read_lines(tmp_path / "games.jsonl")
    assert record["reward"] == games[0].reward() and record["rewards"] == {
        "asker": games[0].reward("asker"),
        "helper_0": games[0].reward("helper_0"),
        "helper_1": 1.0,
    }
    book = type(desk.tools(setup.task)["book"])
    runs = book.runs
    assert next(ChunkLog(tmp_path / "games.jsonl").read(setup)) == games and book.runs == runs


def test_self_play_stores_and_replays_them(setup):
    games = list(play(starts(setup), noise(setup), task=setup.task, game=setup.game.name))
    assert games[0].agents == dict.fromkeys(setup.game.roles, "noise")
    for game in games:
        assert replay(json.loads(json.dumps(game.to_json())), setup) == game


def test_any_role_can_be_forced_to_an_opening():
    class Echo:
        name = "echo"

        def act(self, views, seeds, openings=None):
            return [Reply(opening or "nothing") for opening in openings]

    setup = Setup(find_game("hints"), make_task("objects"))
    agents = dict.fromkeys(setup.game.roles, Echo())
    begun = [start._replace(prefixes={"guesser": "apple"}) for start in starts(setup, 2)]
    for game in play(begun, agents, task=setup.task, game="hints"):
        assert [turn.reply.text for turn in game.turns] == ["nothing", "apple"]


HINTS, DESK = ["game=hints", "task=objects"], ["game=desk", "task=trees"]
REFUSED = [
    (
        grpo,
        HINTS,
        "learn: grpo trains one role, and in game hints describer and guesser learn; choose one",
        "two roles",
    ),
    (grpo, DESK, "learn: grpo trains one role, and in game desk asker and helper_0 and helper_1 learn", "three roles"),
    (contrastive, HINTS, "contrastive: game hints has one kind of action, so there is none to prefer", "one action"),
    (contrastive, [*DESK, "learn=[asker]"], "contrastive: game desk has one kind of action", "one action, one role"),
    (stargate, [*HINTS, "learn=[guesser]"], "stargate: game hints has no clarifying questions or", "no questions"),
    (stargate, DESK, "learn: stargate trains one role, and in game desk", "three roles"),
    (imitate, [*HINTS, "learn=[guesser]"], "imitate: game hints has no scripted player for describer", "no partner"),
    (imitate, [*HINTS, "learn=[describer]"], "imitate: game hints has no oracle player for describer", "no oracle"),
    (imitate, DESK, "imitate: game desk has no oracle player for asker; choose another method", "other players only"),
    (
        rest,
        HINTS,
        "learn: rest.rule=action trains one role, and in game hints describer and guesser learn",
        "two roles",
    ),
    (rest, [*HINTS, "learn=[describer]"], "game hints: decisions of describer cannot be averaged over", "it knows"),
]


@pytest.mark.parametrize(("method", "line", "sentence", "why"), REFUSED)
def test_a_method_refuses_a_game_that_lacks_what_it_needs(command, tmp_path, method, line, sentence, why):
    code, error = command(method, *line, f"run_dir={tmp_path / 'run'}")
    assert code == 1 and error.startswith(f"error: {sentence}") and error.count("\n") == 1, why
    assert not list(tmp_path.rglob("*.jsonl")), "before any game is played"


class Describer:
    """Says a word more for each object that stands before the one meant: its hint depends on what is hidden."""

    name, views = "describer", 0

    def act(self, views, seeds, openings=None):
        self.views += len(views)
        replies = []
        for view in views:
            meant, names = re.fullmatch(r"Describe the (\w+), one of (.*)\. A word .*", view.facts).groups()
            replies.append(Reply(" ".join(["thing"] * (1 + names.split(", ").index(meant)))))
        return replies


class First:
    """Guesses the object that is named first."""

    name = "first"

    def act(self, views, seeds, openings=None):
        return [Reply(re.match(r"Objects: (\w+)", view.facts)[1]) for view in views]


def players_of(setup):
    """Players whose results are known."""
    if setup.game.name == "hints":
        return {"describer": Describer(), "guesser": First()}
    return {role: setup.game.player(role, setup.task, names[0]) for role, names in setup.game.players.items()}


# At a price of 0.1. Hints: right for one object of four, after 1, 2, 3 or 4 words, which the describer alone pays for.
# Desk: always right, after one look-up, which the asker and the helper who does not remember pay for.
PRICE = 0.1
BY_HAND = {
    "hints": {"reward": ((0.25 - 0.25) + 0.25) / 2, "score": 0.25, "words": 2.5, "taboo": 0.0},
    "desk": {"reward": (0.9 + 0.9 + 1) / 3, "score": 1.0, "calls": 1.0},
}


@pytest.mark.parametrize("chunk", [1, 100])
def test_an_evaluation_is_exact_over_what_is_hidden_though_the_first_mover_knows_it(setup, chunk):
    episodes, game = [setup.task.episode("train", index) for index in range(3)], setup.game
    players, prices = players_of(setup), ((PRICE,), (0.0,))
    played = play_all(setup, episodes, prices, players, game.learns, seed=0, chunk=chunk, sample=6)
    expected = BY_HAND[game.name]
    for name, value in expected.items():
        assert played.values[name][:, 0] == pytest.approx(value), name
    assert played.values["reward"][:, 1] == pytest.approx(expected["score"]), "free of charge, all earn the score"
    assert set(played.values) == set(expected) and not played.first.any() and not played.by_lot.any()
    assert played.games == 3 * 2 * len(setup.weights(episodes[0])) and len(played.transcripts) == 6
    if game.name == "hints":
        assert players["describer"].views == played.games, "what it says for one object is carried on for no other"
    entry = summarize(game, played, None, episodes, 0)
    assert list(entry) == ["reward", "reward_ci", *[name for name in expected if name != "reward"], "share"]
    assert entry["share"] == {"message": 1.0, "invalid": 0.0}


def test_they_go_out_and_in_again_with_equal_rewards(setup, tmp_path):
    """Tools' results travel with the games, and are not run again."""
    both = [players_of(setup), noise(setup)]
    out = [game for agents in both for game in play(starts(setup), agents, task=setup.task, game=setup.game.name)]
    priced = [game._replace(prices=(PRICE,)) for game in out]
    path = tmp_path / "games.jsonl"
    path.write_text("".join(json.dumps(game_record(setup, game)) + "\n" for game in priced))
    tools = [type(tool) for tool in setup.game.tools(setup.task).values()]
    runs = [tool.runs for tool in tools]
    back = list(read_games(path, setup))
    assert runs == [tool.runs for tool in tools] and all(agrees for _, agrees in back)
    for (game, _), stored in zip(back, priced, strict=True):
        assert game.result == stored.result and game.agents == stored.agents
        assert [game.reward(role) for role in setup.game.roles] == [stored.reward(role) for role in setup.game.roles]


@pytest.mark.parametrize("to", ["completions", "unpaired", "traces", "games"])
def test_they_are_exported_by_role(setup, tmp_path, to):
    games = list(play(starts(setup), players_of(setup), task=setup.task, game=setup.game.name))
    overrides = [f"game={setup.game.name}", f"task={setup.task.name}"]
    folder = stored_run(tmp_path / "run", "evaluate", overrides, games)
    rows = list(export(folder, to))
    if to == "games":
        assert [[m["role"] for m in row["messages"]] for row in rows] == [[t.role for t in g.turns] for g in games]
        return
    about = [row["info"] if to == "traces" else row for row in rows]
    assert {row["role"] for row in about} == set(setup.game.roles), "all roles learn"
    for row, where in zip(rows, about, strict=True):
        assert row["reward"] == games[where["game_id"]].reward(where["role"])
    (first, *_) = export(folder, "completions", roles=[setup.game.roles[-1]])
    assert first["role"] == setup.game.roles[-1] and first["prompt"][-1]["role"] == "user"


def test_pairs_of_a_game_that_has_none_are_refused(setup, tmp_path):
    games = list(play(starts(setup, 1), players_of(setup), task=setup.task, game=setup.game.name))
    overrides = [f"game={setup.game.name}", f"task={setup.task.name}"]
    folder = stored_run(tmp_path / "run", "evaluate", overrides, games)
    with pytest.raises(ValueError, match=f"to=preferences: game {setup.game.name} has one kind of action"):
        export(folder, "preferences", roles=[setup.game.roles[0]])
    with pytest.raises(ValueError, match="roles: pairs are of one role, not of"):
        export(folder, "preferences")


@pytest.mark.parametrize("option", ["tune=true", "games=[10,20]"])
def test_settings_and_curves_are_measured_at_the_one_set_of_fixed_prices(setup, option):
    name = setup.game.name
    tasks = f"tasks.almanac=['task={setup.task.name}','game={name}','costs={name}']"
    options = arguments_of("compare", option, tasks, "only=[prompted,rest]", "seeds=[0]")["options"]
    with initialize_config_dir(str(commands.CONF), version_base="1.3"):
        measured = [cell for cell in compare.make_cells(options) if "eval.grid=2" in cell.overrides]
    assert measured and all("eval.sets=['fixed']" in cell.overrides for cell in measured)


def test_a_game_without_an_oracle_is_measured_without_regret(setup, tmp_path, capsys):
    game, name = setup.game, setup.game.name
    plane = game.plane(**{game.usage[0]: PRICE})
    options = EvalOptions(episodes=2, validation=1, transcripts=1, modes=["greedy"], gold_logprob=False)
    experiment = Experiment(setup, plane=plane, learns=game.learns, evaluation=options)
    with Run(tmp_path, {"command": "evaluate", "game": {"name": name}}) as run:
        validate(run, experiment, players_of(setup), iteration=0)
        summary = measure(run, experiment, lambda temperature: players_of(setup), method="hand", budget={"games": 0})
    capsys.readouterr()
    assert list(summary["eval"]) == ["fixed"] and list(summary["eval"]["fixed"]) == ["greedy"]
    entry = summary["eval"]["fixed"]["greedy"]
    for measured, value in BY_HAND[name].items():
        assert entry[measured] == pytest.approx(value), measured
    assert not entry.keys() & {"oracle", "regret", "regret_action", "gap_closed", "fixed", "dominance"}
    assert summary.keys() & {"steering", "tasks"} == set()
    details = read_json(tmp_path / "evaluation.json")
    assert details["grid"] is None and "oracle" not in details["sets"]["fixed"]["greedy"]
    assert details["episodes"]["reward"]["fixed"]["greedy"] == pytest.approx(
        [BY_HAND[name]["reward"]] * len(details["episodes"]["entities"])
    )
    (shown,) = read_lines(tmp_path / "transcripts.jsonl")
    assert shown["oracle"] is None and shown["costs"] == [PRICE] and len(shown["turns"]) >= len(game.roles)
    (line,) = read_lines(tmp_path / "metrics.jsonl")
    assert line["validation/reward"] == pytest.approx(BY_HAND[name]["reward"]) and "validation/regret" not in line
    assert (tmp_path / "report.html").exists()


def test_any_agent_is_measured_in_any_game_in_one_call(setup):
    game, players = setup.game, players_of(setup)
    role = game.roles[0]
    others = {other: player for other, player in players.items() if other != role}
    for options in ({"role": role, "agents": others}, {"agents": others}):
        options |= {"game": game, "episodes": 3, "split": "train"}
        table = clarify_env.evaluate(players[role], setup.task, (PRICE,), **options)
        (row,) = table
        for name in (name for name in BY_HAND[game.name] if name != "reward"):
            assert row[name] == pytest.approx(BY_HAND[game.name][name]), name
        # The describer pays for its words, the asker for the look-up that one of its helpers makes.
        assert row["reward"] == pytest.approx({"hints": 0.25 - 0.25, "desk": 0.9}[game.name])
        assert not row.keys() & {"oracle", "regret", "gap_closed", "best_fixed", "percent_of_oracle"}
        assert "oracle" not in str(table) and row["share_message"] == 1
    with pytest.raises(ValueError, match="has no scripted player for guesser: name one in agents"):
        clarify_env.evaluate(Describer(), "objects", game="hints", role="describer")


def test_decisions_are_averaged_for_blind_roles_alone(setup):
    episode = setup.task.episode("train", 0)
    for role in setup.game.roles:
        if role in setup.game.blind:
            assert Tree(setup, episode, role).root.branches == {}
        else:
            with pytest.raises(ValueError) as error:
                Tree(setup, episode, role)
            assert str(error.value) == (
                f"game {setup.game.name}: decisions of {role} cannot be averaged over what is hidden, since it knows "
                "that; select whole games by reward instead (rest.rule=best)"
            )


def test_the_docs_show_the_file_that_is_run():
    page = (SOURCE.parents[1] / "docs" / "games.md").read_text(encoding="utf-8")
    shown = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]
    assert shown == (SOURCE / "hints.py").read_text(encoding="utf-8")
    assert len(shown.splitlines()) < 80


def test_the_commands_of_the_docs_make_whole_configs():
    from hydra import compose, initialize_config_dir

    import trainers.prompted
    import trainers.rest
    from trainers.runs.command import COMMANDS, CONF

    page = (SOURCE.parents[1] / "docs" / "games.md").read_text(encoding="utf-8")
    page, section, _ = page.partition("## One policy of several games")  # of the house's games: tests/test_mix_runs.py
    assert section
    lines = re.findall(r"-m trainers\.(\w+) (.*)", page)
    assert {name for name, _ in lines} == {"prompted", "rest"}
    for name, overrides in lines:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = compose(name, overrides.split())
        arguments = COMMANDS[name].read(config)
        assert arguments["experiment"].setup.game.name == "hints"
        assert arguments["experiment"].learns == ("describer", "guesser")
    assert trainers.prompted.main and trainers.rest.main


def test_a_role_is_given_to_another_player(command, tmp_path, tiny_folder):
    other = ["players.guesser.kind=hf", f"players.guesser.model={tiny_folder}", "players.guesser.max_new_tokens=5"]
    line = [*HINTS, *other, "eval.episodes=2", "eval.modes=[greedy]", "assistant.style=plain"]
    assert command(prompted, *line, f"run_dir={tmp_path / 'run'}")[0] == 0
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    assert stored["players"]["guesser"]["max_new_tokens"] == 5
    code, error = command(prompted, *HINTS, "players.judge.kind=hf", f"run_dir={tmp_path / 'other'}")
    assert code == 1 and error == "error: players.judge: game hints has the roles describer, guesser\n"


class Endless(type(find_game("clarification")).game):
    """Goes on for ever."""

    def move(self, role, text):
        self.say(role, text)
        self.to_move = "user" if role == "assistant" else "assistant"


class Ghostly(type(find_game("clarification")).game):
    """Waits for somebody who has no part in it."""

    def move(self, role, text):
        self.say(role, text)
        self.to_move = "ghost"


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [(Endless, "is not over after 1000 moves"), (Ghostly, "'ghost' is to move, who has no part in it")],
)
def test_a_game_that_does_not_end_is_stopped(almanac, rules, sentence):
    class Broken(type(find_game("clarification"))):
        game = rules

    agents = {role: Noise(Broken(), role) for role in ("assistant", "user")}
    begun = [Start(almanac.episode("train", 0), 0, (0.1, 0.1), seed=0)]
    with pytest.raises(ValueError, match=sentence):
        list(play(begun, agents, task=almanac, game=Broken()))


# Best of n games of each training episode, kept whole, n being `rollouts.free`.
BEST_OF_N = """assistant=hf assistant.max_new_tokens=12 rollouts=plain rollouts.free=12 rest.rule=best rest.hindsight=0
budget.games=1200 update.epochs=1 update.batch=32 update.learning_rate=4e-3 update.least_steps=150 update.lora_rank=0
update.runs=1 eval.validation=20 eval.episodes=20 eval.modes=[temperature]""".split()


@pytest.mark.slow
def test_rest_by_best_of_n_raises_their_reward(command, drawn, setup, installed, tmp_path):
    """From the command line to the report, learning in a process of its own, with a tiny model that all roles share."""
    import tiny_players

    tiny_players.make(setup, tmp_path / "model")
    chosen = [f"game={setup.game.name}", f"task={setup.task.name}", f"assistant.model={tmp_path / 'model'}", *BEST_OF_N]
    fit = [word for word in chosen if word.startswith(("game", "task", "assistant", "eval"))]
    code, error = command(prompted, *fit, f"run_dir={tmp_path / 'prompted'}")
    assert code == 0, error
    environment = os.environ | {"PYTHONPATH": f"{installed}:{SOURCE.parents[1]}", "NO_PROGRESS": "1"}
    line = [sys.executable, "-m", "trainers.rest", *chosen, f"run_dir={tmp_path / 'rest'}"]
    done = subprocess.run(line, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rewards = {}
    for name in ("prompted", "rest"):
        summary = json.loads((tmp_path / name / "summary.json").read_text())
        assert summary["players"] == dict.fromkeys(setup.game.roles, "hf")
        assert "steering" not in summary and "oracle" not in summary["eval"]["fixed"]["temperature"]
        assert (tmp_path / name / "report.html").stat().st_size
        rewards[name] = summary["eval"]["fixed"]["temperature"]["reward"]
    assert rewards["rest"] > rewards["prompted"] + 0.1, rewards
    stored = ChunkLog(tmp_path / "rest" / "trajectories" / "iteration-1.jsonl")
    games = [game for chunk in stored.read(setup) for game in chunk]
    assert len(games) >= 1200 and all(game.game == setup.game.name for game in games)
