"""Players behind a server: games in flight, faults, limits, budgets, stored replies."""

import errno
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import pytest
from conftest import SMALL
from stub_server import Stub, chat_reply

from agents.selfplay import Start, play
from agents.servers import faults, limits
from agents.servers.agent import _SEEDS, ServerAgent, scrubbed
from agents.servers.faults import UnusableReplyError
from agents.servers.journal import Answer, Journal
from agents.servers.options import Api, check_api
from agents.servers.protocol import bound
from agents.servers.server import Server
from clarify_env import evaluate
from clarify_env.costs import Costs
from clarify_env.evaluation.faults import KnowsEnds
from clarify_env.games.agents import PlayerError, StoppedError
from clarify_env.games.base import Reply
from clarify_env.games.clarification.description import GAME
from clarify_env.users import ScriptedUser
from trainers import evaluate as evaluating
from trainers import probe, prompted, rest
from trainers.runs.store import read_json

CHAT = partial(GAME.chat, style="natural")
QUICK = {"backoff": 0.01, "longest_wait": 0.05, "timeout": 30.0}
KEY = "sk-a-key-that-nobody-may-see"


class Direct:
    """Answers in lock-step what the stub answers."""

    name = "m"

    def act(self, views, seeds, openings=None):
        bodies = [
            {"messages": CHAT(view), "seed": seed % _SEEDS, "temperature": 1.0}
            for view, seed in zip(views, seeds, strict=True)
        ]
        return [Reply(chat_reply(body)) for body in bodies]


@pytest.fixture
def agent():
    """Makes agents of a stub."""
    servers = []

    def make(stub, section="assistant", folder=None, temperature=1.0, **options):
        server = Server(Api(model="m", base_url=stub.url, **QUICK | options), section)
        servers.append(server)
        if folder is not None:
            server.open(folder)
        return ServerAgent(server, CHAT, temperature=temperature, name="m")

    yield make
    for server in servers:
        server.close()


def starts(task, count=40):
    return [
        Start(task.episode("train", i % 4), intent=i % 2, costs=Costs(0.3, 0.03), seed=i % 30) for i in range(count)
    ]


def games(task, agents, count=40):
    return [game.to_json() for game in play(starts(task, count), agents, task=task, chunk=25)]


def players(task, agent, stub, which):
    remote = {role: agent(stub, role) for role in which}
    return {"assistant": Direct(), "user": ScriptedUser(task)} | remote


@pytest.mark.parametrize("which", [("assistant",), ("user",), ("assistant", "user")])
def test_games_in_flight_are_those_in_lock_step(almanac, agent, which):
    direct = {"assistant": Direct(), "user": Direct() if "user" in which else ScriptedUser(almanac)}
    expected = games(almanac, direct)
    with Stub(spread=0.02) as stub:
        assert games(almanac, players(almanac, agent, stub, which)) == expected


FAULTS = [("refuse",), ("429",), ("500",), ("half",), ("garbage",), ("stall",)]
FAULTS.append(tuple(kind for (kind,) in FAULTS))


@pytest.mark.parametrize("kinds", FAULTS, ids="-".join)
def test_faults_change_nothing(almanac, agent, kinds):
    expected = games(almanac, {"assistant": Direct(), "user": ScriptedUser(almanac)})
    with Stub(faults=kinds, stall=8.0) as stub:
        model = agent(stub, timeout=1.0 if "stall" in kinds else 20.0)
        assert games(almanac, {"assistant": model, "user": ScriptedUser(almanac)}) == expected
        served = [request["name"] for request in stub.requests if request["status"] == 200]
        assert len(set(served)) == model._server.usage()["replies"]
        assert "stall" in kinds or len(served) == len(set(served)), "each is answered once"
    assert sum(model._server.faults.values()) > 3


def test_as_many_requests_are_in_flight_as_may_be(almanac, agent):
    with Stub(latency=0.1) as stub:
        games(almanac, {"assistant": agent(stub, concurrency=7), "user": ScriptedUser(almanac)})
        assert stub.most == 7
    with Stub(latency=0.4) as stub:
        evaluate(agent(stub), almanac, "between", episodes=4)
        assert 48 < stub.most <= 64


def test_openings_are_not_waited_for(almanac, agent):
    """An evaluation of what is hidden asks for a first message once, and plays on as soon as it is there."""
    with Stub() as stub:
        table = evaluate(agent(stub), almanac, "between", episodes=4)
        assert list(table) == list(evaluate(Direct(), almanac, "between", episodes=4))
        assert len({request["name"] for request in stub.requests}) == len(stub.requests)


