"""The helpers' game with a local model of random weights: it plays all roles, and the jobs learn, resume and report."""

import json
from itertools import islice

import numpy as np
import pytest
import torch
from helping import EPISODES, GAME, TASK, TOOLS, players

from agents.hf import HFAgent, load
from agents.pocket import build_model, build_tokenizer
from clarify_env.evaluation.played import play_all
from clarify_env.evaluation.reference import reference
from clarify_env.evaluation.summary import summarize
from clarify_env.games.setup import Setup
from clarify_env.selfplay import Start, play
from trainers import imitate, rest, sft
from trainers.reporting.report import write_report
from trainers.runs.store import write_json


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    demonstrations = list(islice(GAME.pretraining(TASK, ((0.1,),), np.random.default_rng(0)), 400))
    torch.manual_seed(0)
    openings = list(GAME.openings["helper_0"].values())
    tokenizer = build_tokenizer((text for d in demonstrations for _, text in d.messages), 400, (), openings)
    sizes = {"width": 16, "layers": ["conv", "full_attention"], "heads": 2, "kv_heads": 1, "feed_forward": 16}
    model, folder = build_model(tokenizer, **sizes), tmp_path_factory.mktemp("model")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_one_model_plays_all_roles(untrained):
    agent = HFAgent(*load(untrained), style="pocket", chat=GAME.chat, max_new_tokens=8)
    for options in ({}, {"identities": True, "wording": "free"}, {"alone": "helper_0"}):
        starts = [Start(TASK.episode("validation", index), 0, (0.1,), index) for index in range(4)]
        games = list(play(starts, dict.fromkeys(GAME.roles, agent), task=TASK, game=GAME, options=options))
        assert all(game.result is not None for game in games)
        speakers = {turn.role for game in games for turn in game.turns}
        assert speakers >= ({"helper_0"} if options.get("alone") else set(GAME.roles))


def test_a_report_draws_the_hedges_and_says_who_searches(tmp_path):
    episodes, prices = EPISODES[:20], ((0.1,),)
    agents = players("careful") | dict(TOOLS)
    played = play_all(Setup(GAME, TASK), episodes, prices, agents, GAME.roles, seed=0, chunk=100)
    entry = summarize(GAME, played, reference(GAME.solve(TASK, episodes), prices), episodes, 0)
    summary = {"method": "prompted", "game": "helpers", "task": "archives", "split": "test", "seed": 0, "players": {}}
    summary |= {"budget": {}, "eval": {"between": {"temperature": entry}}}
    write_json(tmp_path / "summary.json", summary)
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "between prices, both search where memory is wrong." in page and 'id="calibration"' in page
    assert (tmp_path / "figures" / "reliability.png").exists()
    write_json(tmp_path / "summary.json", summary | {"eval": {"between": {"greedy": entry}}})
    assert 'id="calibration"' not in write_report(tmp_path).read_text(encoding="utf-8"), "the hedges are sampled"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "few"),
    [
        (rest, ["budget.games=64", "rest.hindsight=1", "rest.least_value=null"]),
        (imitate, ["budget.games=20"]),
        (sft, ["budget.games=20"]),
    ],
    ids=["rest", "imitate", "sft"],
)
def test_the_jobs_learn_resume_and_report(command, monkeypatch, untrained, tmp_path, method, few):
    small = ["size=quick", "eval.episodes=3", "eval.validation=2", "eval.grid=2", f"assistant.model={untrained}"]
    for _ in range(2):  # the second time it finds its work done
        code, error = command(method, "game=helpers", *small, *few, f"run_dir={tmp_path / 'run'}")
        assert code == 0, error
    if method is rest:
        monkeypatch.undo()  # which left the figures out
        write_report(tmp_path / "run")
        assert len(list((tmp_path / "run" / "figures").glob("*.png"))) >= 2
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["game"] == "helpers" and "steering" in summary and (tmp_path / "run" / "report.html").exists()
    row = next(iter(next(iter(summary["eval"].values())).values()))
    assert {"calls", "call_auroc", "hedge_ece", "optimal_match"} <= set(row)
