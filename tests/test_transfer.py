"""What can be handed to another process, and that it is asked before anything is played or learned."""

import pickle
import sqlite3
import sys
import threading
import types
from types import SimpleNamespace

import pytest
import torch
from toys import Toy

from agents.hf import HFAgent
from clarify_env.games import find_game
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.games.setup import Setup
from clarify_env.tasks import make_task
from trainers.evaluation import measure
from trainers.learning.options import UpdateOptions
from trainers.learning.trial import check_update
from trainers.runs.experiment import Experiment, Policy
from trainers.runs.processes import check_transfer

LATER = SimpleNamespace(recorded=lambda *_: pytest.fail("something was played first"), bar=None)


@pytest.fixture
def two_threads():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


class Holding(Toy):
    """A toy task that holds something."""

    def __init__(self, thing):
        super().__init__()
        self.thing = thing


def of_this_process_alone():
    """An object of a class in a module that no file holds."""
    module = types.ModuleType("made_up_here")
    module.Thing = type("Thing", (), {"__module__": "made_up_here"})
    sys.modules["made_up_here"] = module
    return module.Thing()


THINGS = [
    (lambda: lambda answer: answer, "a lambda"),
    (threading.Lock, "a lock"),
    (lambda: sqlite3.connect(":memory:"), "an open database"),
    (lambda: (number for number in range(3)), "a generator"),
    (of_this_process_alone, "a class that only this process has"),
]


@pytest.mark.parametrize(("make", "why"), THINGS, ids=[why for _, why in THINGS])
def test_it_is_said_before_anything_is_played(tiny, two_threads, make, why):
    task = Holding(make())
    experiment = Experiment(Setup(find_game("clarification"), task))
    agents = {"assistant": HFAgent(*tiny, style="pocket"), "user": ScriptedUser(Toy())}
    message = (
        r"^task toy cannot be handed to another process \(.+\); with OMP_NUM_THREADS=1 one process plays and learns"
    )
    with pytest.raises(ValueError, match=message):
        measure.validate(LATER, experiment, agents, iteration=0)
    with pytest.raises(ValueError, match=message):
        measure.evaluate(LATER, experiment, lambda temperature: agents)
    torch.set_num_threads(1)
    with pytest.raises(pytest.fail.Exception, match="something was played first"):
        measure.validate(LATER, experiment, agents, iteration=0)


@pytest.mark.parametrize(("make", "why"), THINGS[:3], ids=[why for _, why in THINGS[:3]])
def test_a_model_that_cannot_be_handed_over_is_said_before_any_game(tiny, two_threads, make, why):
    tiny[0].thing = make()
    with pytest.raises(ValueError, match=r"^assistant\.model cannot be handed to another process"):
        check_update(Policy(*tiny), UpdateOptions(runs=2))


def test_tensors_are_not_copied(tiny, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "__reduce_ex__", lambda *_: pytest.fail("the values of a tensor were pickled"))
    check_transfer({"a model": tiny[0]})


@pytest.mark.parametrize("name", ["almanac", "ledger", "preferences", "sql"])
def test_tasks_can_be_handed_over(name):
    check_transfer({name: make_task(name)})


def test_databases_are_made_again_elsewhere():
    task = make_task("sql", train=3, validation=1, test=1)
    episode = task.episode("train", 1)
    there = pickle.loads(pickle.dumps(task))
    assert there.episode("train", 1) == episode
    assert there.databases(episode) != task.databases(episode), "in a folder of its own"
    for intent, reading in enumerate(episode.interpretations):
        for answer in (*reading.answers, "SELECT 1", "nonsense"):
            assert there.score(answer, intent, episode) == task.score(answer, intent, episode)