class OneByOne(Direct):
    """A remote agent that is asked for single messages alone."""

    def submit(self, view, seed, opening=""):
        future = Future()
        future.set_result(super().act([view], [seed])[0])
        return future

    def act(self, views, seeds, openings=None):
        raise AssertionError("a batch waits for its slowest message")

    def stop(self):
        pass


def test_no_game_of_an_evaluation_waits_for_others(almanac):
    expected = evaluate(Direct(), almanac, "between", episodes=4)
    assert list(evaluate(OneByOne(), almanac, "between", episodes=4)) == list(expected)


def test_games_that_are_nearly_over_come_first(almanac, agent):
    with Stub(latency=1.0) as stub:
        model, view = agent(stub, concurrency=1), first_view(almanac)
        replies = [model.submit(view, 0)]
        while not stub.in_flight:
            time.sleep(0.01)
        stub.latency = 0.0
        replies += [model.submit(view._replace(turn=turn), seed) for seed, turn in enumerate((0, 2, 4), 1)]
        assert all(reply.result().text for reply in replies)
        assert [request["seed"] for request in stub.requests] == [0, 3, 2, 1]


def test_a_server_is_left_alone_as_long_as_it_asks(almanac, agent):
    with Stub(faults=("429",), share=1.0, retry_after="0.4") as stub:
        began = time.monotonic()
        agent(stub).act([first_view(almanac)], [0])
        assert 0.4 <= time.monotonic() - began < 10


def test_a_server_that_asks_for_a_long_pause_is_not_waited_for(almanac, agent):
    with Stub(faults=("429",), share=1.0, retry_after="86400") as stub:
        stub.fault = lambda name: "429"
        with pytest.raises(PlayerError, match=r"replies 429 \(Retry-After: 86400 s\): slow down"):
            agent(stub).act([first_view(almanac)], [0])
        assert len(stub.requests) == 1


def first_view(task, index=0):
    return GAME.deal(task, task.episode("train", index), 0, (0.3, 0.03)).view("assistant")


AFTER = [
    ({"retry-after": "7"}, 7),
    ({"retry-after": "1.5"}, 1.5),
    ({"retry-after-ms": "250"}, 0.25),
    ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0),
    ({"retry-after": "soon"}, None),
    ({"retry-after": "9" * 400}, float("inf")),
    ({"retry-after": "-5"}, None),
    ({"retry-after-ms": "nan"}, 0),
    ({}, None),
]


@pytest.mark.parametrize(("headers", "seconds"), AFTER)
def test_retry_after(headers, seconds):
    assert faults.retry_after(headers) == seconds


def test_retry_after_a_date():
    later = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 60))
    assert 50 < faults.retry_after({"retry-after": later}) < 61


def with_choice(**choice):
    """A body of a chat completion."""
    return {"choices": [{"message": {"content": "#ANSWER x"}, "finish_reason": "stop"} | choice]}


def with_message(**message):
    return with_choice(message=message)


def with_usage(prompt, reply):
    usage = f'{{"prompt_tokens": {prompt}, "completion_tokens": {reply}}}'
    return (json.dumps(with_choice())[:-1] + f', "usage": {usage}}}').encode()


# What the stub sends with status 200, and the text that is read from it, or the error.
UNUSUAL = [
    (with_message(content=None), ""),
    (with_message(content=None, tool_calls=[{"function": {"name": "a", "arguments": "{}"}}]), ""),
    (with_message(content=None, reasoning_content="hm"), ""),
    (with_message(content=None, refusal="no"), "no"),
    ({"choices": [*with_choice()["choices"], None, 3]}, "#ANSWER x"),
    (b'{"choices": [{"message": {"content": "\\ud800 a"}}]}', "\ufffd a"),
    (with_message(content=0), UnusableReplyError("content is no text")),
    (with_message(content=[{"type": "text", "text": "x"}]), UnusableReplyError("content is no text")),
    (with_choice(message=None), UnusableReplyError("no completion")),
    ({"choices": {"0": 1}}, UnusableReplyError("no completion")),
    ([], UnusableReplyError("no completion")),
    (b"", UnusableReplyError("is no JSON")),
    (b"<html>a page</html>", UnusableReplyError("is no JSON .*<html>a page")),
    (b"\xff\xfe\xfd", UnusableReplyError("is no JSON")),
    (b"[" * 100_000, UnusableReplyError("is no JSON .*recursion")),
    (b'{"choices": [], "a": ' + b"9" * 5000 + b"}", UnusableReplyError("is no JSON .*digits")),
]


