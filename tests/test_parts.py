import numpy as np
import pytest
import torch
from conftest import ALMANAC
from hydra import compose, initialize_config_dir
from toys import Toy

from agents.hf import HFAgent
from clarify_env.costs import Costs
from clarify_env.games.clarification.strategies import ScriptedAssistant
from clarify_env.games.clarification.users import ScriptedUser
from trainers.evaluation import jobs as playing
from trainers.evaluation.jobs import Part, play_parts
from trainers.runs.run import CONF

CELLS = tuple(Costs(alpha, 0.03) for alpha in (0.2, 0.3, 0.5))
PARTS = [
    Part("between", "temperature", 1.0, CELLS, 20, 2),
    Part("between", "greedy", 0.0, CELLS[:2], 21, 0),
    Part("grid", "temperature", 1.0, CELLS[1:], 22, 0),
]


@pytest.fixture
def config():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("prompted", overrides=["selfplay.chunk=4", *(f"task.{k}={v}" for k, v in ALMANAC.items())])


@pytest.fixture
def players(tiny, almanac):
    model, tokenizer = tiny
    user = ScriptedUser(almanac)
    return lambda temperature: {
        "assistant": HFAgent(model, tokenizer, style="pocket", temperature=temperature, max_new_tokens=24),
        "user": user,
    }


@pytest.fixture
def two_threads():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def test_parts_are_shared_out_to_equal_work():
    def parts(*sizes):
        return [Part("", "", 1.0, CELLS[:1] * size, 0, 0) for size in sizes]

    assert playing._shares(parts(2, 3, 5), 2) == [[2], [1, 0]]
    assert playing._shares(parts(20, 20, 20, 64), 2) == [[3], [0, 1, 2]]
    assert playing._shares(parts(1, 1), 4) == [[0], [1]], "never more shares than parts"
    assert playing._shares(parts(1, 1), 1) == [[0, 1]]


def test_only_small_models_on_a_cpu_are_played_side_by_side(players, almanac, two_threads, monkeypatch):
    scripted = {"assistant": ScriptedAssistant(almanac, "guess", 2), "user": ScriptedUser(almanac)}
    assert playing._at_once([players(1.0)]) == 2
    assert playing._at_once([scripted]) == 1
    monkeypatch.setattr(playing, "SMALL", 100)
    assert playing._at_once([players(1.0)]) == 1


def test_what_cannot_travel_is_named(config, players, two_threads):
    class Local(Toy):
        pass

    with pytest.raises(ValueError, match=r"task toy cannot be handed to another process .*OMP_NUM_THREADS=1"):
        play_parts(config, Local(), [Local().episode("test", 0)], PARTS, players, print)


@pytest.mark.slow
def test_parts_side_by_side_are_those_of_one_process(config, players, almanac, two_threads):
    episodes = [almanac.episode("test", index) for index in range(3)]
    counts: list[list[int]] = [[], []]
    beside = play_parts(config, almanac, episodes, PARTS, players, counts[0].append)
    torch.set_num_threads(1)
    alone = play_parts(config, almanac, episodes, PARTS, players, counts[1].append)
    assert sum(counts[0]) == sum(counts[1]) == 3 * 7, "all pairs are reported, each once"
    assert len(beside) == len(PARTS)
    for here, there in zip(beside, alone, strict=True):
        for name in here.values:
            np.testing.assert_array_equal(here.values[name], there.values[name])
        np.testing.assert_array_equal(here.first, there.first)
        assert here.transcripts == there.transcripts
        assert here.games == there.games
    assert [len(played.transcripts) for played in beside] == [2, 0, 0]
