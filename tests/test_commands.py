"""The commands from their command line to the files they leave, in this process with a tiny model."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import SMALL
from filelock import FileLock
from hydra import compose, initialize_config_dir
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from agents import hf
from agents.hf import HFAgent
from clarify_env.costs import SETS
from clarify_env.games.clarification.actions import TAGS
from clarify_env.games.clarification.description import GAME
from clarify_env.games.clarification.oracle import FIXED
from clarify_env.games.clarification.prompts import messages
from clarify_env.games.clarification.user_prompts import VERSION
from clarify_env.games.setup import Setup
from clarify_env.tasks.registry import make_task
from trainers import contrastive, evaluate, grpo, imitate, pretrain, prompted, rest, rwsft, stargate
from trainers.learning import improve as improving
from trainers.learning import update as updating
from trainers.reporting.columns import fixed
from trainers.runs import experiment as experiments
from trainers.runs.command import CONF, Command
from trainers.runs.identity import config_hash
from trainers.runs.store import ChunkLog, ChunkWriter

REST = [
    *SMALL,
    "budget.games=60",
    # A group of at most 40 games.
    "rollouts.free=1",
    "rollouts.forced=2",
    "rollouts.follow_ups=2",
    "rest.hindsight=4",
    "rest.iterations=1",
    "update.learning_rate=1e-3",
    "update.least_steps=0",
]
ENTRY = {
    "reward",
    "reward_ci",
    "oracle",
    "regret",
    "regret_action",
    "gap_closed",
    "accuracy",
    "accuracy_clear",
    "f1",
    "questions",
    "words",
    "share",
    "ungrounded",
    "leak",
    "fixed",
    "dominance",
    "optimal_match",
    "optimal_match_ci",
}


class Stop(BaseException):
    """What `kill` would do, but that the test goes on."""


@pytest.fixture
def unmeasured(monkeypatch):
    """Leaves out the evaluation at a run's end, which most of its time goes to."""
    monkeypatch.setattr(rest, "measure", lambda *args, **kwargs: None)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def check_summary(folder, method, user="scripted"):
    summary = json.loads((folder / "summary.json").read_text())
    named = {"method", "game", "task", "split", "seed", "players", "partners", "options"}
    assert set(summary) == named | {"eval", "steering", "budget"}
    if user == "scripted":
        version = f"almanac-{make_task('almanac').version}"
        assert summary["partners"] == {"user": {"kind": "scripted", "strategy": "scripted", "version": version}}
        assert summary["options"] == {"max_questions": 2, "leaks": "count", "reasoning": "none"}
    assert (summary["method"], summary["task"], summary["split"]) == (method, "almanac", "test")
    assert (summary["seed"], summary["game"]) == (0, "clarification")
    assert summary["players"] == {"assistant": "pocket", "user": user}
    assert tuple(summary["eval"]) == SETS
    for modes in summary["eval"].values():
        assert set(modes) == {"temperature", "greedy"}
        for entry in modes.values():
            assert set(entry) == ENTRY
            assert set(entry["share"]) == {"clarify", "answer", "multi_answer", "invalid"}
            assert set(entry["fixed"]) == set(FIXED) and len(entry["reward_ci"]) == 2
            assert entry["reward"] <= entry["oracle"] + 1e-9
    assert set(summary["steering"]) == {"ask_alpha", "words_beta"}
    assert all(set(entry) == {"policy", "oracle", "range_ratio"} for entry in summary["steering"].values())
    assert set(summary["budget"]) == {"games", "generated_tokens", "update_tokens", "gold_labels", "seconds"}
    return summary


def check_files(folder, *names):
    for name in (
        "config.json",
        "summary.json",
        "report.html",
        "evaluation.json",
        "transcripts.jsonl",
        "run.log",
        *names,
    ):
        assert (folder / name).stat().st_size, name
    events = list((folder / "tensorboard").glob("events.out.tfevents.*"))
    assert bool(events) == (folder / "metrics.jsonl").exists(), "metrics are sent on, if there are any"
    assert not list(folder.rglob("*.part")), "nothing half-written"
    assert not [p for p in folder.rglob("*") if p.suffix in (".pkl", ".pickle", ".pt", ".bin")], "no pickles"
    html = (folder / "report.html").read_text()
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", html), "nothing is fetched from elsewhere"


@pytest.mark.slow
def test_prompted_leaves_a_summary_and_a_report(command, drawn, tmp_path):
    folder = tmp_path / "run"
    assert command(prompted, *SMALL, f"run_dir={folder}") == (0, "")
    summary = check_summary(folder, "prompted")
    assert {key: value for key, value in summary["budget"].items() if key != "seconds"} == {
        "games": 0,
        "generated_tokens": 0,
        "update_tokens": 0,
        "gold_labels": 0,
    }
    check_files(folder, "figures/steering.png", "figures/regret.png")
    stored = json.loads((folder / "config.json").read_text())
    assert stored["command"] == "prompted" and stored["eval"]["episodes"] == 2 and "run_dir" not in stored
    shown = lines(folder / "transcripts.jsonl")
    assert {(t["set"], t["mode"]) for t in shown} == {(s, m) for s in SETS for m in ("temperature", "greedy")}


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    return tmp_path_factory.mktemp("rest") / "run"