@pytest.mark.parametrize(("body", "expected"), UNUSUAL, ids=lambda value: repr(value)[:40])
def test_what_a_server_sends(almanac, agent, body, expected):
    with Stub() as stub:
        stub.chat = lambda _: body
        model = agent(stub, retries=0)
        if isinstance(expected, str):
            assert model.act([first_view(almanac)], [0])[0].text == expected
        else:
            with pytest.raises(PlayerError, match=rf"^assistant\.base_url: .*{expected}"):
                model.act([first_view(almanac)], [0])


@pytest.mark.parametrize(
    ("prompt", "reply", "counted"),
    [
        ("7", "3", (7, 3)),
        ("-1000", "-5", None),
        ("true", "false", None),
        ("1e999", "NaN", None),
        ('"7"', "[]", None),
        ("{}", "null", None),
    ],
)
def test_tokens_that_are_no_count_are_the_most_there_can_be(almanac, agent, prompt, reply, counted):
    """Whatever a server says, a budget is not made larger by it."""
    with Stub() as stub:
        stub.chat = lambda _: with_usage(prompt, reply)
        model = agent(stub)
        model.act([first_view(almanac)], [0])
    used = model._server.usage()
    most = bound(CHAT(first_view(almanac))), 128
    assert (used["prompt_tokens"], used["completion_tokens"]) == (counted or most)


def test_a_message_that_reached_the_longest_length_did_not_end(almanac, agent):
    with Stub() as stub:
        stub.chat = lambda body: with_choice(
            message={"content": f"I mean {body['seed'] % 2}"}, finish_reason=["stop", "length"][body["seed"] % 2]
        )
        user = agent(stub, "user")
        whole, cut = user.act([first_view(almanac)] * 2, [2, 3])
    assert isinstance(user, KnowsEnds) and user.ended(whole) and not user.ended(cut)


def test_a_game_whose_server_failed_is_played_again_later(almanac, agent):
    """Without retries, every request that fails sets its game aside until the others are over."""
    expected = games(almanac, {"assistant": Direct(), "user": ScriptedUser(almanac)})
    with Stub(faults=("500",), share=0.5) as stub:
        model = agent(stub, retries=0)
        assert games(almanac, {"assistant": model, "user": ScriptedUser(almanac)}) == expected


@pytest.mark.parametrize(
    ("kind", "reason"), [("400", r"a request \(400\): not this one"), ("filter", "a message: content filter")]
)
def test_games_that_cannot_be_played_are_named(almanac, agent, kind, reason):
    with Stub(faults=(kind,), share=0.4) as stub:
        model = agent(stub)
        with pytest.raises(PlayerError, match=rf"refuses {reason} \(\d+ of \d+ games") as raised:
            games(almanac, {"assistant": model, "user": ScriptedUser(almanac)})
    assert raised.value.games[0]["episode"].startswith("train/") and "refuses" in raised.value.games[0]["reason"]
    assert model._server.usage()["replies"] > 10, "all other games were played"


@pytest.mark.parametrize("kind", ["400", "filter"])
def test_what_a_server_refuses_may_count_as_invalid(almanac, agent, kind):
    with Stub(faults=(kind,), share=0.4) as stub:
        model = agent(stub, refused="invalid")
        played = games(almanac, {"assistant": model, "user": ScriptedUser(almanac)})
    refused = [game for game in played if any(turn["text"] is None for turn in game["turns"])]
    assert refused and all(game["result"]["flags"]["invalid"] for game in refused)
    assert sum(model._server.usage()["refused"].values()) > 0


def test_a_server_that_is_gone_ends_the_games_at_once(almanac, agent):
    with Stub(latency=0.02) as stub:
        model = agent(stub, retries=2, concurrency=1)
        model.act([first_view(almanac)], [0])
    with pytest.raises(PlayerError, match=r"assistant\.base_url: no server answers at http.*24 of 25 games"):
        games(almanac, {"assistant": model, "user": ScriptedUser(almanac)})
    assert model._server.faults == {"no connection": 6}, "one request speaks for all, each time"


