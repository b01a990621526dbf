"""What becomes of single requests to a server: refusals, adapters, keys, limits."""

import pytest
from stub_server import Stub

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
    with Stub(answer=completed, adapters=lambda path, body: (405, text)) as stub:
        with pytest.raises(ValueError, match="cannot load adapters") as refused:
            server(stub, key_env="STUB_KEY", **ids).check()
    assert KEY[:4] not in str(told.value) + str(refused.value) and len(str(told.value)) < 400


def completed(body):
    """A completion of token ids."""
    logprobs = {"tokens": ["token_id:5"], "token_logprobs": [-1.0]}
    choice = {"text": "x", "finish_reason": "stop", "token_ids": [5], "logprobs": logprobs}
    return 200, {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}
