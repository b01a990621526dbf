"""Methods that learn here from what a server plays, which is kept in step by low-rank adapters."""

import json

import pytest
from conftest import SMALL
from stub_server import Stub

from trainers import evaluate, grpo, prompted, rest
from trainers.runs.store import read_json


class Served:
    """A server's side: a model that completes token ids, and adapters as vLLM or SGLang load them."""

    def __init__(self, folder, kind="vllm"):
        from agents.hf import load

        self.folder, self.kind = folder, kind
        self.base, self.tokenizer = load(folder, device="cpu")
        self.models = {"m": self.base}
        self.calls = []

    def answer(self, body):
        from agents.sample import LocalSampler

        model = self.models.get(body.get("lora_path") or body["model"])
        if model is None:
            return 404, {"error": {"message": "no such model"}}
        assert body["top_p"] == 1 and body["top_k"] == -1 and body["return_token_ids"]
        ends = body["stop_token_ids"] or [self.tokenizer.eos_token_id]
        sampler = LocalSampler(
            model,
            pad_id=self.tokenizer.pad_token_id,
            end_id=ends,
            temperature=body["temperature"],
            max_new_tokens=body["max_tokens"],
        )
        (sample,) = sampler.sample([tuple(body["prompt"])], [()], [body["seed"]])
        choice = {
            "text": self.tokenizer.decode(sample.ids),
            "token_ids": sample.ids,
            "prompt_token_ids": body["prompt"],
            "logprobs": {"token_logprobs": sample.logprobs, "tokens": [f"token_id:{token}" for token in sample.ids]},
            "finish_reason": "stop" if sample.ids[-1] in ends else "length",
        }
        usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": len(sample.ids)}
        return 200, {"choices": [choice], "usage": usage}

    def adapters(self, path, body):
        from peft import PeftModel

        from agents.hf import load

        name = body["lora_name"]
        self.calls.append((path, name, body.get("lora_path")))
        if "unload" in path:
            if self.models.pop(name, None) is not None:
                return 200, {"success": True}
            return (404, {"error": {"message": f"no {name}"}}) if self.kind == "vllm" else (400, {"success": False})
        model = PeftModel.from_pretrained(load(self.folder, device="cpu")[0], body["lora_path"])
        self.models[name] = model.merge_and_unload().eval()
        return 200, {"success": True}


MEASURED = [*SMALL, "eval.sets=[between]", "eval.modes=[greedy]"]
SMALL_REST = [
    *MEASURED,
    "size=quick",
    "budget.games=80",
    "rollouts.free=1",
    "rollouts.forced=1",
    "rollouts.follow_ups=1",
    "rest.hindsight=2",
    "update.least_steps=0",
    "update.runs=1",
]


def api(folder, stub, kind="vllm"):
    return [
        "assistant=api",
        "assistant.model=m",
        "assistant.style=pocket",
        "assistant.max_new_tokens=48",
        "assistant.endpoint=ids",
        f"assistant.weights={folder}",
        f"assistant.adapters={kind}",
        f"assistant.base_url={stub.url if stub else 'http://127.0.0.1:9/v1'}",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["vllm", "sglang"])
def test_a_server_plays_with_what_is_learned_here(command, tiny, tiny_folder, tmp_path, kind):
    from agents.example import Example
    from agents.sample import LocalSampler

    served, run = Served(tiny_folder, kind), tmp_path / "run"
    with Stub(answer=served.answer, adapters=served.adapters, faults=("500",)) as stub:
        words = [*SMALL_REST, *api(tiny_folder, stub, kind), "rest.iterations=2", f"run_dir={run}"]
        assert command(rest, *words, "assistant.backoff=0.01") == (0, "")
        asked = len(stub.requests)
        assert command(rest, *words)[0] == 0 and len(stub.requests) == asked, "a run that is over needs no server"
        first, second = (str(run / "checkpoints" / f"iteration-{n}" / "adapter") for n in (1, 2))
        root = "/v1" if kind == "vllm" else ""
        _, one, two, unloaded, *_ = served.calls  # first, one that is not there is unloaded
        assert one[::2] == (f"{root}/load_lora_adapter", first) and two[::2] == (f"{root}/load_lora_adapter", second)
        assert unloaded[:2] == (f"{root}/unload_lora_adapter", one[1])
        played = [r["body"].get("lora_path") or r["body"]["model"] for r in stub.requests if "completions" in r["path"]]
        assert list(dict.fromkeys(played)) == ["m", one[1], two[1]]
    sampler = LocalSampler(tiny[0], pad_id=tiny[1].pad_token_id, end_id=tiny[1].eos_token_id)
    turns = [
        turn
        for line in (run / "trajectories" / "iteration-1.jsonl").read_text().splitlines()
        if line  # a chunk without games is an empty one
        for turn in json.loads(line)["turns"]
        if turn["role"] == "assistant"
    ]
    scored = sampler.logprobs([Example(tuple(turn["prompt_ids"]), tuple(turn["ids"])) for turn in turns])
    for turn, logprobs in zip(turns, scored, strict=True):
        assert turn["logprobs"][turn["forced"] :] == pytest.approx(logprobs[turn["forced"] :], abs=1e-4)
    local = ["assistant.max_new_tokens=48", f"assistant.model={run / 'checkpoints' / 'iteration-2'}"]
    assert command(evaluate, *MEASURED, *local, f"run_dir={tmp_path / 'local'}")[0] == 0
    here, there = (read_json(folder / "summary.json") for folder in (tmp_path / "local", run))
    assert there["eval"] == json.loads(json.dumps(here["eval"])), "the server plays what the checkpoint plays"
    assert there["budget"]["games"] > 0 and there["servers"]["assistant"]["replies"] > 50


