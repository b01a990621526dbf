"""The OpenEnv adapter, by OpenEnv's own server and client on loopback; see tests/test_peers.py."""

import asyncio
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from toys import ASHFORD, Toy

pytest.importorskip("openenv", reason="the extra [openenv] is not installed")

import uvicorn

from clarify_env.adapters import openenv
from clarify_env.adapters.openenv import GameClient, MessageAction, make_app
from clarify_env.games.base import Reply
from clarify_env.gym import RoleEnv

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "adapters.md").read_text(encoding="utf-8")
ASKED = {"intent": 0, "costs": [0.25, 0.03]}


@contextmanager
def served(app):
    """Serves an application on a free port of loopback; yields its address."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture(scope="module")
def toy():
    with served(make_app(Toy(), "assistant", sessions=9)) as address:
        yield address


def ask(address, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def test_an_action_has_one_required_field(toy):
    schema = ask(toy, "/schema")
    assert schema["action"]["required"] == ["message"] and schema["action"]["properties"]["message"]["type"] == "string"
    assert {"messages", "costs", "outcome", "reward"} <= schema["observation"]["properties"].keys()


def test_a_game_through_the_client(toy):
    with GameClient(toy).sync() as env:
        result = env.reset(seed=0, **ASKED)
        assert (result.reward, result.done, result.observation.outcome) == (None, False, None)
        assert result.observation.costs == [0.25, 0.03] and result.observation.episode == "train/0"
        result = env.step("#CLARIFY Which kind?")
        assert (result.reward, result.done) == (0, False)
        assert result.observation.transcript.endswith("user: The film one.")
        assert [message["role"] for message in result.observation.messages] == ["system", "user", "assistant", "user"]
        result = env.step(MessageAction(message="#ANSWER Brandt"))
        assert (result.reward, result.done) == (pytest.approx(0.72), True)
        assert result.observation.reward == result.observation.outcome["reward"] == result.reward
        assert result.observation.outcome["questions"] == result.observation.outcome["accuracy"] == 1


def scripted(rng, role):
    """Messages of one game, more than it takes."""
    choices = ["#CLARIFY Which kind is it?", "#CLARIFY Which year?", "#CLARIFY Hm?", "#ANSWER Ada Brandt", "none", ""]
    choices += ["#MULTI_ANS film: Ada; opera: Jon", "#MULTI_ANS Ada\nJon\nUwe", "#ANSWER 1901 é漢🙂"]
    users = ["The film one.", "I do not understand.", "Ada Brandt"]
    return [str(text) for text in rng.choice(choices if role == "assistant" else users, size=4)]


GAMES = [("almanac", "assistant", {}), ("ledger", "assistant", {"max_questions": 1}), ("almanac", "user", {})]


@pytest.mark.parametrize("count", [12, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("task", "role", "options"), GAMES, ids=["almanac", "ledger", "user"])
def test_games_equal_those_of_our_environment(task, role, options, count):
    rng, direct = np.random.default_rng(count), RoleEnv(task, role, **options)
    with served(make_app(task, role, **options)) as address, GameClient(address).sync() as env:
        for number in range(count):
            # Every third game goes on with the generator of the session.
            seed = None if number % 3 == 2 else number
            chosen = {"split": "test", "index": number % 20} if number % 2 else {}
            result, (observed, info) = env.reset(seed=seed, **chosen), direct.reset(seed=seed, options=chosen)
            reward, over = None, False
            for text in [*scripted(rng, role), None]:
                sent = result.observation
                assert (result.reward, result.done, sent.transcript) == (reward, over, observed["transcript"])
                assert (sent.messages, sent.episode, sent.turn) == (
                    info["messages"],
                    info["episode_id"],
                    observed["turn"],
                )
                assert sent.costs == (observed["costs"].tolist() if role == "assistant" else None)
                assert sent.outcome == (info["outcome"] | {"reward": reward} if over else None)
                if over:
                    break
                result, (observed, reward, over, _, info) = env.step(text), direct.step(text)
            assert over


def test_nothing_hidden_is_sent(toy):
    with GameClient(toy).sync() as env:
        sent = [env.reset(seed=0, **ASKED).observation, env.step("#CLARIFY Hm?").observation, env.state()]
    shown = "".join(one.model_dump_json() for one in sent)
    hidden = [text for reading in ASHFORD.interpretations for text in (*reading.answers, reading.text)]
    assert not [text for text in hidden if text in shown]


def test_sessions_at_once_equal_sessions_alone(toy):
    texts = ["#CLARIFY Which kind?", "#MULTI_ANS Brandt; Jon Vale; Bank of Lund"]

    async def play(env, seed):
        trace = [await env.reset(seed=seed)]
        for text in texts:
            await asyncio.sleep(0)
            trace.append(await env.step(text))
        trace.append(await env.reset())
        return [str(result) for result in trace]

    async def session(seed):
        async with GameClient(toy) as env:
            return await play(env, seed)

    async def at_once():
        return await asyncio.gather(*(session(seed) for seed in range(8)))

    alone = [asyncio.run(session(seed)) for seed in range(8)]
    assert asyncio.run(at_once()) == alone and len(set(map(str, alone))) > 1


def test_the_most_sessions_at_a_time():
    with served(make_app(Toy(), "assistant", sessions=1)) as address, GameClient(address).sync() as first:
        first.reset(seed=0)
        with pytest.raises(Exception, match="capacity"), GameClient(address).sync() as second:
            second.reset(seed=0)
        assert first.step("#ANSWER Brandt").done, "the other session is not disturbed"


@pytest.mark.parametrize(
    ("use", "sentence"),
    [
        (lambda env: env.step("#ANSWER Ada"), "call reset first"),
        (lambda env: env.reset(seed=-1), "seed must be a whole number of at least 0, not -1"),
        (lambda env: env.reset(prompt="x", index=0), "reset has no option prompt; known: split, index, intent, costs"),
        (lambda env: env.reset(index=7), "task toy has no episode 7 in split 'train'"),
        (lambda env: env.reset(costs=[0.1]), "costs must be a pair"),
        (lambda env: (env.reset(), env.step("none"), env.step("again")), "the game is over"),
    ],
)
def test_a_slip_of_the_client_is_one_sentence_and_the_session_goes_on(toy, use, sentence):
    with GameClient(toy).sync() as env:
        with pytest.raises(RuntimeError, match=sentence):
            use(env)
        env.reset(seed=0, **ASKED)
        assert env.step("#ANSWER Brandt").reward == pytest.approx(0.97)


def test_what_utf8_cannot_hold_is_replaced(toy):
    with GameClient(toy).sync() as env:
        env.reset(seed=0, **ASKED)
        result = env.step("#CLARIFY \ud83d half a pair, \U0001f642 a whole one")
        assert "assistant: #CLARIFY \ufffd half a pair, \U0001f642 a whole one" in result.observation.transcript


def test_the_state_names_the_game(toy):
    with GameClient(toy).sync() as env:
        env.reset(seed=0, episode_id="mine", **ASKED)
        env.step("#CLARIFY Which kind?")
        state = env.state()
        assert (state.episode_id, state.step_count, state.over, state.episode) == ("mine", 1, False, "train/0")
        assert (state.task, state.game, state.role) == ("toy", "clarification", "assistant")
        env.reset(seed=0)
        assert env.state().episode_id not in (None, "mine") and env.state().step_count == 0
    assert ask(toy, "/state")["task"] == "toy" and "toy" in ask(toy, "/metadata")["description"]


def test_the_task_routes_list_splits_and_episodes(toy):
    assert [split["name"] for split in ask(toy, "/clarify_env/splits")] == ["train", "test"]
    assert ask(toy, "/clarify_env/num_tasks", {"split": "test"}) == {"num_tasks": 1}
    tasks = ask(toy, "/clarify_env/tasks", {"split": "train"})["tasks"]
    assert tasks == [{"id": "train/0", "split": "train", "index": 0}]
    for body in ({"split": "train", "index": 1}, {"split": "dev", "index": 0}):
        with pytest.raises(urllib.error.HTTPError, match="400"):
            ask(toy, "/clarify_env/task", body)
    endless = openenv.GameEnvironment("ledger", "assistant")
    assert endless.num_tasks("train") == 2**31 and len(endless.list_tasks("train")) == 1000


RANGES = [
    ({}, "split train of task ledger is endless: a range of it needs a stop"),
    ({"start": 2**31 - 5}, "split train of task ledger is endless: a range of it needs a stop"),
    ({"stop": 100_001}, "a range lists at most 100,000 episodes at once, not 100,001"),
    ({"start": 1, "stop": -1}, "a range lists at most 100,000 episodes at once, not 2,147,483,646"),
]


@pytest.mark.parametrize(("bounds", "sentence"), RANGES, ids=lambda value: str(value)[:20])
def test_no_request_lists_an_endless_split(bounds, sentence):
    environment = openenv.GameEnvironment("ledger", "assistant")
    with pytest.raises(IndexError, match=rf"^{sentence}$"):
        environment.get_task_range("train", **bounds)
    some = environment.get_task_range("train", 3, 5)
    assert [task["index"] for task in some] == [3, 4] and len(environment.get_task_range("test")) == 400
    with served(make_app("ledger", "assistant")) as address, pytest.raises(urllib.error.HTTPError, match="400"):
        ask(address, "/clarify_env/task_range", {"split": "train", **bounds})


def test_a_player_of_several_sessions_is_called_by_one_at_a_time():
    class Slow:
        name, inside, most = "slow", 0, 0

        def act(self, views, seeds, openings=None):
            Slow.inside += 1
            Slow.most = max(Slow.most, Slow.inside)
            time.sleep(0.02)
            Slow.inside -= 1
            return [Reply("Brandt") for _ in views]

    async def game(address):
        async with GameClient(address) as env:
            await env.reset(seed=0, **ASKED)
            return (await env.step("#ANSWER Brandt")).reward

    async def at_once(address):
        return await asyncio.gather(*(game(address) for _ in range(4)))

    with served(make_app(Toy(), "assistant", agents={"user": Slow()})) as address:
        assert asyncio.run(at_once(address)) == pytest.approx([0.97] * 4)
    assert Slow.most == 1


SEAT = ["--task", "almanac", "--role", "assistant"]
WRONG = [
    (["--task", "nonsense", "--role", "assistant"], "unknown task 'nonsense'"),
    (["--task", "almanac", "--role", "judge"], "has no role 'judge'"),
    ([*SEAT, "--costs", "0.1"], "costs must be a pair"),
    ([*SEAT, "--game-option", "max_questions"], "--game-option must be NAME=VALUE, not 'max_questions'"),
    ([*SEAT, "--game-option", "questions=1"], "has no option questions"),
    ([*SEAT, "--game-option", "task=ledger"], "has no option task, only max_questions"),
    ([*SEAT, "--game-option", "style=natural"], "has no option style, only max_questions"),
    ([*SEAT, "--port", "99999"], "--port must be a port, in [0, 65535], not 99999"),
    ([*SEAT, "--sessions", "0"], "sessions must be a whole number of at least 1"),
]


@pytest.mark.parametrize(("arguments", "sentence"), WRONG)
def test_a_slip_of_the_command_line_is_one_sentence(arguments, sentence, capsys):
    assert openenv.main(arguments) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1 and error.startswith("clarify_env.adapters.openenv: ")


@pytest.mark.parametrize(("arguments", "host"), [([], "127.0.0.1"), (["--host", "0.0.0.0"], "0.0.0.0")])
def test_the_server_listens_on_loopback_unless_told_otherwise(arguments, host, monkeypatch):
    listened = {}
    monkeypatch.setattr(uvicorn, "run", lambda app, **where: listened.update(where))
    assert openenv.main([*SEAT, *arguments]) == 0
    assert listened == {"host": host, "port": 8000}


def test_the_examples_of_the_page_run():
    """The command of the page serves what its code plays, on a free port."""
    (command,) = re.findall(r"<!-- openenv:serve -->\n```sh\n(.*?)\n```", PAGE)
    (code,) = re.findall(r"<!-- openenv:play -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    line = shlex.split(command.replace("8000", port))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    server = subprocess.Popen([sys.executable, *line[1:]], cwd=ROOT, env=environment, stderr=subprocess.PIPE)
    try:
        for _ in range(600):
            try:
                ask(f"http://127.0.0.1:{port}", "/health")
                break
            except OSError:
                assert server.poll() is None, server.stderr.read()
                time.sleep(0.1)
        shown = {}
        exec(compile(code.replace("8000", port), "docs/adapters.md", "exec"), shown)
        assert shown["result"].done and shown["result"].observation.episode == "test/3"
    finally:
        server.terminate()
        server.wait()
        server.stderr.close()
