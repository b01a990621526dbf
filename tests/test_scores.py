"""Scores of finished games by models."""

import json

import numpy as np
import pytest
from conftest import ALMANAC, SMALL
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from toys import ASHFORD, Toy

from agents.hf import HFAgent
from agents.selfplay import trajectory
from clarify_env.costs import Costs
from clarify_env.evaluation.played import play_all
from clarify_env.games import find_game
from clarify_env.games.base import Reply
from clarify_env.games.clarification.strategies import ScriptedAssistant
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.games.setup import Setup
from trainers import evaluate, prompted, rest
from trainers.evaluation.jobs import Job, play_jobs
from trainers.evaluation.scores import Similarity, gold_logprobs
from trainers.runs.experiment import Experiment
from trainers.runs.options import EvalOptions, SelfPlayOptions
from trainers.stargate import FixedAnswerer

SETUP, LEARNS = Setup(find_game("clarification"), Toy()), ("assistant",)
AGENTS = {"assistant": "hf", "user": "scripted"}
# Each word has an axis of its own, so that the likeness of two texts is that of their bags of words.
WORDS = ["[UNK]", "Ada", "Brandt", "Jon", "Vale", "Lund"]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    weights = np.eye(len(WORDS), dtype=np.float32)
    model = sentence_transformers.SentenceTransformer(modules=[StaticEmbedding(tokenizer, weights)], device="cpu")
    path = tmp_path_factory.mktemp("embedding") / "model"
    model.save(str(path))
    return str(path)


def played(*messages, intent=0):
    """A finished game of these messages, the assistant's first."""
    game = SETUP.deal(ASHFORD, intent, Costs(0.2, 0.02))
    for message in messages:
        game.apply(Reply(message))
    return trajectory(0, 0, game, AGENTS)


def test_closing_answers_are_likened_to_the_nearest_gold_answer(folder):
    similarity = Similarity(folder)
    games = [
        played("#ANSWER Ada Brandt", "Ada Brandt"),
        played("#ANSWER Ada Vale", "Ada Vale"),
        played("#ANSWER Jon Vale", "Jon Vale"),
        played("#ANSWER Jon Vale", "Jon Vale", intent=1),
        played("#CLARIFY Which kind?", "The film one.", "#ANSWER Brandt", "Brandt"),
        played("#MULTI_ANS film: Ada; opera: Jon Vale", "Ada"),
        played("#MULTI_ANS film: Ada; opera: Jon Vale", "None of these."),
        played("#ANSWER Ada", "Ada Brandt"),
        played("Ada Brandt"),
    ]
    # Golds of the first reading: "Ada Brandt" and "Brandt".
    half = 1 / np.sqrt(2)
    expected = [1, 0.5, 0, 1, 1, half, 0, 0, 0]
    assert [game.result.flags["invalid"] for game in games] == [False] * 8 + [True]
    assert [game.result.flags["ungrounded"] for game in games] == [False] * 7 + [True, False]
    np.testing.assert_allclose(similarity(SETUP, games), expected, atol=1e-6)
    np.testing.assert_allclose(similarity(SETUP, games[::-1]), expected[::-1], atol=1e-6)


def test_a_score_counts_by_the_readings_weights():
    """The score is the intent's number, so that its mean is known: 0.5 of 0, 0.3 of 1 and 0.2 of 2."""
    agents = {"assistant": ScriptedAssistant(SETUP.task, "guess", 2), "user": ScriptedUser(SETUP.task)}
    scores = {"intent": lambda setup, games: np.array([game.hidden for game in games], dtype=float)}
    prices = [Costs(0.2, 0.02), Costs(0.3, 0.03)]
    results = play_all(SETUP, [ASHFORD], prices, agents, LEARNS, seed=0, chunk=1, scores=scores)
    np.testing.assert_allclose(results.values["intent"], [[0.7, 0.7]])