SENTENCES = [
    ({}, {"key": KEY}, {}, r"^assistant\.key_env: .* refuses requests without a key \(401\)$"),
    ({}, {"key": "other"}, {"key_env": "STUB_KEY"}, r"^assistant\.key_env: .* the key of STUB_KEY \(401\)$"),
    ({}, {}, {"endpoint": "ids", "weights": "w"}, r"^assistant\.model: .* no model 'm' for .*ids \(404\)"),
    ({"faults": ("400",), "share": 1.0}, {}, {}, r"^assistant: the server .* refuses a request \(400\): not this one$"),
    ({"faults": ("500",), "share": 1.0}, {}, {"retries": 0}, r"^assistant\.base_url: .* replies 500: out of luck$"),
    ({"faults": ("stall",), "share": 1.0}, {}, {"retries": 0, "timeout": 0.1}, r"^assistant\.timeout: .* 0\.1 s$"),
]


@pytest.mark.parametrize(("fault", "wanted", "options", "sentence"), SENTENCES)
def test_a_server_that_cannot_be_asked_is_known_before_any_game(monkeypatch, agent, fault, wanted, options, sentence):
    monkeypatch.setenv("STUB_KEY", KEY)
    with Stub(**fault, **wanted) as stub, pytest.raises(ValueError, match=sentence) as raised:
        agent(stub, **options)._server.check()
    assert KEY not in str(raised.value)


REFUSED = [
    ({"base_url": "http://me:secret@host/v1"}, r"^user\.base_url must hold neither user, password, .*: [^@]*$"),
    ({"base_url": "http://host/v1?api-key=secret"}, r"^user\.base_url must hold neither (?!.*secret)"),
    ({"base_url": "http://host/v1#secret"}, r"^user\.base_url must hold neither (?!.*secret)"),
    ({"base_url": "http://[::1/v1"}, r"^user\.base_url must be the address of a server"),
    ({"base_url": "http://host:port/v1"}, r"^user\.base_url must be the address of a server"),
    ({"base_url": "http://ho st/v1"}, r"^user\.base_url must be the address of a server"),
    ({"base_url": "http://host/v1\n"}, r"^user\.base_url must be the address of a server"),
    ({"base_url": "http://\ud800/v1"}, r"^user\.base_url must be the address of a server"),
    ({"model": "\ud800"}, r"^user\.model cannot be sent as JSON"),
    ({"body": {"stop": ["\ud800"]}}, r"^user\.body cannot be sent as JSON"),
    ({"body": {"max_completion_tokens": 10**6}}, r"^user\.body must not hold max_completion_tokens"),
    ({"body": {"best_of": 9}}, r"^user\.body must not hold best_of"),
    ({"base_url": "host:8000"}, r"^user\.base_url must be the address of a server, .*not 'host:8000'"),
    ({"key_env": KEY}, r"^user\.key_env must be the name of an environment variable(?!.*sk-a)"),
    ({"key_env": "NO_SUCH_KEY"}, r"^user\.key_env: the environment variable NO_SUCH_KEY is not set$"),
    ({"endpoint": "ids"}, r"^user\.weights must name the folder or hub id"),
    ({"adapters": "vllm"}, r"^user\.adapters is for user\.endpoint=ids"),
    ({"template": {"a": 1}}, r"^user\.template is for user\.endpoint=ids"),
    ({"max_cost": 1.0}, r"^user\.max_cost needs user\.input_price and user\.output_price$"),
    ({"body": {"seed": 1, "temperature": 3}}, r"^user\.body must not hold temperature, which has an option"),
    ({"tokens_per_minute": 100}, r"^user\.tokens_per_minute must hold one reply"),
]


@pytest.mark.parametrize(("options", "sentence"), REFUSED)
def test_options_that_do_not_fit_are_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_api(Api(**{"model": "m"} | options), "user")


@pytest.mark.parametrize("key", ["two\nlines-of-it", "two words", "ключ", "a\x01b"])
def test_a_key_that_no_header_can_hold_is_refused_and_not_shown(monkeypatch, key):
    monkeypatch.setenv("STUB_KEY", key)
    with pytest.raises(ValueError, match=r"^user\.key_env: the environment variable STUB_KEY holds no key") as raised:
        check_api(Api(model="m", key_env="STUB_KEY"), "user")
    assert key.split()[-1] not in str(raised.value).partition(" holds ")[2]


@pytest.mark.parametrize("shown", [str, repr, json.dumps])
def test_a_key_is_left_out_however_it_is_spelled(shown):
    key = "a\"key\\with'quotes"
    assert faults.redacted(f"no such key: {shown(key)}", key).count("***") == 1


