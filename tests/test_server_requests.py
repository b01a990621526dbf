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


IDS = {"endpoint": "ids", "weights": "w"}


class Loading:
    """A server that loads adapters, with faults at the first requests to do so; a request without its adapter fails.

    Args:
        kind: vllm or sglang.
        faults: What happens to the first requests that load an adapter: a status, or ``reset``.
        said: What is said of an adapter that is not there.
    """

    def __init__(self, kind="vllm", faults=(), said="The following requested LoRA adapters are not loaded: {}"):
        self.kind, self.faults, self.said = kind, list(faults), said
        self.loaded, self.posts, self.verbs = set(), [], ("load",)
        self.stub = Stub(answer=self.answer, adapters=self.adapters)
        answered = self.stub.answered

        async def faulty(writer, path, headers, body):
            if self.faults[:1] == ["reset"] and any(f"/{verb}_lora" in path for verb in self.verbs):
                self.faults.pop(0)
                self.posts.append((path, body["lora_name"]))
                writer.transport.abort()
                raise ConnectionResetError
            return await answered(writer, path, headers, body)

        self.stub.answered = faulty

    def adapters(self, path, body):
        name = body["lora_name"]
        self.posts.append((path, name))
        if self.faults and any(f"/{verb}_lora" in path for verb in self.verbs):
            time.sleep(0.1)
            return self.faults.pop(0), {"error": {"message": "busy"}}
        if "unload" in path:
            if name not in self.loaded:
                return (404, {"error": {"message": f"no {name}"}}) if self.kind == "vllm" else (400, {"success": False})
            self.loaded.discard(name)
        elif name in self.loaded:
            return 400, {"error": {"message": f"{name} is already loaded"}}
        else:
            self.loaded.add(name)
        return 200, {"success": True}

    def answer(self, body):
        name = body.get("lora_path") if self.kind == "sglang" else body["model"]
        if name in {None, "m"} | self.loaded:
            return completed(body)
        if self.kind == "vllm":
            return 404, {"error": {"message": f"no model {name}"}}
        return 400, {"object": "error", "message": self.said.format(name), "code": 400}


def adapter(asking, folder, weights="a"):
    """The name of an adapter of some weights."""
    (folder / weights).mkdir()
    (folder / weights / "adapter_model.safetensors").write_bytes(weights.encode())
    return asking.adapters.name_of(folder / weights)


@pytest.mark.parametrize("kind", ["vllm", "sglang"])
@pytest.mark.parametrize("faults", [(503,), (409, 503), ("reset",), ("reset", 500, 429)], ids=str)
def test_loading_an_adapter_is_tried_again(server, tmp_path, kind, faults):
    loading = Loading(kind, faults)
    with loading.stub as stub:
        asking = server(stub, adapters=kind, **IDS)
        first, second = adapter(asking, tmp_path), adapter(asking, tmp_path, "b")
        assert asking.submit(asked(1, first)).result().ids == (5,)
        loading.faults, loading.verbs = list(faults), ("unload",)
        assert asking.submit(asked(2, second)).result().ids == (5,)
        assert loading.loaded == {second} and sum(asking.faults.values()) == 2 * len(faults)
        assert "unanswered_tokens" not in asking.usage(), "an adapter costs no tokens"


def test_loading_an_adapter_is_given_up_after_the_retries(server, tmp_path):
    loading = Loading(faults=[503] * 100)
    with loading.stub as stub:
        asking = server(stub, adapters="vllm", retries=1, **IDS)
        name = adapter(asking, tmp_path)
        replies = [asking.submit(asked(i, name)) for i in range(20)]
        for reply in replies:
            with pytest.raises(PlayerError, match=r"^assistant\.base_url: the server at .* replies 503: busy$"):
                reply.result()
        assert len(loading.posts) < 10, "one attempt speaks for all that wait for it"
        loading.faults.clear()
        assert asking.submit(asked(0, name)).result().ids == (5,)
    with pytest.raises(PlayerError, match=r"^assistant\.base_url: no server answers"):
        asking.submit(asked(1, adapter(asking, tmp_path, "b"))).result()


def test_an_adapter_that_cannot_be_loaded_ends_the_run(server, tmp_path):
    with Stub(answer=completed, adapters=lambda path, body: (400, {"error": {"message": "rank 64"}})) as stub:
        asking = server(stub, adapters="vllm", **IDS)
        with pytest.raises(
            ValueError, match=r"^assistant\.adapters=vllm: .*\(400: .*rank 64.*; start vLLM with"
        ) as raised:
            asking.submit(asked(0, adapter(asking, tmp_path))).result()
        assert not isinstance(raised.value, PlayerError) and len(stub.requests) == 1


@pytest.mark.parametrize("refused", ["stop", "invalid"])
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("vllm", ""),
        ("sglang", "The following requested LoRA adapters are not loaded: {}"),
        ("sglang", "Got LoRA adapter that has never been loaded: {}"),
    ],
)
def test_a_server_that_has_lost_its_adapter_is_given_it_again(server, tmp_path, kind, said, refused):
    loading = Loading(kind, said=said)
    with loading.stub as stub:
        asking = server(stub, adapters=kind, refused=refused, **IDS)
        name = adapter(asking, tmp_path)
        assert asking.submit(asked(0, name)).result().ids == (5,)
        loading.loaded.clear()
        loading.faults = [503, "reset"]
        assert asking.submit(asked(1, name)).result().ids == (5,)
        loading.adapters = stub.adapters = lambda path, body: (200, {"success": True})
        loading.loaded.clear()
        with pytest.raises(
            ValueError, match=r"^assistant\.(model|adapters=sglang): .* has no (model|adapter) "
        ) as raised:
            asking.submit(asked(2, name)).result()
        assert not isinstance(raised.value, PlayerError) and asking.usage()["replies"] == 2, "no message is invalid"


def test_a_refusal_that_speaks_of_loading_is_one_without_an_adapter(server):
    with answering(400, {"message": "the picture was not loaded"}) as stub:
        assert "not loaded" in server(stub, refused="invalid").submit(asked()).result().refused


def test_the_check_for_adapters_is_tried_again(server):
    loading = Loading(faults=["reset"])
    loading.verbs = ("unload",)
    with loading.stub as stub:
        server(stub, adapters="vllm", **IDS).check()
    assert len(loading.posts) == 2
