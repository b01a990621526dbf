"""The probe: what a model can do of a game, and what to do next."""

import json

import pytest
from conftest import SMALL

from agents.hf import HFAgent
from clarify_env.games.base import Reply
from trainers import probe
from trainers.evaluation.probing import advice

ROW = {
    "role": "assistant",
    "opening": "",
    "games": 8,
    "valid": 1.0,
    "ended": 1.0,
    "score": 0.8,
    "score_clear": 1.0,
    "tokens": 5.0,
    "actions": {"answer": 1.0},
}
USER = ROW | {"role": "user", "actions": {}}


def rows(free=(), opened=(), user=()):
    openings = [ROW | {"opening": tag} | dict(opened) for tag in ("#CLARIFY", "#ANSWER")]
    return [ROW | dict(free), *openings, USER | dict(user)]


ADVICE = [
    (rows(), ["Ready"]),
    (rows(free={"valid": 0.1}), ["Ready", "valid after an opening (100%) but seldom by themselves (10%)"]),
    (rows(free={"valid": 0.0}, opened={"valid": 0.2}), ["Not ready", "0% of its games are valid, and 20% after"]),
    (rows(free={"ended": 0.2}, opened={"ended": 0.2}), ["Not ready", "80% of its messages reach"]),
    (rows(opened={"score_clear": 0.1}), ["Ready", "It scores 0.10 on episodes with nothing hidden"]),
    (rows(opened={"score_clear": None}), ["Ready"]),
    (rows(user={"score": 0.1}), ["Ready", "As user it scores 0.10"]),
    (rows(user={"ended": 0.5}), ["Ready", "do not let it play that role"]),
]


RATES = {"leak": 0.1, "ungrounded": 0.01, "wrong_reading": None, "any": 0.1}
CONDUCT = {"user": {"player": "self", "kinds": {name: {"rate": rate} for name, rate in RATES.items()}}}


@pytest.mark.parametrize(("given", "beginnings"), ADVICE)
def test_advice(given, beginnings):
    sentences = advice(given, ["assistant"], 48)
    assert len(sentences) == len(beginnings)
    assert all(part in sentence for part, sentence in zip(beginnings, sentences, strict=True))


@pytest.mark.parametrize(("given", "_"), ADVICE)
def test_a_model_of_a_server_is_not_told_to_learn(given, _):
    verdict, *sentences = advice(given, ["assistant"], 48, served=True, conduct=CONDUCT)
    assert verdict in ("Ready to play.", "Not ready to play.") and not any("warm" in sentence for sentence in sentences)


def test_faults_of_the_user_are_named_with_what_to_do():
    *_, sentence = advice(rows(), ["assistant"], 48, conduct=CONDUCT)
    assert sentence.startswith("As user, self is at fault (leak 10% of its messages): ") and "user=self" in sentence
    few = {"user": {"player": "self", "kinds": CONDUCT["user"]["kinds"] | {"leak": {"rate": 0.02}}}}
    assert len(advice(rows(), ["assistant"], 48, conduct=few)) == 1, "as few as are allowed"


def test_a_model_that_is_not_there_leaves_no_run_directory(command, tmp_path):
    folder = tmp_path / "run"
    code, error = command(probe, *SMALL, "assistant.model=/nowhere/model", f"run_dir={folder}")
    assert code == 1 and error.startswith("error: assistant.model: '/nowhere/model' is neither a folder that exists")
    assert not folder.exists()


def test_a_split_that_is_not_there_is_named_as_the_probes(command, tmp_path):
    code, error = command(probe, *SMALL, "probe.split=holdout", f"run_dir={tmp_path / 'run'}")
    assert code == 1 and error.startswith("error: probe.split: task almanac has no split 'holdout'")
    assert not (tmp_path / "run").exists()


def test_every_role_and_opening_is_played(command, tmp_path):
    folder = tmp_path / "run"
    assert command(probe, *SMALL, "probe.episodes=2", "probe.examples=1", f"run_dir={folder}") == (0, "")
    result = json.loads((folder / "probe.json").read_text())
    played = [(row["role"], row["opening"], row["games"]) for row in result["rows"]]
    openings = ["", "#CLARIFY", "#ANSWER", "#MULTI_ANS"]
    assert played == [*(("assistant", opening, 2) for opening in openings), ("user", "", 2)]
    assert all(game["turns"][0][1].startswith(game["opening"]) for game in result["games"])
    faults = result["faults"]["user"]
    assert faults["player"] == "self" and faults["messages"] >= 10, "2 episodes with each of 5 scripted assistants"
    assert all(len(games) == 1 for games in faults["examples"].values())
    assert result["partners"]["user"]["kind"] == "scripted"
    assert result["tokens_per_second"] > 0 and len(result["games"]) == 5
    assert (folder / "run.log").read_text().count("its chat template keeps earlier turns in later prompts") == 1


@pytest.mark.parametrize(
    ("text", "end", "verdict"),
    [
        ("#ANSWER Ada Brandt", True, "Ready to learn"),
        ("I am a helpful assistant.", True, "Not ready"),
        ("#ANSWER Ada Brandt and so on and on", False, "Not ready"),
    ],
)
def test_the_verdict_follows_what_the_model_writes(command, tmp_path, monkeypatch, text, end, verdict):
    def act(self, views, seeds, openings=None):
        ids = (5, self.renderer.end_id) if end else (5, 6)
        return [Reply(text, (1,), ids, (0.0, 0.0)) for _ in views]

    monkeypatch.setattr(HFAgent, "act", act)
    folder = tmp_path / "run"
    assert command(probe, *SMALL, "probe.episodes=2", f"run_dir={folder}") == (0, "")
    assert json.loads((folder / "probe.json").read_text())["advice"][0].startswith(verdict)