def test_a_budget_stops_before_it_is_exceeded_and_goes_on(almanac, agent, tmp_path):
    with Stub() as stub:
        whole = agent(stub)
        expected = games(almanac, {"assistant": whole, "user": ScriptedUser(almanac)})
        used = whole._server.usage()
        tokens = used["prompt_tokens"] + used["completion_tokens"]
        stub.requests.clear()
        budget = tokens // 2
        first = agent(stub, folder=tmp_path, max_total_tokens=budget)
        with pytest.raises(StoppedError, match=rf"assistant\.max_total_tokens={budget}: the budget is spent"):
            games(almanac, {"assistant": first, "user": ScriptedUser(almanac)})
        used = first._server.usage()
        assert budget / 2 < used["prompt_tokens"] + used["completion_tokens"] <= budget
        first._server.close()
        prices = {"input_price": 2.0, "output_price": 8.0, "max_cost": 1.0}
        second = agent(stub, folder=tmp_path, **prices)
        assert games(almanac, {"assistant": second, "user": ScriptedUser(almanac)}) == expected
        assert len({request["name"] for request in stub.requests}) == len(stub.requests), "nothing was asked twice"
        used = second._server.usage()
        assert used["prompt_tokens"] + used["completion_tokens"] == tokens
        assert used["cost"] == pytest.approx((2 * used["prompt_tokens"] + 8 * used["completion_tokens"]) / 1e6)


def test_a_budget_counts_what_may_have_been_paid_for(almanac, agent, tmp_path):
    with Stub(faults=("half",), share=1.0) as stub:
        model = agent(stub, folder=tmp_path)
        model.act([first_view(almanac)], [0])
    lost = model._server.usage()["unanswered_tokens"]
    model._server.close()
    assert lost >= 128 and sum(Journal(tmp_path / "servers" / "assistant.jsonl").lost) == lost


def test_requests_that_are_dropped_count_too(almanac, agent, tmp_path):
    with Stub(faults=("stall",), share=1.0) as stub:
        model = agent(stub, folder=tmp_path)
        model.submit(first_view(almanac), 0)
        while not stub.in_flight:
            time.sleep(0.01)
        model.stop()
    assert model._server.usage()["unanswered_tokens"] >= 128


def test_a_cost_that_no_request_fits_is_said(almanac, agent):
    with Stub() as stub:
        model = agent(stub, input_price=10.0, output_price=10.0, max_cost=1e-5)
        with pytest.raises(StoppedError, match=r"^assistant\.max_cost=1e-05: the budget is spent \(0 so far, and"):
            model.act([first_view(almanac)], [0])
        assert not stub.requests


def test_rates_are_kept_to(almanac, agent, monkeypatch):
    monkeypatch.setattr(limits, "_MINUTE", 0.3)
    with Stub() as stub:
        began = time.monotonic()
        agent(stub, requests_per_minute=2).act([first_view(almanac, i) for i in range(4)], [0, 1, 2, 3])
        assert time.monotonic() - began >= 0.3
        began = time.monotonic()
        agent(stub, tokens_per_minute=1000).act([first_view(almanac, i) for i in range(3)], [0, 1, 2])
        assert time.monotonic() - began >= 0.3


def test_stored_answers(tmp_path):
    path = tmp_path / "servers" / "a.jsonl"
    journal = Journal(path)
    answers = {"k": Answer("a", (1, 2), (-0.5, 0.0), 3, 2, False), "n": Answer(None, refused="no"), "e": Answer("")}
    for key, answer in answers.items():
        journal.store(key, answer)
    journal.lose(5, 6)
    with path.open("a") as file:
        file.write('{"key":"torn","te')
    again = Journal(path)
    assert again.answers == answers and again.lost == (5, 6)
    again.store("more", Answer("b"))
    assert set(Journal(path).answers) == {*answers, "more"}
    for line in BROKEN:
        path.write_text(line + "\n")
        with pytest.raises(ValueError, match=r"a\.jsonl, line 1: no stored reply"):
            Journal(path)


def test_a_full_disk_leaves_no_half_line_in_an_open_file(tmp_path):
    class Full:
        """A file whose disk is full after ten bytes, until there is room again."""

        def __init__(self, file):
            self.file, self.writes = file, 0

        def write(self, line):
            self.writes += 1
            if self.writes == 2:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.file.write(line[:10] if self.writes == 1 else line)

        def __getattr__(self, name):
            return getattr(self.file, name)

    path = tmp_path / "a.jsonl"
    journal = Journal(path)
    journal.store("first", Answer("a"))
    journal._file = Full(journal._file)
    with pytest.raises(OSError, match="No space left"):
        journal.store("second", Answer("b"))
    journal.lose(5, 6)
    journal.store("third", Answer("c"))
    journal.close()
    again = Journal(path)
    assert set(again.answers) == {"first", "third"} and again.lost == (5, 6)


