"""Runs against real servers on loopback, through injected faults: transformers serve, and llama.cpp's."""

import contextlib
import importlib.util
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from conftest import SMALL
from peers import environment_of
from stub_server import Stub

from agents.gguf import dequantised, smollm2_file
from agents.pocket import SHIPPED
from trainers import prompted
from trainers.runs.store import read_json

pytestmark = [pytest.mark.slow, pytest.mark.peers]

PORT = 8017
FAULTS = ("refuse", "429", "500", "half", "garbage", "stall")
SERVING = ("fastapi", "uvicorn", "python-multipart", "rich")


def is_up(path):
    with contextlib.suppress(OSError):
        return urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}", timeout=5).status == 200
    return False


@contextlib.contextmanager
def serving(command, environment, log, path):
    """Runs a server until the end of the block."""
    with log.open("w") as file:
        process = subprocess.Popen(command, env=os.environ | environment, stdout=file, stderr=file)
    try:
        for _ in range(300):
            if is_up(path):
                break
            assert process.poll() is None, log.read_text()[-2000:]
            time.sleep(1)
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def transformers_serve(tmp_path):
    """Starts transformers' own server of the pocket model; what it needs beside is installed apart."""
    folder = tmp_path / "serving"
    install = [sys.executable, "-m", "pip", "install", "-q", "--target", str(folder), *SERVING]
    if importlib.util.find_spec("uvicorn") is None and subprocess.run(install, timeout=600).returncode:
        pytest.skip(f"{', '.join(SERVING)} cannot be installed, which transformers serve needs")
    executable = Path(sys.executable).with_name("transformers")
    command = [str(executable), "serve", str(SHIPPED["almanac"]), "--host", "127.0.0.1", "--port", str(PORT)]
    paths = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])

    def start():
        environment = {"PYTHONPATH": paths, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
        return serving([*command, "--device", "cpu"], environment, tmp_path / "serve.log", "/health")

    return start


WORDS = [*SMALL, "eval.sets=[between]", "eval.modes=[greedy]", "eval.episodes=4", "eval.grid=2"]
SERVED = [
    "assistant=api",
    f"assistant.model={SHIPPED['almanac']}",
    "assistant.style=pocket",
    "assistant.max_new_tokens=48",
    "assistant.timeout=120",
    "assistant.backoff=0.05",
    "assistant.retries=30",
]


def test_transformers_serve(command, tmp_path, transformers_serve):
    """64 games in flight: with faults as without, and as the same model plays here."""
    assert command(prompted, *WORDS, "assistant.model=pocket", f"run_dir={tmp_path / 'here'}")[0] == 0
    with transformers_serve():
        direct = f"assistant.base_url=http://127.0.0.1:{PORT}/v1"
        assert command(prompted, *WORDS, *SERVED, direct, f"run_dir={tmp_path / 'plain'}") == (0, "")
        with Stub(upstream=f"http://127.0.0.1:{PORT}/v1", faults=FAULTS, stall=60.0, share=0.3) as proxy:
            words = [*WORDS, *SERVED, f"assistant.base_url={proxy.url}", f"run_dir={tmp_path / 'faults'}"]
            assert command(prompted, *words) == (0, "")
            assert proxy.most >= 32 and {r["status"] for r in proxy.requests} > {200, "429", "500", "half"}
    here, plain, faults = (read_json(tmp_path / name / "summary.json") for name in ("here", "plain", "faults"))
    assert faults["eval"] == plain["eval"]
    assert plain["eval"]["between"]["greedy"]["reward"] == pytest.approx(here["eval"]["between"]["greedy"]["reward"])
    used = [summary["servers"]["assistant"] for summary in (plain, faults)]
    assert used[0]["replies"] == used[1]["replies"] and used[0]["prompt_tokens"] == used[1]["prompt_tokens"] > 0


# llama.cpp's own server, from a package that brings it compiled.
LLAMA_CPP = "xllamacpp==2026.10.11549"
START_LLAMA_CPP = f"""
import sys, threading, xllamacpp
options = xllamacpp.CommonParams()
options.model.path, options.port = sys.argv[1], {PORT}
# What is computed beside a request, or was before it, changes the rounding of its logits, and so greedy replies.
options.n_parallel, options.n_ctx, options.cache_prompt = 1, 2048, False
server = xllamacpp.Server(options)
threading.Event().wait()
"""


@pytest.mark.parametrize("endpoint", ["chat", "ids"])
def test_llama_cpp(command, tmp_path, endpoint):
    """64 games in flight, with faults as without; by token ids, which llama.cpp returns, as by messages."""
    file = smollm2_file("assistant.model")
    server = [str(environment_of("llama-cpp", LLAMA_CPP)), "-c", START_LLAMA_CPP, str(file)]
    served = ["assistant=api", "assistant.model=smollm2", "prompts=natural", "assistant.max_new_tokens=16"]
    if endpoint == "ids":
        served += ["assistant.endpoint=ids", f"assistant.weights={dequantised(file)}"]
    base = f"http://127.0.0.1:{PORT}/v1"
    patient = ["assistant.timeout=120", "assistant.backoff=0.05", "assistant.retries=30"]
    words = [*WORDS, *served, *patient, "eval.episodes=2"]
    with serving(server, {}, tmp_path / "serve.log", "/v1/models"):
        assert command(prompted, *words, f"assistant.base_url={base}", f"run_dir={tmp_path / 'plain'}")[0] == 0
        with Stub(upstream=base, faults=FAULTS, stall=60.0, share=0.3) as proxy:
            words = [*words, f"assistant.base_url={proxy.url}", f"run_dir={tmp_path / 'faults'}"]
            assert command(prompted, *words)[0] == 0
            assert proxy.most >= 16 and {r["status"] for r in proxy.requests} > {200, "429", "500", "half"}
    plain, faults = (read_json(tmp_path / name / "summary.json") for name in ("plain", "faults"))
    assert faults["eval"] == plain["eval"]
