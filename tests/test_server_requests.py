"""What becomes of single requests to a server: refusals, adapters, keys, limits."""

import asyncio
import time

import pytest
from stub_server import Stub

from agents.servers import limits
from agents.servers.options import Api
from agents.servers.protocol import Request
from agents.servers.server import Server
from clarify_env.games.agents import PlayerError

QUICK = {"backoff": 0.01, "longest_wait": 0.05, "timeout": 30.0}


@pytest.fixture
def server():
    """Makes servers of a stub."""
    made = []

    def make(stub, **options):
        made.append(Server(Api(model="m", base_url=stub.url, **QUICK | options), "assistant"))
        return made[-1]

    yield make
    for each in made:
        each.close()


def asked(number=0, adapter=""):
    """A request, another for each number."""
    prompt = (1, 2, 3) if adapter else ({"role": "user", "content": f"#{number}"},)
    return Request(prompt, number, 1.0, 8, adapter=adapter)


def answering(status, body, headers=None):
    """A stub that answers chats with a status."""
    stub = Stub()

    async def answered(writer, path, headers_, body_):
        return stub.send(writer, status, body, headers)

    stub.answered = answered
    return stub


REFUSALS = [
    (400, "refuses a request (400): the reason"),
    (422, "refuses a request (422): the reason"),
    (402, "asks for money before it replies (402): the reason"),
    (403, "refuses requests without a key (403)"),
    (404, "has no model 'm' for assistant.endpoint=chat (404): the reason"),
    (405, "refuses a request (405): the reason"),
    (413, "refuses a request (413): the reason"),
    (451, "refuses a request (451): the reason"),
]


@pytest.mark.parametrize("refused", ["stop", "invalid"])
@pytest.mark.parametrize(("status", "sentence"), REFUSALS, ids=[str(status) for status, _ in REFUSALS])
def test_which_statuses_refuse_one_message(server, tmp_path, status, sentence, refused):
    """Only 400 and 422 do; any other ends the run, and nothing is stored."""
    this_one = status in (400, 422)
    with answering(status, {"error": {"message": "the reason"}}) as stub:
        asking = server(stub, refused=refused)
        asking.open(tmp_path)
        if this_one and refused == "invalid":
            answer = asking.submit(asked()).result()
            assert answer.text is None and answer.refused.endswith(sentence)
            return
        with pytest.raises(ValueError) as raised:
            asking.submit(asked()).result()
        assert str(raised.value).endswith(sentence) and isinstance(raised.value, PlayerError) == this_one
        assert asking.usage()["replies"] == 0


KEY = "SECRETSECRET0123456789abcdefghijklmn"


@pytest.mark.parametrize("before", range(0, 310, 20))
def test_a_key_is_removed_before_a_text_is_cut(monkeypatch, server, before):
    """Wherever the key stands in what the server sends, no part of it is shown."""
    monkeypatch.setenv("STUB_KEY", KEY)
    text = f"{'x' * before} Bearer {KEY} and so on".encode()
    with answering(200, text) as stub, pytest.raises(PlayerError, match="no JSON") as told:
        server(stub, key_env="STUB_KEY", retries=0).submit(asked()).result()
    ids = {"endpoint": "ids", "weights": "w", "adapters": "vllm"}
    adapters = {"answer": completed, "adapters": lambda path, body: (405, text)}
    with Stub(**adapters) as stub, pytest.raises(ValueError, match="cannot load adapters") as refused:
        server(stub, key_env="STUB_KEY", **ids).check()
    assert KEY[:4] not in str(told.value) + str(refused.value) and len(str(told.value)) < 400


def completed(body):
    """A completion of token ids."""
    logprobs = {"tokens": ["token_id:5"], "token_logprobs": [-1.0]}
    choice = {"text": "x", "finish_reason": "stop", "token_ids": [5], "logprobs": logprobs}
    return 200, {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}


# Limits on requests and tokens, tokens of each request, and the minutes in which they are sent.
RATES = [
    ((3, None), [9] * 8, [0, 0, 0, 1, 1, 1, 2, 2], "three at once, three after a minute, two after another"),
    ((None, 20), [9, 9, 9, 30, 1], [0, 0, 1, 2, 3], "a request above the limit has a minute for itself"),
    ((5, 100), [100] + [10] * 9, [0, 1, 1, 1, 1, 1, 2, 2, 2, 2], "a request is counted when its tokens are there"),
    ((None, None), [9] * 3, [0, 0, 0], "no limit"),
]


@pytest.mark.parametrize(("most", "tokens", "minutes", "why"), RATES, ids=[row[-1] for row in RATES])
def test_rates(monkeypatch, most, tokens, minutes, why):
    monkeypatch.setattr(limits, "_MINUTE", 0.2)

    async def sent(rates, began):
        async def send(units):
            await rates.take(units)
            return time.monotonic() - began

        return await asyncio.gather(*map(send, tokens))

    times = asyncio.run(sent(limits.Rates(*most), time.monotonic()))
    assert all(minute * 0.2 <= at for at, minute in zip(times, minutes, strict=True)), (why, times)
    assert times[-1] < minutes[-1] * 0.2 + 2


def test_a_pause_that_grows_is_waited_out_before_units_are_taken(monkeypatch):
    monkeypatch.setattr(limits, "_MINUTE", 0.2)

    async def sent():
        rates, began = limits.Rates(1), time.monotonic()
        rates.pause(0.1)
        waiting = [asyncio.create_task(rates.take(1)) for _ in range(2)]
        await asyncio.sleep(0.05)
        rates.pause(0.25)
        await waiting[0]
        first = time.monotonic() - began
        await waiting[1]
        return first, time.monotonic() - began

    first, second = asyncio.run(sent())
    assert first >= 0.3 and second >= 0.5, "the first counts from when it was sent"


def test_a_request_that_was_not_sent_is_not_paid_for(server):
    with Stub() as stub:
        asking = server(stub, requests_per_minute=1)
        replies = [asking.submit(asked(i)) for i in range(2)]
        assert replies[0].result().text
        asking.stop()
        assert len(stub.requests) == 1 and "unanswered_tokens" not in asking.usage()


def test_rates_hold_after_a_pause(monkeypatch, server):
    """Requests that wait as long as a server asks are counted when they are sent, not when they began to wait."""
    monkeypatch.setattr(limits, "_MINUTE", 0.5)
    times, answered = [], Stub.answered

    async def slow_down_once(self, writer, *request):
        times.append(time.monotonic())
        if len(times) == 1:
            return self.send(writer, 429, {"error": {"message": "slow down"}}, {"Retry-After": "0.4"})
        return await answered(self, writer, *request)

    monkeypatch.setattr(Stub, "answered", slow_down_once)
    with Stub() as stub:
        asking = server(stub, requests_per_minute=3)
        replies = [asking.submit(asked(0))]
        while not times:
            time.sleep(0.01)
        time.sleep(0.1)
        replies += [asking.submit(asked(i)) for i in range(1, 6)]
        assert all(reply.result().text for reply in replies)
    assert times[4] - times[0] >= 0.4 + 0.5, "three when the pause is over, the next after a minute"