BROKEN = [
    '{"key":"x","text":1}',
    '{"key":"x","text":"a","no":2}',
    '{"key":["x"],"text":"a"}',
    '{"text":"a"}',
    '{"key":"x"}',
    '{"key":"x","text":"a","prompt_tokens":"5"}',
    '{"key":"x","text":"a","tokens":-5}',
    '{"key":"x","text":"a","ids":[1,"b"]}',
    '{"key":"x","text":"a","logprobs":"abc"}',
    '{"key":"x","text":"a","ended":1}',
    '{"lost":[1]}',
    '{"lost":["a",-1]}',
    '{"lost":null}',
    '"lost"',
    "[]",
    "null",
    "\0\0\0",
    "[" * 100_000,
]


SCRUBBED = [
    ("a <|im_end|><|im_start|>system b", "a   system b"),
    ("[INST] x [/INST] <<SYS>>", "  x    "),
    ("<|im_<|im_end|>end|>", "<|im_ end|>"),
    ("<|" * 100_000 + "im_start|>" + "|>" * 100_000, "<|" * 99_999 + " " + "|>" * 100_000),
    ("<think>x</think>", " x "),
    ("a < b | c > d, x[INSTANCE] <b>", "a < b | c > d, x[INSTANCE] <b>"),
    ("\ud800", "\ufffd"),
]


@pytest.mark.parametrize(("text", "clean"), SCRUBBED, ids=lambda value: repr(value)[:40])
def test_no_message_holds_control_tokens(text, clean):
    assert scrubbed(text).split() == clean.split()


def test_chats_cannot_begin_with_an_opening(almanac, agent):
    with Stub() as stub, pytest.raises(ValueError, match=r"assistant\.endpoint=chat cannot make a message begin with"):
        agent(stub).submit(first_view(almanac), 0, "#ANSWER")


def test_greedy_replies_do_not_depend_on_seeds(almanac, agent):
    with Stub() as stub:
        greedy = agent(stub, temperature=0.0)
        assert len(set(greedy.act([first_view(almanac)] * 3, [1, 2, 3]))) == 1
        assert [request["seed"] for request in stub.requests] == [0]


def test_fields_of_a_request(almanac, agent):
    with Stub(usage=False) as stub:
        options = {"omit": ["seed"], "body": {"extra": {"a": 1}}, "length_field": "max_completion_tokens"}
        model = agent(stub, max_new_tokens=9, **options)
        model.act([first_view(almanac)], [5])
        agent(stub).act([first_view(almanac)], [2**40 + 7])
    (first, second) = (request["body"] for request in stub.requests)
    common = {"model": "m", "messages": CHAT(first_view(almanac)), "temperature": 1.0}
    assert first == common | {"max_completion_tokens": 9, "extra": {"a": 1}}
    assert second == common | {"max_tokens": 128, "seed": (2**40 + 7) % (2**31 - 1)}
    assert model._server.usage()["completion_tokens"] == 9, "without the server's count, the most that it can be"


CLIENT = """
import sys
sys.path.insert(0, {tests!r})
from test_servers import Api, CHAT, Path, QUICK, ScriptedUser, Server, ServerAgent, games, json
from clarify_env import make_task
from conftest import ALMANAC
task = make_task("almanac", **ALMANAC)
server = Server(Api(model="m", base_url=sys.argv[1], **QUICK | {{"retries": 60, "timeout": 60.0}}), "assistant")
server.open(Path(sys.argv[2]))
model = ServerAgent(server, CHAT, temperature=1.0, name="m")
played = games(task, {{"assistant": model, "user": ScriptedUser(task)}}, 120)
server.close()
Path(sys.argv[2], "games.json").write_text(json.dumps(played))
"""


def client(url, folder):
    root = Path(__file__).parents[1]
    code = CLIENT.format(tests=str(root / "tests"))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])}
    return subprocess.Popen([sys.executable, "-c", code, url, str(folder)], env=environment)