def test_the_answerer_is_the_one_whose_log_probabilities_count(almanac, tiny):
    """In STaR-GATE's control, as `trainers.evaluation.jobs` plays it: a scripted opener has none."""
    base = HFAgent(*tiny, style="pocket", max_new_tokens=24)
    both = FixedAnswerer(ScriptedAssistant(almanac, "guess", 2), base)
    setup = SETUP._replace(task=almanac)
    experiment = Experiment(setup, evaluation=EvalOptions(gold_logprob=True), selfplay=SelfPlayOptions(chunk=8))
    episode = almanac.episode("test", 0)
    job = Job("between", "temperature", 1.0, (Costs(0.2, 0.02),), 0, 9)
    agents = {"assistant": both, "user": ScriptedUser(almanac)}
    (results,) = play_jobs(experiment, [episode], [job], lambda temperature: agents, lambda pairs: None)
    weights = setup.weights(episode)
    games = [guessed(setup, episode, intent, job.prices[0]) for intent in range(len(weights))]
    value = gold_logprobs(base.renderer, base.sampler, LEARNS, setup, games)
    assert results.values["gold_logprob"].item() == pytest.approx(weights @ value, abs=1e-3)


def guessed(setup, episode, intent, costs):
    """A guess that ends the game at once."""
    game = setup.deal(episode, intent, costs)
    for message in ("#ANSWER no", "no"):
        game.apply(Reply(message))
    return trajectory(0, 0, game, AGENTS)


def test_the_log_probability_needs_a_right_last_message(tiny, monkeypatch):
    agent = HFAgent(*tiny, style="pocket")
    monkeypatch.setattr(type(SETUP.game), "gold_reply", lambda *_: None)
    with pytest.raises(ValueError, match=r"^game clarification has no right last message to score$"):
        gold_logprobs(agent.renderer, agent.sampler, LEARNS, SETUP, [played("#ANSWER Ada", "Ada")])


@pytest.mark.slow
def test_it_stands_in_summary_table_and_report(folder, command, capsys, tmp_path):
    run = tmp_path / "run"
    options = ["assistant=scripted", "assistant.strategy=guess", "eval.sets=[between]", "eval.modes=[greedy]"]
    assert command(evaluate, *SMALL, *options, f"eval.similarity={folder}", f"run_dir={run}") == (0, "")
    entry = json.loads((run / "summary.json").read_text())["eval"]["between"]["greedy"]
    # The world's words are unknown to this model, hence all alike: only games without an answer score 0.
    assert entry["similarity"] == pytest.approx(1 - entry["share"]["invalid"], abs=1e-6)
    assert '<th scope="col">similarity</th>' in (run / "report.html").read_text()
    plain = tmp_path / "plain"
    assert command(evaluate, *SMALL, *options, f"run_dir={plain}") == (0, "")
    assert "similarity" not in json.loads((plain / "summary.json").read_text())["eval"]["between"]["greedy"]
    assert '<th scope="col">similarity</th>' not in (plain / "report.html").read_text()


def test_a_model_that_is_not_there_is_said_before_any_game(command, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    small = [*(f"task.{key}={value}" for key, value in ALMANAC.items()), "eval.similarity=/nowhere/model"]
    code, stderr = command(rest, *small, f"run_dir={tmp_path / 'run'}")
    assert code == 1 and stderr.startswith(
        "error: eval.similarity: '/nowhere/model' is neither a folder that exists nor a hub id"
    )
    assert stderr.count("\n") == 1 and not (tmp_path / "run/trajectories").exists()


def test_the_package_is_asked_for(monkeypatch):
    monkeypatch.setattr("trainers.evaluation.scores.find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r"eval\.similarity needs the package sentence-transformers; install the extra"
    ):
        Similarity("model")


def test_the_log_probability_of_the_gold_answer_is_the_assistants(command, tmp_path):
    run = tmp_path / "run"
    options = ["eval.sets=[between]", "eval.modes=[greedy]", "eval.gold_logprob=true"]
    assert command(prompted, *SMALL, *options, f"run_dir={run}") == (0, "")
    logprob = json.loads((run / "summary.json").read_text())["eval"]["between"]["greedy"]["gold_logprob"]
    # An untrained model's guess at each of the tokens; about that of a uniform one.
    assert -200 < logprob < -10
    code, stderr = command(evaluate, *SMALL, "assistant=scripted", *options, f"run_dir={tmp_path / 'other'}")
    assert (
        code == 1 and stderr == "error: eval.gold_logprob is a language model's, and assistant.kind=scripted is none\n"
    )