@pytest.mark.slow
def test_rest_from_end_to_end_and_again(command, drawn, once, almanac, monkeypatch):
    assert command(rest, *REST, f"run_dir={once}")[0] == 0
    summary = check_summary(once, "rest")
    check_files(
        once,
        "metrics.jsonl",
        "figures/learning.png",
        "trajectories/iteration-1.jsonl",
        "checkpoints/iteration-1/model.safetensors",
    )
    games = [g for chunk in ChunkLog(once / "trajectories/iteration-1.jsonl").read(Setup(GAME, almanac)) for g in chunk]
    assert summary["budget"]["games"] == len(games) <= 60 and [g.id for g in games] == list(range(len(games)))
    assert {g.split for g in games} == {"train"}, "no episode of another split"
    assert summary["budget"]["gold_labels"] == sum(
        len(almanac.lookup(episode).interpretations) for episode in {g.episode_id for g in games}
    )
    assert summary["budget"]["generated_tokens"] > 0 < summary["budget"]["update_tokens"]
    tags = {tag for tag in TAGS for g in games if g.turns[0].reply.text.startswith(tag)}
    assert tags == {*TAGS}, "every action is tried"
    metrics = lines(once / "metrics.jsonl")
    assert {(m["phase"], m["iteration"]) for m in metrics} >= {("validation", 0), ("grow", 1), ("validation", 1)}
    saved = once / "checkpoints/iteration-1"
    assert AutoTokenizer.from_pretrained(saved).chat_template
    assert AutoModelForCausalLM.from_pretrained(saved).config.model_type == "llama"

    before = {p: p.read_bytes() for p in once.rglob("*.json*") if ".hydra" not in p.parts}

    def never(*args, **kwargs):
        raise AssertionError("nothing is played or learned a second time")

    for module, name in ((experiments, "play"), (updating, "update"), (HFAgent, "act")):
        monkeypatch.setattr(module, name, never)
    assert command(rest, *REST, f"run_dir={once}")[0] == 0
    assert {p: p.read_bytes() for p in before} == before, "the same command again changes nothing"


@pytest.mark.slow
def test_a_killed_run_continues_to_the_same_end(command, unmeasured, tmp_path, monkeypatch):
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    assert command(rest, *REST, "budget.games=400", f"run_dir={whole}")[0] == 0
    log = "trajectories/iteration-1.jsonl"
    assert ChunkLog(whole / log).chunks >= 3, "the budget must need several chunks"
    append = ChunkWriter.append

    def killed(self, games):
        append(self, games)
        raise Stop

    with monkeypatch.context() as patched:
        patched.setattr(ChunkWriter, "append", killed)
        with pytest.raises(Stop):
            command(rest, *REST, "budget.games=400", f"run_dir={torn}")
    with (torn / log).open("a") as file:
        file.write('{"id":77,"turns":[{"ro')
    with (torn / "metrics.jsonl").open("a") as file:
        file.write('{"phase":"gr')
    with monkeypatch.context() as patched:
        patched.setattr(improving, "save_model", lambda *_: (_ for _ in ()).throw(Stop))
        with pytest.raises(Stop):
            command(rest, *REST, "budget.games=400", f"run_dir={torn}")
    assert not (torn / "checkpoints/iteration-1").exists()
    assert command(rest, *REST, "budget.games=400", f"run_dir={torn}")[0] == 0
    for name in (log, "checkpoints/iteration-1/model.safetensors", "config.json"):
        assert (torn / name).read_bytes() == (whole / name).read_bytes(), name

    def last(folder):
        found = {(m["phase"], m["iteration"], m["step"]): m for m in lines(folder / "metrics.jsonl")}
        return {key: {k: v for k, v in m.items() if k != "seconds"} for key, m in found.items()}

    assert last(torn) == last(whole)