@pytest.mark.slow
def test_a_client_that_is_killed_goes_on(almanac, tmp_path):
    expected = json.loads(json.dumps(games(almanac, {"assistant": Direct(), "user": ScriptedUser(almanac)}, 120)))
    with Stub(latency=0.2, faults=("500", "429", "half")) as stub:
        for killed in (20, 45):
            process = client(stub.url, tmp_path)
            while len([r for r in stub.requests if r["status"] == 200]) < killed:
                time.sleep(0.01)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            while stub.in_flight:  # what the client did not live to read
                time.sleep(0.01)
        stored = set(Journal(tmp_path / "servers" / "assistant.jsonl").answers)
        assert 0 < len(stored) < 120
        before = len(stub.requests)
        assert client(stub.url, tmp_path).wait(60) == 0
        assert json.loads((tmp_path / "games.json").read_text()) == expected
        answered = [r["name"] for r in stub.requests[before:] if r["status"] == 200]
        assert len(set(answered)) == len(answered)
        journal = Journal(tmp_path / "servers" / "assistant.jsonl")
        assert len(answered) == len(journal.answers) - len(stored), "what was stored was not asked for again"


@pytest.mark.slow
def test_a_server_that_is_killed_and_started_again(almanac, tmp_path):
    expected = json.loads(json.dumps(games(almanac, {"assistant": Direct(), "user": ScriptedUser(almanac)}, 120)))

    def serve(port, **options):
        script = str(Path(__file__).with_name("stub_server.py"))
        process = subprocess.Popen(
            [sys.executable, script, str(port), json.dumps({"log": str(tmp_path / "log"), "latency": 0.05} | options)],
            stdout=subprocess.PIPE,
            text=True,
        )
        return process, int(process.stdout.readline().split()[0])

    process, port = serve(0, die_after=30)
    running = client(f"http://127.0.0.1:{port}/v1", tmp_path)
    assert process.wait(60) == 9
    time.sleep(0.5)
    process, _ = serve(port)
    try:
        assert running.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    assert json.loads((tmp_path / "games.json").read_text()) == expected


API = [
    *SMALL,
    "assistant=api",
    "prompts=natural",
    "assistant.model=m",
    "eval.sets=[between]",
    "eval.modes=[temperature]",
    "assistant.backoff=0.01",
]


def test_a_command_plays_and_tells_no_key(command, monkeypatch, tmp_path):
    """A whole run through faults, with a key: its results are those without, and no file or line holds the key."""
    monkeypatch.setenv("STUB_KEY", KEY)
    with Stub() as stub:
        words = [*API, f"assistant.base_url={stub.url}", f"run_dir={tmp_path / 'plain'}"]
        assert command(prompted, *words)[0] == 0
        first = stub.requests[:]
    with Stub(key=KEY, faults=("500", "429", "half", "garbage")) as stub:
        prices = ["assistant.input_price=1", "assistant.output_price=2", "assistant.key_env=STUB_KEY"]
        words = [*API, *prices, f"assistant.base_url={stub.url}", f"run_dir={tmp_path / 'run'}"]
        code, error = command(prompted, *words)
        assert code == 0 and KEY not in error
    assert command(prompted, *words)[0] == 0, "a run that is over needs no server"
    plain, summary = (read_json(tmp_path / name / "summary.json") for name in ("plain", "run"))
    assert summary["eval"] == plain["eval"] and summary["players"] == {"assistant": "m", "user": "scripted"}
    used = summary["servers"]["assistant"]
    assert used["replies"] == plain["servers"]["assistant"]["replies"] == len(first) - 1  # one was a trial
    assert used["cost"] > 0 and used["unanswered_tokens"] > 0
    for path in (tmp_path / "run").rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes(), path


def test_a_run_with_failed_games_says_so_and_goes_on(command, tmp_path):
    with Stub(faults=("400",), share=0.3) as stub:
        stub.fault = lambda name, fault=stub.fault: fault(name) if len(stub.requests) > 5 else ""
        words = [*API, f"run_dir={tmp_path}", f"assistant.base_url={stub.url}"]
        code, error = command(prompted, *words)
        last = error.strip().splitlines()[-1]
        assert code == 1 and last.endswith("all replies are stored, and the same command goes on from here")
        assert "not this one" in last and "games are not over" in last
        failed = read_json(tmp_path / "failed.json")
        assert failed["games"][0]["episode"].startswith("test/")
        answered = {request["name"] for request in stub.requests if request["status"] == 200}
        del stub.fault
        stub.faults = ()
        code, error = command(prompted, *words, "assistant.base_url=http://127.0.0.1:9/v1")
        assert code == 1 and "assistant.base_url: no server answers at http://127.0.0.1:9/v1" in error
        before = len(stub.requests)
        assert command(prompted, *words, "assistant.retries=3", "assistant.concurrency=8")[0] == 0
        again = [request["name"] for request in stub.requests[before + 1 :]]
        assert again and not set(again) & answered
    assert not (tmp_path / "failed.json").exists() and read_json(tmp_path / "summary.json")["eval"]


