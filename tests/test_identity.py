"""The identity of a run: the day on which it began, which is kept and is in no hash."""

import shutil
from datetime import date

import pytest
from configs import config_of
from families import FAMILIES

from agents.template import ChatTemplate
from trainers import prompted, rest
from trainers.runs import identity
from trainers.runs.command import COMMANDS
from trainers.runs.identity import claim, config_hash, run_identity
from trainers.runs.store import read_json, write_json


class Clock(date):
    """A clock that tests set, to days on which they are not run."""

    now = date(2021, 3, 5)

    @classmethod
    def today(cls):
        return cls.now


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(identity, "date", Clock)
    monkeypatch.setattr(Clock, "now", date(2021, 3, 5))
    return Clock


def test_a_run_keeps_its_day(tmp_path, clock):
    config = {"command": "rest", "seed": 0}
    assert claim(tmp_path, config) == config | {"date": "2021-03-05"} == read_json(tmp_path / "config.json")
    clock.now = date(2021, 3, 6)
    assert claim(tmp_path, config) == config | {"date": "2021-03-05"} == read_json(tmp_path / "config.json")
    with pytest.raises(ValueError, match=r'another config \(- "seed": 0; \+ "seed": 1\)'):
        claim(tmp_path, config | {"seed": 1})
    (other := tmp_path / "other").mkdir()
    assert claim(other, config)["date"] == "2021-03-06", "and another run has its own"


def test_a_run_begun_before_days_were_recorded_goes_on(tmp_path, clock):
    write_json(tmp_path / "config.json", {"command": "rest", "seed": 0})
    assert claim(tmp_path, {"command": "rest", "seed": 0})["date"] == "2021-03-05"


def test_the_hash_does_not_depend_on_the_day(clock):
    before = config_hash(config_of("rest"))
    clock.now = date(2027, 1, 1)
    assert config_hash(config_of("rest")) == before
    assert config_hash(config_of("rest", "++assistant.template.date=2026-01-01")) != before, "unless one is asked for"


DATED = FAMILIES["chatml"].template.replace("<|im_start|>", "<|user|>").replace("<|im_end|>", "<|end|>")


def test_prompts_state_the_day_of_the_run(command, tiny_folder, tmp_path, clock, monkeypatch):
    """A template that asks for the day is told that of the run's start, on every later day."""
    model = shutil.copytree(tiny_folder, tmp_path / "model")
    (model / "chat_template.jinja").write_text("{{ strftime_now('%d.%m.%Y') }}" + DATED)
    prompts, render = [], ChatTemplate.render
    monkeypatch.setattr(ChatTemplate, "render", lambda self, chat: prompts.append(render(self, chat)) or prompts[-1])
    line = ["eval.episodes=1", "eval.modes=[greedy]", "eval.grid=2", f"run_dir={tmp_path / 'run'}"]
    line = [*line, "eval.validation=1", "task.train_names=4", "task.validation_names=2", "task.test_names=2"]

    def play():
        prompts.clear()
        assert command(prompted, "assistant=hf", f"assistant.model={model}", "prompts=pocket", *line)[0] == 0
        return sorted(set(prompts))

    first = play()
    assert first and all(prompt.startswith("05.03.2021") for prompt in first)
    for path in (tmp_path / "run").iterdir():
        if path.name != "config.json" and path.is_file():
            path.unlink()
    clock.now = date(2021, 4, 1)
    assert play() == first


def test_a_day_that_is_asked_for_is_stated(tiny_folder):
    config = ("assistant=hf", f"assistant.model={tiny_folder}")
    for overrides, day in ((config, "2026-11-27"), ((*config, "++assistant.template.date=2024-07-26"), "2024-07-26")):
        experiment = COMMANDS["prompted"].read(config_of("prompted", *overrides))["experiment"].dated("2026-11-27")
        assert experiment.policy_options.template["date"] == day


QUESTIONS = """\
{"question": "Who designed Ashford?", "interpretations": [{"text": "the town", "answers": ["Brandt"]}, \
{"text": "the film", "answers": ["Vale"]}]}
"""
SOURCE = """
from clarify_env.tasks.almanac import Almanac
class Mine(Almanac):
    name = "mine_of_identity"
"""


@pytest.fixture
def contents(tmp_path, tiny_folder):
    """Files that options name: (overrides, the file that changes, its new text)."""
    questions, source, model = tmp_path / "q.jsonl", tmp_path / "of_identity.py", tmp_path / "model"
    questions.write_text(QUESTIONS)
    source.write_text(SOURCE)
    model.mkdir()
    (model / "manifest.json").write_text('{"sha256": {"model.safetensors": "a"}}')
    manifest = model / "manifest.json", '{"sha256": {"model.safetensors": "b"}}'
    part = f"{{almanac: {{}}, qa_jsonl: {{path: {str(questions)!r}}}}}"
    return {
        "task.path": (["task=qa_jsonl", f"task.path={questions}"], questions, QUESTIONS * 2),
        "task.source": (["task=almanac", f"+task.source={source}:Mine"], source, SOURCE + "# changed"),
        "task.tasks.qa_jsonl.path": (["task=mix", f"+task.tasks={part}"], questions, QUESTIONS * 2),
        "user.model": (["user=hf", f"user.model={model}"], *manifest),
        "players.user.model": (["+players.user.kind=hf", f"+players.user.model={model}"], *manifest),
        "model": (["runs=[a,b]", f"model={model}"], *manifest),
        "pretrain.start": ([f"pretrain.start={model}"], *manifest),
    }


@pytest.mark.parametrize(
    ("command", "option"),
    [
        *(("evaluate", option) for option in ("task.path", "task.source", "task.tasks.qa_jsonl.path")),
        *(("rest", option) for option in ("user.model", "players.user.model")),
        ("mix", "model"),
        ("pretrain", "pretrain.start"),
    ],
)
def test_a_file_of_other_content_makes_another_run(contents, tmp_path, command, option):
    overrides, file, text = contents[option]
    config = config_of(command, *overrides)
    before, old_hash = run_identity(command, config), config_hash(config)
    assert set(before["content"]) == {option}
    claim(tmp_path, before)
    file.write_text(text)
    now = run_identity(command, config)
    assert config_hash(config) != old_hash
    with pytest.raises(ValueError, match=r"another config .*; choose another run_dir"):
        claim(tmp_path, now)


def test_a_run_from_before_contents_were_recorded_goes_on(contents, tmp_path):
    overrides, *_ = contents["task.path"]
    identity = run_identity("evaluate", config_of("evaluate", *overrides))
    del (old := dict(identity))["content"]
    claim(tmp_path, old)
    assert "content" not in claim(tmp_path, identity) and "content" not in read_json(tmp_path / "config.json")
    with pytest.raises(ValueError, match="another config"):
        claim(tmp_path, identity | {"seed": 7})


def test_a_config_that_names_no_file_has_the_hash_that_it_had():
    assert "content" not in run_identity("rest", config_of("rest"))
    assert "content" not in run_identity("mix", config_of("mix", "runs=[a,b]"))


@pytest.mark.parametrize("module", [rest, prompted])
def test_one_of_several_processes_is_refused(command, tmp_path, monkeypatch, module):
    """Each of them would play all games, into one run directory."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, said = command(module, f"run_dir={tmp_path / 'run'}")
    assert (code, said.count("\n")) == (1, 1) and said.startswith("error: WORLD_SIZE=2: a command runs in one process")
    assert not (tmp_path / "run").exists()
    monkeypatch.setenv("WORLD_SIZE", "1")
    identity.check_one_process()