def test_another_config_is_refused(command, unmeasured, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    small = [*REST, "eval.validation=1", f"run_dir={folder}"]
    assert command(rest, *small)[0] == 0
    before = (folder / "config.json").read_bytes()
    code, said = command(rest, *small, "rest.hindsight=5", "seed=3")
    assert code == 1 and said.count("\n") == 1 and "Traceback" not in said
    assert said.startswith(f"error: run_dir: {folder} holds a run of another config (")
    for part in ('- "hindsight": 4', '+ "hindsight": 5', '- "seed": 0', '+ "seed": 3'):
        assert part in said
    assert (folder / "config.json").read_bytes() == before
    code, said = command(prompted, *SMALL, f"run_dir={folder}")
    sentence = f"run_dir: {folder} holds a run of trainers.rest, not of trainers.prompted; choose another run_dir"
    assert (code, said) == (1, f"error: {sentence}\n")


BAD = [
    (prompted, ["task.name=chess"], r"unknown task 'chess'; known: .*almanac", "a task there is not"),
    (
        prompted,
        ["+task.moon=full"],
        r"there is no option task\.moon; known: .*task\.metric",
        "an option that the task does not have",
    ),
    (prompted, ["task.metric=bleu"], r"metric.*bleu", "a metric there is not"),
    (prompted, ["costs.alpha=[0.5,0.2]"], r"costs\.alpha must be two increasing positive numbers", "falling"),
    (prompted, ["costs.beta=[-0.1,0.2]"], r"costs\.beta must be two increasing positive numbers", "negative"),
    (prompted, ["costs.alpha=[0.2,much]"], r"costs\.alpha must be two numbers, not", "no number"),
    (prompted, ["costs.alpha=0.3"], r"costs\.alpha must be two numbers, not 0\.3", "one number"),
    (prompted, ["costs.values=3"], r"costs\.values=3 leaves fewer than 12", "too few"),
    (prompted, ["+costs.gamma=3"], r"costs.*gamma", "an option that costs do not have"),
    (
        prompted,
        ["user.kind=oracle"],
        r"user\.kind must be one of scripted, hf, self, api, not 'oracle'",
        "a user there is not",
    ),
    (prompted, ["user=hf"], r"user\.model", "a user's model that was not named"),
    (prompted, ["assistant.model=/nowhere/model"], r"assistant\.model: .*/nowhere/model", "a model that is not there"),
    (prompted, ["assistant=scripted", "assistant.strategy=bluff"], r"assistant\.strategy must be one of", "a strategy"),
    (prompted, ["prompts.style=shouting"], r"prompts\.style must be one of pocket, .* not 'shouting'", "a style"),
    (prompted, ["eval.split=holdout"], r"eval\.split: task almanac has no split 'holdout'", "a split"),
    (prompted, ["eval.modes=[hot]"], r"eval\.modes.*hot", "a mode of sampling"),
    (prompted, ["eval.sets=[seen,far]"], r"eval\.sets must be one or more of seen, .* not seen, far", "a cost set"),
    (prompted, ["eval.sets=[]"], r"eval\.sets must be one or more of .* not none", "nothing to measure"),
    (rest, ["eval.sets=[seen,far]"], r"eval\.sets must be one or more of seen, .* not seen, far", "a set, at last"),
    (rest, ["eval.split=holdout"], r"eval\.split: task almanac has no split 'holdout'", "a split, at last"),
    (rest, ["user=hf", "user.model=/nowhere/user"], r"/nowhere/user", "another model that is not there"),
    (rwsft, ["rwsft.weight=reward"], r"rwsft\.weight must be refit or swift, not 'reward'", "a weighting there is not"),
    (rest, ["rest.margin=-0.1"], r"rest\.margin must be a number of at least 0, not -0\.1", "weights below none"),
    (rest, ["rest.corner=-0.1"], r"rest\.corner must be a number in \[0, 1\], not -0\.1", "less than never"),
    (rest, ["rest.corner=0.6", "rest.word_ends=0.3"], r"rest\.corner and twice rest\.word_ends are", "over 1"),
    (rest, ["rest.temperature=-1"], r"rest\.temperature must be a number of at least 0", "colder than the best"),
    (rest, ["update.runs=0"], r"update\.runs must be a whole number in \[1, 1000\], not 0", "no update"),
    (pretrain, ["pretrain.average=99"], r"pretrain\.average must be from 1 to the number", "too many"),
    (pretrain, ["pretrain.stages=[{demonstrations: 9, epochs: 1}]"], "stage 1 lacks learning_rate", "half a stage"),
    (
        pretrain,
        ["pretrain.stages=[{demonstrations: 9, epochs: 1, learning_rate: 1, bach: 2}]"],
        "stage 1 has no option bach",
        "a slip in a stage",
    ),
    (rest, ["+update.momentum=1"], r"update.*momentum", "an option that updates do not have"),
]


@pytest.mark.slow
def test_a_model_that_was_built_anew_makes_another_run(command, tmp_path, tiny_folder):
    built, run = tmp_path / "built", tmp_path / "run"
    shutil.copytree(tiny_folder, built)
    begin = (prompted, *SMALL, f"assistant.model={built}", f"run_dir={run}")
    names = set()
    for digest in ("a", "b"):
        (built / "manifest.json").write_text(json.dumps({"sha256": {"model.safetensors": digest}}))
        with initialize_config_dir(str(CONF), version_base="1.3"):
            names.add(config_hash(compose("prompted", [f"assistant.model={built}"])))
        code, said = command(*begin)
        assert code == (0 if digest == "a" else 1)
    assert "holds a run of another config (" in said and '"model.safetensors": "b"' in said
    assert len(names) == 2


@pytest.mark.parametrize(("module", "overrides", "said", "why"), BAD, ids=[row[3] for row in BAD])
def test_bad_input_is_one_sentence(command, tmp_path, monkeypatch, module, overrides, said, why):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    small = {prompted: SMALL, rwsft: SMALL, rest: REST, pretrain: []}[module]
    code, error = command(module, *small, *overrides, f"run_dir={tmp_path / 'run'}")
    assert code == 1, why
    assert re.fullmatch(rf"error: .*{said}.*\n", error), f"{why}: {error}"
    assert "Traceback" not in error and len(error) < 400
    assert not (tmp_path / "run/summary.json").exists() and not list((tmp_path / "run").glob("trajectories/*"))


def test_a_task_without_an_embedded_model_says_how_to_make_one(command, tmp_path):
    code, error = command(prompted, "task=sql", "assistant.model=pocket", f"run_dir={tmp_path / 'run'}")
    assert code == 1 and error.count("\n") == 1
    assert "made for task sql; name a chat model (assistant=hf assistant.model=FOLDER_OR_HUB_ID), or make one" in error


@pytest.mark.parametrize("override", ["task=chess", "user=nobody", "costs=free", "rest.speed=3"])
def test_hydra_says_which_option_there_is_not(command, tmp_path, override):
    code, error = command(rest, override, f"run_dir={tmp_path / 'run'}")
    assert code == 1 and "Traceback" not in error
    assert override.split("=")[0].replace(".", "/").split("/")[-1] in error


def test_a_directory_in_use_is_refused(command, tmp_path, monkeypatch):
    monkeypatch.setattr(prompted, "measure", lambda *args, **kwargs: None)
    folder = tmp_path / "run"
    folder.mkdir()
    with FileLock(folder / ".lock"):
        code, said = command(prompted, *SMALL, f"run_dir={folder}")
    assert code == 1 and f"another process is at work in {folder}" in said and said.count("\n") == 1
    assert command(prompted, *SMALL, f"run_dir={folder}")[0] == 0


def test_the_run_directory_is_named_by_the_config(command, unmeasured, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = []
    monkeypatch.setattr(rest, "rest", None)

    from trainers.runs import run as running

    def note(self, folder, identity, report_to):
        made.append(folder.name)
        raise ValueError("far enough")

    monkeypatch.setattr(running.Run, "__init__", note)
    monkeypatch.setattr(Command, "load", lambda *_: None)
    for overrides in ([], ["seed=0"], ["seed=1"], ["rest.hindsight=5"], ["rest.hindsight=5", "hydra.verbose=true"]):
        command(rest, *overrides)
    plain, same, seed, hindsight, verbose = made
    assert re.fullmatch(r"rest-almanac-[0-9a-f]{8}", plain)
    assert plain == same and hindsight == verbose, "what says how a run is carried out is no part of it"
    assert len({plain, seed, hindsight}) == 3
    command(rest, f"run_dir={tmp_path / 'mine'}")
    assert made[-1] == "mine"


def test_evaluate_a_scripted_assistant(command, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    over = ["assistant=scripted", "assistant.strategy=oracle", f"run_dir={folder}"]
    assert command(evaluate, *SMALL, *over)[0] == 0
    summary = json.loads((folder / "summary.json").read_text())
    for modes in summary["eval"].values():
        for entry in modes.values():
            assert entry["regret"] == pytest.approx(0) and entry["dominance"] == entry["optimal_match"] == 1
    for entry in summary["steering"].values():
        assert entry["policy"] == pytest.approx(entry["oracle"])


@pytest.mark.slow
def test_some_cost_sets_alone_are_measured_as_among_all(command, tmp_path):
    asked = ["assistant=scripted", "assistant.strategy=list", "eval.modes=[greedy]", *SMALL]
    found = []
    for name, sets in (("all", []), ("some", ["eval.sets=[between,beyond_beta]"])):
        assert command(evaluate, *asked, *sets, f"run_dir={tmp_path / name}")[0] == 0
        found.append(json.loads((tmp_path / name / "summary.json").read_text())["eval"])
    every, some = found
    assert len(every) == 5 and some == {name: every[name] for name in ("between", "beyond_beta")}


@pytest.mark.slow
def test_pretrain_saves_an_ordinary_model_folder(command, tmp_path):
    stages = ",".join(["{demonstrations:500,epochs:1,learning_rate:1e-3,shares:{page:0.5,assistant:0.5}}"] * 2)
    options = [
        f"pretrain.stages=[{stages}]",
        "pretrain.average=2",
        "pretrain.vocabulary=400",
        "pretrain.model.width=16",
        "pretrain.model.layers=1",
        "pretrain.model.heads=2",
        "pretrain.model.feed_forward=16",
        "update.batch=50",
        "task.train_names=2",
        "task.validation_names=2",
        "task.test_names=2",
    ]
    folder = tmp_path / "run"
    assert command(pretrain, *options, f"run_dir={folder}")[0] == 0
    made = folder / "model"
    assert AutoModelForCausalLM.from_pretrained(made).num_parameters() < 20_000
    assert AutoTokenizer.from_pretrained(made).chat_template
    manifest = json.loads((made / "manifest.json").read_text())
    assert set(manifest) == {"recipe", "sha256", "start"} and len(manifest["recipe"]["pretrain"]["stages"]) == 2
    ends = [load_file(path / "model.safetensors") for path in (made, folder / "stage-1", folder / "stage-2")]
    for name, weight in ends[0].items():
        assert torch.allclose(weight.float(), (ends[1][name].float() + ends[2][name].float()) / 2, atol=1e-3), name
    assert any(not torch.equal(ends[1][name], ends[2][name]) for name in ends[0]), "the stages differ"
    before = (made / "model.safetensors").stat().st_mtime_ns
    assert command(pretrain, *options, f"run_dir={folder}")[0] == 0
    assert (made / "model.safetensors").stat().st_mtime_ns == before, "built once"
    other = command(pretrain, *options, "seed=1", f"pretrain.output={made}", f"run_dir={tmp_path / 'other'}")
    assert other[0] == 1, "a folder that holds a model of another recipe is refused, not taken for built"
    again = tmp_path / "again"
    assert command(pretrain, *options, f"run_dir={again}")[0] == 0
    assert json.loads((again / "model/manifest.json").read_text()) == manifest, "the same recipe, the same weights"
    more = tmp_path / "more"
    assert command(pretrain, *options, f"pretrain.start={made}", f"run_dir={more}")[0] == 0
    continued = json.loads((more / "model/manifest.json").read_text())
    assert continued["start"] == manifest and continued["sha256"] != manifest["sha256"]
    refused = command(pretrain, *options, f"pretrain.start={tmp_path}", f"run_dir={tmp_path / 'nothing'}")
    assert refused[0] == 1 and "pretrain.start" in refused[1]


@pytest.mark.slow
@pytest.mark.parametrize(("chosen", "player"), [(["user=self"], "self"), (["learn=[assistant,user]"], "pocket")])
def test_self_play(command, tmp_path, chosen, player):
    folder = tmp_path / "run"
    measured = ["eval.modes=[greedy]", "eval.episodes=1", "eval.validation=1", "game.leaks=end"]
    assert command(rest, *REST, *chosen, *measured, f"run_dir={folder}")[0] == 0
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["players"] == {"assistant": "pocket", "user": player} and summary["options"]["leaks"] == "end"
    settings = summary["partners"]["user"]
    assert settings["prompt"] == {"style": "pocket", "version": VERSION} and settings["kind"] in ("self", "hf")
    assert json.loads((folder / "evaluation.json").read_text())["partners"] == summary["partners"]
    report = summary["faults"]["greedy"]["user"]
    assert report["messages"] == report["kinds"]["any"]["of"] > 0
    assert set(report["examples"]) == {name for name, row in report["kinds"].items() if row["count"]} - {"any"}
    page, card = (folder / "report.html").read_text(), (folder / "checkpoints/iteration-1/README.md").read_text()
    assert 'id="conduct"' in page and "The user: " in card
    assert f"version {VERSION}" in page and f"version {VERSION}" in card
    check_files(folder, "metrics.jsonl")


@pytest.mark.slow
def test_two_iterations_from_the_previous_policy_with_adapters(command, unmeasured, tmp_path):
    folder = tmp_path / "run"
    options = ["budget.games=120", "rest.iterations=2", "rest.start=previous", "rest.hindsight=0", "update.lora_rank=2"]
    assert command(rest, *REST, *options, "eval.validation=1", f"run_dir={folder}")[0] == 0
    assert sorted(p.name for p in (folder / "checkpoints").iterdir()) == ["iteration-1", "iteration-2"]


@pytest.mark.slow
def test_as_a_program_from_another_folder(tiny_folder, tmp_path):
    """The real command line: a refusal in one line, and no progress bars where nobody looks."""
    line = [
        sys.executable,
        "-m",
        "trainers.prompted",
        f"assistant.model={tiny_folder}",
        *SMALL,
        "costs.alpha=[2,1]",
        "run_dir=here",
    ]
    root = str(Path(__file__).parent.parent)
    done = subprocess.run(
        line,
        cwd=tmp_path,
        env={"PYTHONPATH": root, "PATH": "/usr/bin", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: costs.alpha must be two")
    assert not list(tmp_path.iterdir()), "a refused config leaves nothing"


@pytest.mark.slow
def test_runs_of_an_update_side_by_side_as_a_program(tiny_folder, tmp_path):
    """Where processes begin from a command's own module."""
    line = [
        sys.executable,
        "-m",
        "trainers.rest",
        f"assistant.model={tiny_folder}",
        *REST,
        "update.runs=2",
        "eval.modes=[greedy]",
        "eval.validation=1",
        "run_dir=here",
    ]
    root = str(Path(__file__).parent.parent)
    env = {"PYTHONPATH": root, "PATH": "/usr/bin", "OMP_NUM_THREADS": "2", "NO_PROGRESS": "1"}
    done = subprocess.run(line, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "here" / "checkpoints" / "iteration-1" / "model.safetensors").exists()
    assert (tmp_path / "here" / "summary.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_sweep_ends_in_a_table(tiny_folder, tmp_path, launcher):
    line = [
        sys.executable,
        "-m",
        "trainers.prompted",
        "-m",
        f"assistant.model={tiny_folder}",
        *SMALL,
        "seed=0,1",
        "eval.modes=[greedy]",
        f"hydra/launcher={launcher}",
    ]
    root = str(Path(__file__).parent.parent)
    env = {"PYTHONPATH": root, "PATH": "/usr/bin", "OMP_NUM_THREADS": "1", "NO_PROGRESS": "1", "COLUMNS": "200"}
    done = subprocess.run(line, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    [folder] = (tmp_path / "runs" / "sweeps").iterdir()
    assert (folder / "multirun.yaml").exists() and [path.name for path in tmp_path.iterdir()] == ["runs"]
    rows = [row for row in (folder / "table.md").read_text().splitlines() if row.startswith("| seed=")]
    assert [row.split(" | ")[0] for row in rows] == ["| seed=0", "| seed=1"]
    runs = [json.loads((folder / "jobs" / f"{number}.json").read_text())["run_dir"] for number in (0, 1)]
    assert all((tmp_path / run / ".hydra" / "overrides.yaml").exists() for run in runs), "as in hydra's own folders"
    entries = [json.loads((tmp_path / run / "summary.json").read_text())["eval"]["between"]["greedy"] for run in runs]
    low, high = sorted(100 * entry["reward"] / entry["oracle"] for entry in entries)
    assert f"({fixed(low, 1)} to {fixed(high, 1)})" in done.stdout and "Sweep: % of the oracle" in done.stdout
    assert done.stdout.splitlines()[-1] == f"table: {folder.relative_to(tmp_path)}/table.md"


@pytest.fixture
def sweep(command, monkeypatch, tmp_path, capsys):
    """Runs `evaluate` with scripted assistants as a sweep; returns exit code, stdout, stderr and the sweep's folder."""
    monkeypatch.chdir(tmp_path)

    def run(*overrides):
        monkeypatch.setattr(sys, "argv", ["evaluate.py", "-m", "assistant=scripted", *SMALL, *overrides])
        code = None
        try:
            evaluate.main()
        except SystemExit as end:
            code = end.code
        printed = capsys.readouterr()
        return code, printed.out, printed.err, max((tmp_path / "runs" / "sweeps").iterdir())

    return run


def fails(experiment):
    strategy = experiment.blocks["assistant"].strategy
    if strategy == "guess":
        raise RuntimeError("a bug in a plug-in")
    if strategy == "list":
        sys.exit("a library's way to end")


def test_whatever_happens_to_one_job_the_others_run(sweep, monkeypatch, tmp_path):
    played = []

    def measured(run, experiment, method):
        fails(experiment)
        played.append(experiment.blocks["assistant"].strategy)

    monkeypatch.setattr(evaluate, "measure_policy", measured)
    code, out, err, folder = sweep("assistant.strategy=guess,list,ask", "eval.grid=3,1")
    assert (code, played) == (1, ["ask"])
    text = (folder / "table.md").read_text()
    assert text.count("| failed |") == 5 and text.count("| done |") == 2 and (folder / "multirun.yaml").exists()
    for strategy, sentence in (
        ("guess", "RuntimeError: a bug in a plug-in"),
        ("list", "SystemExit: a library's way to end"),
    ):
        assert f"failed: eval.grid=3 assistant.strategy={strategy}: {sentence}" in out and sentence in text
    assert "failed: eval.grid=1 assistant.strategy=ask: eval.grid must be a whole number" in out
    assert out.splitlines()[-1] == f"table: {folder.relative_to(tmp_path)}/table.md"
    assert err.count("Traceback") == 2, "those of the bugs, where nothing else says where they are"
    assert [path.name for path in tmp_path.iterdir()] == ["runs"], "nothing is left in the working folder"


def test_an_interrupted_sweep_has_a_table_of_what_was_done(sweep, monkeypatch):
    def measured(run, experiment, method):
        if experiment.seed == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(evaluate, "measure_policy", measured)
    code, out, err, folder = sweep("seed=0,1,2")
    assert code == 130 and err.endswith("interrupted: the same command goes on from here\n") and "Traceback" not in err
    assert "1 of 2" in out and "failed: seed=1: it did not come to its end" in out
    assert out.splitlines()[-1] == f"table: {folder.relative_to(Path.cwd())}/table.md"


@pytest.mark.slow
def test_batches_of_a_sweep_go_on_after_a_failed_one(sweep, monkeypatch):
    monkeypatch.setattr(evaluate, "measure_policy", lambda *args, **kwargs: None)
    code, out, _, _ = sweep("eval.grid=1,2,3", "hydra.sweeper.max_batch_size=1")
    assert code == 1 and out.count(" done") == 2 and out.count(" failed") == 1


@pytest.mark.slow
def test_a_sweep_without_a_failure_succeeds_and_keeps_hydras_folder(sweep, monkeypatch, tmp_path):
    monkeypatch.setattr(evaluate, "measure_policy", lambda *args, **kwargs: None)
    assert sweep("seed=0,1", "run_dir='a [b], (c)/${seed}'")[0] is None
    assert {path.name for path in (tmp_path / "a [b], (c)").iterdir()} == {"0", "1"}
    (tmp_path / "runs" / "sweeps" / "zz").mkdir()
    code, out, _, _ = sweep("seed=0,1", "hydra.sweep.dir=runs/sweeps/zz")
    assert code is None and out.endswith("table: runs/sweeps/zz/table.md\n")


def test_ctrl_c_is_one_sentence(command, monkeypatch, tmp_path):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate, "measure_policy", interrupted)
    line = ["assistant=scripted", *SMALL, f"run_dir={tmp_path / 'run'}"]
    assert command(evaluate, *line) == (130, "interrupted: the same command goes on from here\n")
    monkeypatch.setattr(evaluate, "measure_policy", lambda *args, **kwargs: None)
    assert command(evaluate, *line) == (0, ""), "and nothing holds the directory"


def test_a_run_names_its_directory_and_its_report(command, monkeypatch, tmp_path, capsys):
    line = ["assistant=scripted", *SMALL, "eval.modes=[greedy]", "eval.sets=[between]", "run_dir=a [b] (1)"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *line[:-1], "run_dir='a [b] (1)'"])
    monkeypatch.delenv("NO_PROGRESS")
    for end in ("", ", continued"):
        evaluate.main()
        printed = capsys.readouterr()
        assert printed.err.splitlines()[0] == f"run directory: a [b] (1){end}"
        assert printed.out.splitlines()[-1] == "report: a [b] (1)/report.html"
    assert (tmp_path / "a [b] (1)" / "report.html").exists()


@pytest.mark.parametrize("place", ["a file", "a file/in it", "a dangling link"])
def test_a_run_directory_that_cannot_be_made_is_one_sentence(command, monkeypatch, tmp_path, place):
    monkeypatch.chdir(tmp_path)
    Path("a file").write_text("")
    Path("a dangling link").symlink_to("nowhere")
    code, said = command(evaluate, "assistant=scripted", *SMALL, f"run_dir='{place}'")
    assert code == 1 and re.fullmatch(
        r"error: run_dir: a (file is a file|dangling link is a link to nowhere).*\n", said
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a dangling link", "a file"]


def test_home_is_read_in_paths(command, monkeypatch, tmp_path, tiny_folder):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").symlink_to(tiny_folder)
    monkeypatch.setattr(prompted, "measure", lambda *args, **kwargs: None)
    for name in ("~/my/run", "'~/my/runs, (1)'"):
        assert command(prompted, *SMALL, "assistant.model=~/model", f"run_dir={name}") == (0, "")
    assert {path.name for path in (tmp_path / "my").iterdir()} == {"run", "runs, (1)"}
    assert not (tmp_path / "~").exists()


@pytest.mark.slow
def test_another_model_as_the_user_keeps_its_own_style_and_length_and_is_loaded_once(
    command, unmeasured, tmp_path, tiny_folder, monkeypatch
):
    """And the policy is loaded once as well, in a whole ReST run."""
    other = tmp_path / "other"
    shutil.copytree(tiny_folder, other)
    loaded, seen, load, act = [], set(), hf.load, HFAgent.act

    def counted(path, **options):
        if "option" in options:  # not a checkpoint of the run itself
            loaded.append((str(path), options["option"]))
        return load(path, **options)

    def watched(self, views, seeds, openings=None):
        replies = act(self, views, seeds, openings)
        for view, reply in zip(views, replies, strict=True):
            assert len(reply.ids) <= self.sampler.max_new_tokens
            seen.add((view.role, self.name, self.sampler.max_new_tokens, self.sampler.temperature))
            if view.role == "user":
                assert self.renderer.chat(view) == messages(view, "zero_shot"), "the rules are written out for it"
            else:
                assert self.renderer.chat(view) == messages(view, "pocket")
        return replies

    monkeypatch.setattr(hf, "load", counted)
    monkeypatch.setattr(HFAgent, "act", watched)
    user = ["user=hf", f"user.model={other}", "user.max_new_tokens=7", "user.temperature=0.5"]
    two = ["budget.games=120", "rest.iterations=2", "rest.hindsight=1", "eval.validation=1"]
    assert command(rest, *REST, *two, *user, f"run_dir={tmp_path / 'run'}") == (0, "")
    assert sorted(loaded) == sorted([(str(tiny_folder), "assistant.model"), (str(other), "user.model")])
    assert seen == {("assistant", "pocket", 48, 1.0), ("user", "hf", 7, 0.5)}


# What makes each learning command's quick form small enough for a test.
TINY_QUICK = [*SMALL, "size=quick", "budget.games=120", "eval.modes=[greedy]", "eval.sets=[between]"]
LEARNERS = [
    (rest, ["rest.hindsight=2"]),
    (rwsft, []),
    (contrastive, []),
    (stargate, []),
    (grpo, ["grpo.games_a_step=24"]),
    (imitate, []),
]


@pytest.mark.slow
@pytest.mark.parametrize(("module", "options"), LEARNERS, ids=[module.__name__ for module, _ in LEARNERS])
def test_the_quick_form_of_a_learning_command_runs(command, tmp_path, module, options):
    assert command(module, *TINY_QUICK, *options, f"run_dir={tmp_path / 'run'}")[0] == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["budget"]["update_tokens"] > 0 and set(summary["eval"]) == {"between"}


SMALL_MODEL = [
    *("pretrain.model.width=16", "pretrain.model.layers=1", "pretrain.model.heads=2", "pretrain.model.feed_forward=16"),
    *("pretrain.vocabulary=400", *(word for word in SMALL if word.startswith("task."))),
]
OTHERS = [
    (prompted, [*SMALL, "eval.modes=[greedy]", "eval.sets=[between]"], "summary.json"),
    (evaluate, [*SMALL, "eval.modes=[greedy]", "eval.sets=[between]", "assistant=scripted"], "summary.json"),
    (pretrain, SMALL_MODEL, "model/manifest.json"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("module", "options", "made"), OTHERS, ids=[module.__name__ for module, *_ in OTHERS])
def test_the_quick_form_of_another_command_runs(command, tmp_path, module, options, made):
    assert command(module, "size=quick", *options, f"run_dir={tmp_path / 'run'}")[0] == 0
    assert (tmp_path / "run" / made).exists()


SCRIPTED_BESIDE_A_MODEL = [
    pytest.param(
        evaluate, ["assistant=scripted", "assistant.strategy=guess", "user=hf", "user.model=MODEL"], id="a guesser"
    ),
    pytest.param(
        evaluate,
        ["assistant=scripted", "user=hf", "user.model=MODEL", "user.device=cpu", "user.max_new_tokens=9.0"],
        id="with options",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        prompted,
        ["assistant=scripted", "players.user.kind=hf", "players.user.model=MODEL"],
        id="players",
        marks=pytest.mark.slow,
    ),
]


@pytest.mark.parametrize(("module", "options"), SCRIPTED_BESIDE_A_MODEL)
def test_a_language_model_as_user_beside_a_scripted_assistant(command, tmp_path, tiny_folder, module, options):
    small = [*SMALL, "eval.modes=[greedy]", "eval.sets=[between]", "eval.episodes=1", "eval.grid=2"]
    line = [word.replace("MODEL", str(tiny_folder)) for word in options]
    assert command(module, *small, *line, f"run_dir={tmp_path / 'run'}") == (0, "")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert set(summary["players"]) == {"assistant", "user"} and summary["players"]["user"] == "hf"


@pytest.mark.parametrize(
    "module", [rest, rwsft, contrastive, stargate, grpo, imitate], ids=lambda module: module.__name__
)
def test_a_scripted_assistant_cannot_learn_and_that_is_said_first(command, tmp_path, module):
    code, error = command(module, "assistant=scripted", f"run_dir={tmp_path / 'run'}")
    assert (code, error) == (1, "error: assistant.kind must be hf, a language model, for this command\n")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "name",
    ["1e3", "my runs (1)", *(pytest.param(name, marks=pytest.mark.slow) for name in ("20261127", "007", "true"))],
)
def test_a_run_directory_is_named_as_it_was_written(command, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(prompted, "measure", lambda *args, **kwargs: None)
    for games in ("eval.episodes=2e0", "eval.episodes=2"):
        assert command(prompted, *SMALL, games, f"run_dir={name}") == (0, ""), "the same run, however written"
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert json.loads((tmp_path / name / "config.json").read_text())["eval"]["episodes"] == 2


# What was once said after the work, or by another's words.
FIRST = [
    (rest, ["rest.hindsight=abc"], "rest.hindsight must be a whole number of at least 0, not 'abc'"),
    (rest, ["update.learning_rate=fast"], "update.learning_rate must be a number of at least 0, not 'fast'"),
    (prompted, ["eval.episodes=0"], "eval.episodes must be a whole number in [1, 1000000], not 0"),
    (prompted, ["seed=abc"], "seed must be a whole number in [0, 2147483647], not 'abc'"),
    (prompted, ["assistant.device=cuda:99"], "assistant.device=cuda:99: there "),
    (
        prompted,
        ["assistant.device=gpu"],
        "assistant.device must be cpu, cuda, cuda:NUMBER, mps, xpu or null, not 'gpu'",
    ),
    (prompted, ["user=hf", "user.model=pocket", "user.device=cuda:x"], "user.device must be cpu, cuda"),
    (prompted, ["assistant=hf", "assistant.model=???"], "assistant.model must be given: it has no default; write"),
    (
        prompted,
        ["assistant.model=/nowhere"],
        "assistant.model: '/nowhere' is neither a folder that exists, nor a GGUF file, nor a hub id",
    ),
    (
        prompted,
        ["assistant.model=~/nowhere"],
        "nowhere' is neither a folder that exists, nor a GGUF file, nor a hub id",
    ),
    (prompted, ["assistant.model=."], "assistant.model: '.' holds no model: it has no config.json"),
    (prompted, ["task=qa_jsonl", "task.path=~/nowhere"], str(Path.home() / "nowhere")),
    (prompted, ["task=qa_jsonl"], "task.path must be given: it has no default; write task.path=FILE of the data set"),
    (prompted, ["task.train_names=many"], "task.train_names must be a whole number, not 'many'"),
    (
        prompted,
        ["task=preferences", "task.train=1e15"],
        "task.*: task preferences would have 1,000,000,000,000,000 train",
    ),
    (
        prompted,
        ["costs.alpha=[0.1,1e308]"],
        "costs.alpha must be two increasing positive numbers of at most 1,000,000, not [0.1, 1e+308]",
    ),
    (prompted, ["costs.steps=[1,2]"], "costs.steps must be at most the smallest costs, 0.16 and 0.022, not (1.0, 2.0)"),
    (prompted, ["user.kind={a: 1}"], "user.kind must be one of scripted, hf, self, api, not {'a': 1}"),
    (
        evaluate,
        ["assistant=scripted", "user=self"],
        "user.kind=self needs a language model in the role that is measured or learns",
    ),
    (prompted, ["user.strategy=bluff"], "user.strategy must be one of scripted, not 'bluff'"),
    (prompted, ["eval=3"], "eval must be a mapping of options, as eval.OPTION=VALUE, not 3"),
    (prompted, ["learn=user"], "learn must be a list of texts or null, not 'user'"),
    (prompted, ["seed=${seed}"], "seed: Recursive interpolation detected"),
    (prompted, ["run_dir="], "run_dir must be the directory of the run, not an empty text"),
    (grpo, ["update.runs=2"], "update.runs must be 1: each step's games are played by the policy of the step before"),
    *(
        (module, ["learn=[user]"], f"{name}: user learns, but assistant moves first in game clarification: learn=[assi")
        for name, module in (("grpo", grpo), ("stargate", stargate), ("contrastive", contrastive))
    ),
    (contrastive, ["rollouts=plain"], "rollouts: contrastive training needs reference games of every action"),
    (
        pretrain,
        ["pretrain.stages=[{demonstrations: 1.5, epochs: 1, learning_rate: 1}]"],
        "demonstrations must be a whole",
    ),
    (pretrain, ["pretrain.model.heads=3"], "pretrain.model.width=128 must be a multiple of heads=3"),
    (pretrain, ["pretrain.start=/nowhere"], "pretrain.start: /nowhere holds no pocket model"),
]


@pytest.mark.parametrize(("module", "options", "sentence"), FIRST, ids=[" ".join(row[1])[:60] for row in FIRST])
def test_what_is_wrong_in_a_config_is_said_before_anything_is_written(
    command, tmp_path, monkeypatch, module, options, sentence
):
    monkeypatch.chdir(tmp_path)
    small = [word for word in SMALL if not word.startswith("task.")] if module is not pretrain else []
    code, error = command(module, *small, *options)
    assert code == 1 and re.fullmatch(r"error: [^\n]+\n", error) and sentence in error
    assert not list(tmp_path.iterdir()), "not even the run directory"