@pytest.mark.slow
def test_a_server_plays_both_sides(command, tmp_path):
    with Stub() as stub:
        words = [*API, "user=self", f"assistant.base_url={stub.url}", f"run_dir={tmp_path}"]
        assert command(prompted, *words) == (0, "")
        first = {request["body"]["messages"][0]["content"][:30] for request in stub.requests[1:]}
    summary = read_json(tmp_path / "summary.json")
    assert summary["players"] == {"assistant": "m", "user": "self"} and len(first) == 2, "prompts of both roles"
    assert summary["servers"]["assistant"]["replies"] == len(stub.requests) - 1


COMMANDS = [
    (prompted, ["assistant.base_url=http://127.0.0.1:9/v1"], "assistant.base_url: no server answers at http://127"),
    (prompted, ["assistant.key_env=NO_SUCH_KEY"], "assistant.key_env: the environment variable NO_SUCH_KEY is not set"),
    (prompted, ["prompts=prior"], "prompts=prior needs the model's own log-probabilities (kind hf)"),
    (prompted, ["eval.gold_logprob=true"], "eval.gold_logprob needs the model here (kind hf)"),
    (rest, [], "assistant.endpoint=chat: chat completions bring no token ids, so what the server plays cannot be"),
]


@pytest.mark.parametrize(("module", "words", "sentence"), COMMANDS)
def test_what_cannot_be_is_said_before_any_game(command, tmp_path, module, words, sentence):
    code, error = command(module, *API, *words, f"run_dir={tmp_path / 'run'}")
    assert code == 1 and error.startswith(f"error: {sentence}") and not (tmp_path / "run").exists()
    assert "goes on" not in error


def test_a_client_that_is_not_installed_is_named(command, monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.startswith("agents.servers.") and "options" not in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "openai", None)
    code, error = command(prompted, *API, f"run_dir={tmp_path / 'run'}")
    assert (code, error) == (
        1,
        "error: kind api needs the package openai: install the extra [api], as pip install 'clarify-env[api]'\n",
    )


def test_a_probe_of_a_server(command, tmp_path):
    with Stub() as stub:
        words = [*API[:-3], "probe.episodes=2", f"assistant.base_url={stub.url}", f"run_dir={tmp_path}"]
        assert command(probe, *words) == (0, "")
    rows = read_json(tmp_path / "probe.json")["rows"]
    assert {(row["role"], row["opening"]) for row in rows} == {("assistant", ""), ("user", "")}
    assert all(row["ended"] == 1 and row["tokens"] > 0 for row in rows)


PAGE = (Path(__file__).parents[1] / "docs" / "servers.md").read_text(encoding="utf-8")
SHOWN = [
    shlex.split(line)
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
    if "-m trainers." in line
]


@pytest.mark.slow
@pytest.mark.parametrize("words", SHOWN, ids=lambda words: " ".join(words[2:5]))
def test_commands_of_the_page_run(command, monkeypatch, tmp_path, tiny_folder, words):
    """Each command, with the stub for its server, a small task and few games; learning is tried up to its check."""
    monkeypatch.setenv("NAME_OF_THE_VARIABLE", KEY)
    module = {"probe": probe, "prompted": prompted, "evaluate": evaluating, "rest": rest}[words[2].split(".")[1]]
    small = SMALL if module is probe else [*SMALL, "eval.sets=[between]", "eval.modes=[greedy]"]
    with Stub(key=KEY if "key_env" in " ".join(words) else "") as stub:
        given = [word.replace("http://127.0.0.1:8000/v1", stub.url) for word in words[3:]]
        given = [word.replace("FOLDER", str(tiny_folder)) for word in given]
        code, error = command(module, *small, *given, f"run_dir={tmp_path / 'run'}")
        assert stub.requests
    if module is rest:  # the stub has no completions of token ids
        assert code == 1 and error.startswith("error: assistant.model: the server at")
    else:
        assert (code, error) == (0, "") and KEY not in error


def test_code_of_the_page_runs():
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    with Stub() as stub:
        exec(compile(code.replace("http://127.0.0.1:8000/v1", stub.url), "servers.md", "exec"), {})
        assert stub.requests


@pytest.mark.slow
def test_games_in_flight_are_faster():
    root = Path(__file__).parents[1]
    words = ["--games", "48", "--latency", "0.4", "--concurrency", "48"]
    paths = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(root / "benchmarks" / "servers.py"), *words],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert float(re.search(r"in flight: ([\d.]+) times", done.stdout)[1]) >= 5, done.stdout
