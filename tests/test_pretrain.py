"""Pretraining: which folder a model may replace, and when one counts as built."""

import json

import pytest
from configs import config_of

from agents.pocket import SHIPPED
from trainers import pretrain as pretraining
from trainers.pretrain import PretrainOptions, check, recipe
from trainers.runs.command import COMMANDS
from trainers.runs.identity import run_identity
from trainers.runs.store import save_model

STAGE = "{demonstrations:40,epochs:1,learning_rate:1e-3,shares:{page:0.5,assistant:0.5}}"
SMALL = [
    f"pretrain.stages=[{STAGE}]",
    *("pretrain.average=1", "pretrain.vocabulary=300"),
    *("pretrain.model.width=8", "pretrain.model.layers=1", "pretrain.model.heads=2", "pretrain.model.feed_forward=8"),
    *("task.train_names=2", "task.validation_names=2", "task.test_names=2"),
]


def options(output):
    stage = {"demonstrations": 40, "epochs": 1, "learning_rate": 1e-3}
    return PretrainOptions(output=str(output), stages=[stage])


def test_a_folder_of_other_files_is_refused_and_left_alone(command, tmp_path):
    models = tmp_path / "models"
    (models / "ambigqa").mkdir(parents=True)
    (models / "ambigqa/model.safetensors").write_text("weights")
    code, said = command(pretraining, *SMALL, f"pretrain.output={models}", f"run_dir={tmp_path / 'run'}")
    assert code == 1 and said.startswith(f"error: pretrain.output: {models} holds files") and said.count("\n") == 1
    assert (models / "ambigqa/model.safetensors").read_text() == "weights" and not (tmp_path / "run").exists()


def test_which_folders_a_model_may_become(tmp_path):
    check(options(tmp_path / "new" / "folder"))
    check(options(tmp_path))
    check(options(SHIPPED["almanac"]))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"pretrain\.output: .* holds files that are no pocket model"):
        check(options(tmp_path))
    with pytest.raises(ValueError, match=r"pretrain\.output: .*config\.json is a file"):
        check(options(tmp_path / "config.json"))


def test_the_run_directory_is_no_folder_of_the_model(command, tmp_path):
    code, said = command(pretraining, *SMALL, f"pretrain.output={tmp_path / 'run'}", f"run_dir={tmp_path / 'run'}")
    assert code == 1 and "pretrain.output: " in said and not list((tmp_path / "run").glob("stage-*"))


def test_a_run_killed_after_its_model_was_saved_goes_on(command, tmp_path, monkeypatch):
    """The manifest comes with the model, so no folder is without one."""

    def killed(model, tokenizer, path, **more):
        save_model(model, tokenizer, path, **more)
        if path.name == "made":
            raise KeyboardInterrupt

    made = tmp_path / "made"
    line = (pretraining, *SMALL, f"pretrain.output={made}", f"run_dir={tmp_path / 'run'}")
    with monkeypatch.context() as patched:
        patched.setattr(pretraining, "save_model", killed)
        assert command(*line)[0] == 130
    assert set(json.loads((made / "manifest.json").read_text())) == {"recipe", "sha256", "start"}
    assert command(*line)[0] == 0


CHANGED = [
    *("update.least_steps=5000", "update.runs=2", "update.tokens=99", "update.packed=true", "update.contexts=2"),
    *("update.checkpointing=true", "update.lengths=mixed", "pretrain.model.init=0.1", "pretrain.whole=[a]"),
]


@pytest.mark.parametrize("word", CHANGED)
def test_another_option_is_another_recipe(word):
    def made_of(*more):
        config = config_of("pretrain", *SMALL, *more)
        read = COMMANDS["pretrain"].read(config)
        return recipe(run_identity("pretrain", config), read["experiment"], read["options"])

    assert made_of() != made_of(word)


def test_a_model_continued_from_another_is_another(command, tmp_path):
    made = tmp_path / "made"
    assert command(pretraining, *SMALL, f"pretrain.output={made}", f"run_dir={tmp_path / 'run'}")[0] == 0
    start = f"pretrain.start={SHIPPED['almanac']}"
    code, said = command(pretraining, *SMALL, start, f"pretrain.output={made}", f"run_dir={tmp_path / 'other'}")
    assert code == 1 and "holds a model of another recipe" in said