REFUSED = [
    (rest, ["assistant.adapters=none"], "assistant.adapters must be vllm or sglang, so that the server plays"),
    (rest, ["update.lora_rank=0"], "update.lora_rank must be at least 1 with assistant.kind=api"),
    (rest, ["rest.start=previous", "rest.iterations=2"], "rest.start must be base with assistant.kind=api"),
    (grpo, ["size=full"], "assistant.kind=api: grpo plays with weights that a server cannot be given"),
    (rest, ["assistant.weights=/nowhere"], "assistant.weights: '/nowhere' is neither a folder that exists"),
]


@pytest.mark.parametrize(("module", "words", "sentence"), REFUSED)
def test_what_a_server_cannot_keep_up_with_is_refused(command, tiny_folder, tmp_path, module, words, sentence):
    small = SMALL_REST if module is rest else SMALL
    code, error = command(module, *small, *api(tiny_folder, None), *words, f"run_dir={tmp_path / 'run'}")
    assert code == 1 and error.startswith(f"error: {sentence}") and not (tmp_path / "run").exists()


def without_ids(choice):
    return {name: value for name, value in choice.items() if name not in ("token_ids", "logprobs")}


SERVERS = [
    (without_ids, True, "assistant.endpoint=ids: the server at "),
    (lambda choice: choice | {"logprobs": None}, True, "assistant.endpoint=ids: the server at "),
    (lambda choice: choice | {"prompt_token_ids": [5]}, True, "assistant.endpoint=ids: the server at "),
    (None, False, "assistant.adapters=vllm: the server at "),
]


@pytest.mark.parametrize(("change", "loads", "sentence"), SERVERS)
def test_a_server_that_cannot_be_learned_from_is_said_before_any_game(
    command, tiny_folder, tmp_path, change, loads, sentence
):
    served = Served(tiny_folder)

    def answer(body):
        status, reply = served.answer(body)
        return status, reply | {"choices": [change(choice) if change else choice for choice in reply["choices"]]}

    with Stub(answer=answer, adapters=served.adapters if loads else None) as stub:
        code, error = command(rest, *SMALL_REST, *api(tiny_folder, stub), f"run_dir={tmp_path / 'run'}")
    assert code == 1 and error.startswith(f"error: {sentence}") and not (tmp_path / "run").exists()
    assert not any("lora" not in r["path"] and r["body"]["max_tokens"] > 1 for r in stub.requests)


def as_llama_cpp(choice):
    scored = zip(choice["token_ids"], choice["logprobs"]["token_logprobs"], strict=True)
    content = [{"id": token, "token": "", "logprob": logprob} for token, logprob in scored]
    return without_ids(choice) | {"logprobs": {"content": content}, "prompt_token_ids": None}


def test_ids_are_read_as_llama_cpp_writes_them(command, tiny_folder, tmp_path):
    served = Served(tiny_folder)

    def answer(body):
        status, reply = served.answer(body)
        return status, reply | {"choices": [as_llama_cpp(choice) for choice in reply["choices"]]}

    words = [*MEASURED, "eval.episodes=2"]
    with Stub(answer=answer) as stub:
        there = [*api(tiny_folder, stub, "none"), f"run_dir={tmp_path / 'there'}"]
        assert command(prompted, *words, *there) == (0, "")
    here = ["assistant.max_new_tokens=48", f"assistant.model={tiny_folder}", f"run_dir={tmp_path / 'here'}"]
    assert command(prompted, *words, *here)[0] == 0
    games = [read_json(tmp_path / name / "summary.json")["eval"] for name in ("here", "there")]
    assert games[0] == games[1]


@pytest.mark.slow
def test_a_server_that_was_started_anew_is_given_its_adapter_again(command, tiny_folder, tmp_path):
    served = Served(tiny_folder)
    answer = served.answer

    def forgetful(body):
        if body["model"] != "m" and len(served.calls) == 2:
            served.models = {"m": served.base}
            served.calls.append("lost")
        return answer(body)

    with Stub(answer=forgetful, adapters=served.adapters) as stub:
        assert command(rest, *SMALL_REST, *api(tiny_folder, stub), f"run_dir={tmp_path}")[0] == 0
    _, first, lost, again, *_ = served.calls
    assert lost == "lost" and again == first
