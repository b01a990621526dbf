"""Jobs of an evaluation: shared out to processes, with the same games however many play."""

import numpy as np
import pytest
import torch
from toys import Toy

from agents import hf
from agents.hf import HFAgent
from clarify_env.costs import Costs
from clarify_env.games import find_game
from clarify_env.games.clarification.strategies import ScriptedAssistant
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.games.setup import Setup
from trainers.evaluation import jobs
from trainers.evaluation.jobs import Job, play_jobs
from trainers.runs.experiment import Experiment
from trainers.runs.options import SelfPlayOptions

PRICES = tuple(Costs(alpha, 0.03) for alpha in (0.2, 0.3, 0.5))
JOBS = [
    Job("between", "temperature", 1.0, PRICES, 20, 2),
    Job("between", "greedy", 0.0, PRICES[:2], 21, 0),
    Job("grid", "temperature", 1.0, PRICES[1:], 22, 0),
]


@pytest.fixture
def experiment(almanac):
    return Experiment(Setup(find_game("clarification"), almanac), selfplay=SelfPlayOptions(chunk=4))


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


def test_jobs_are_shared_out_to_equal_work():
    def of_sizes(*sizes):
        return [Job("", "", 1.0, PRICES[:1] * size, 0, 0) for size in sizes]

    assert jobs._shares(of_sizes(2, 3, 5), 2) == [[2], [1, 0]]
    assert jobs._shares(of_sizes(20, 20, 20, 64), 2) == [[3], [0, 1, 2]]
    assert jobs._shares(of_sizes(1, 1), 4) == [[0], [1]], "never more shares than jobs"
    assert jobs._shares(of_sizes(1, 1), 1) == [[0, 1]]


def test_only_small_models_on_a_cpu_are_played_side_by_side(players, almanac, two_threads, monkeypatch):
    scripted = {"assistant": ScriptedAssistant(almanac, "guess", 2), "user": ScriptedUser(almanac)}
    assert jobs._at_once([players(1.0)]) == 2
    assert jobs._at_once([scripted]) == 1
    monkeypatch.setattr(hf, "SMALL", 100)
    assert jobs._at_once([players(1.0)]) == 1


def test_what_cannot_travel_is_named(players, two_threads):
    class Local(Toy):
        pass

    with pytest.raises(ValueError, match=r"task toy cannot be handed to another process .*OMP_NUM_THREADS=1"):
        play_jobs(
            Experiment(Setup(find_game("clarification"), Local())), [Local().episode("test", 0)], JOBS, players, print
        )


def without_logprobs(transcript):
    game, at = transcript
    turns = tuple(turn._replace(reply=turn.reply._replace(logprobs=None)) for turn in game.turns)
    return game._replace(turns=turns), at


@pytest.mark.slow
def test_jobs_side_by_side_are_those_of_one_process(experiment, players, almanac, two_threads):
    episodes = [almanac.episode("test", index) for index in range(3)]
    counts: list[list[int]] = [[], []]
    beside = play_jobs(experiment, episodes, JOBS, players, counts[0].append)
    torch.set_num_threads(1)
    alone = play_jobs(experiment, episodes, JOBS, players, counts[1].append)
    assert sum(counts[0]) == sum(counts[1]) == 3 * 7, "all pairs are reported, each once"
    assert len(beside) == len(JOBS)
    for here, there in zip(beside, alone, strict=True):
        for name in here.values:
            np.testing.assert_array_equal(here.values[name], there.values[name])
        np.testing.assert_array_equal(here.first, there.first)
        assert list(map(without_logprobs, here.transcripts)) == list(map(without_logprobs, there.transcripts))
        for (game, _), (other, _) in zip(here.transcripts, there.transcripts, strict=True):
            for turn, same in zip(game.moves(["assistant"]), other.moves(["assistant"]), strict=True):
                # Where memory lies decides the last bits of a sum on some processors.
                np.testing.assert_allclose(turn.reply.logprobs, same.reply.logprobs, atol=1e-5)
        assert here.games == there.games
    assert [len(played.transcripts) for played in beside] == [2, 0, 0]
