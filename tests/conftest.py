"""A language model small enough for unit tests, made once a session."""

import numpy as np
import pytest
import torch

from agents.hf import load
from agents.pocket import build_model, build_tokenizer
from clarify_env.costs import CostPlane
from clarify_env.tasks.base import make_task
from trainers.pretrain import _Encoder
from trainers.store import save_model
from trainers.update import UpdateConfig, update

ALMANAC = {"train_names": 4, "validation_names": 2, "test_names": 2}


@pytest.fixture(scope="session")
def almanac():
    return make_task("almanac", **ALMANAC)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory, almanac):
    """A Llama of 20,000 weights that has seen enough games to use the tags and to end its messages, in its folder."""
    rng, cells = np.random.default_rng(0), CostPlane().train()
    streams = [
        almanac.demonstrations(split, rng, cells, {"assistant": 0.4, "user": 0.4, "card": 0.2})
        for split in almanac.sizes
    ]
    shown = [next(stream) for _ in range(400) for stream in streams]
    tokenizer = build_tokenizer((text for d in shown for _, text in d.messages), 420)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(tokenizer, width=32, layers=2, heads=2, kv_heads=1, feed_forward=48)
        rows = list(map(_Encoder(tokenizer), shown))
        config = UpdateConfig(learning_rate=2e-2, epochs=1, batch=24)
        model = update(model, rows, config, seed=0, pad=tokenizer.pad_token_id)
    save_model(model, tokenizer, folder)
    return folder


@pytest.fixture
def tiny(tiny_folder):
    """The tiny model, loaded anew: (model, tokenizer)."""
    return load(tiny_folder, device="cpu")


@pytest.fixture(autouse=True)
def _one_thread():
    """Sizes here are far below what a second thread pays for."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
