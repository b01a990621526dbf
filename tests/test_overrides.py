"""Overrides as people write them: texts keep their spelling, whole numbers are whole, slips are named."""

import importlib
import re

import pytest
from configs import config_of
from omegaconf import OmegaConf

from trainers.runs.command import COMMANDS


def hydra_overrides(name, *words, sweep=False):
    importlib.import_module(f"trainers.{name}")
    return COMMANDS[name].command_line(sweep).hydra_overrides(words)


# Command, overrides, the option, its value in the config.
READ = [
    ("rest", ["run_dir=20261127"], "run_dir", "20261127"),
    ("rest", ["run_dir=1e3"], "run_dir", "1e3"),
    ("rest", ["run_dir=007"], "run_dir", "007"),
    ("rest", ["run_dir=1_000"], "run_dir", "1_000"),
    ("rest", ["run_dir=true"], "run_dir", "true"),
    ("rest", ["run_dir=nan"], "run_dir", "nan"),
    ("rest", ["run_dir=my runs (1)"], "run_dir", "my runs (1)"),
    ("rest", ["run_dir=a,b"], "run_dir", "a,b"),
    ("rest", ["run_dir=it's"], "run_dir", "it's"),
    ("rest", ["run_dir='1e3'"], "run_dir", "1e3"),
    ("rest", ["run_dir=${task.name}/1"], "run_dir", "almanac/1"),
    ("rest", ["assistant.model=2026"], "assistant.model", "2026"),
    ("rest", ["assistant.name=-0.0"], "assistant.name", "-0.0"),
    ("rest", ["assistant.revision=1234567"], "assistant.revision", "1234567"),
    ("rest", ["assistant.revision=null"], "assistant.revision", None),
    ("rest", ["user=hf", "user.model=1e3"], "user.model", "1e3"),
    ("rest", ["players.user.kind=hf", "players.user.model=1e3"], "players.user.model", "1e3"),
    ("rest", ["task=qa_jsonl", "task.path=2026"], "task.path", "2026"),
    ("rest", ["task=almanac", "task.metric=1.0"], "task.metric", "1.0"),
    ("rest", ["learn=[1e3,b]"], "learn", ["1e3", "b"]),
    ("pretrain", ["pretrain.whole=[2005, 1e3]"], "pretrain.whole", ["2005", "1e3"]),
    ("compare", ["cells=20261127"], "cells", "20261127"),
    ("compare", ["only=[1,2.0]"], "only", ["1", "2.0"]),
    ("rest", ["budget.games=1e2"], "budget.games", 100),
    ("rest", ["eval.episodes=1e0"], "eval.episodes", 1),
    ("rest", ["eval.grid=2.0"], "eval.grid", 2),
    ("rest", ["seed=3.0"], "seed", 3),
    ("rest", ["task.train_names=1e1"], "task.train_names", 10),
    ("rest", ["game.max_questions=1.0"], "game.max_questions", 1),
    ("rest", ["assistant.max_new_tokens=4e1"], "assistant.max_new_tokens", 40),
    ("rest", ["update.learning_rate=1e-3"], "update.learning_rate", 1e-3),
    ("rest", ["update.learning_rate=1"], "update.learning_rate", 1),
    ("rest", ["rest.threshold=[0.5,1]"], "rest.threshold", [0.5, 1]),
    ("rest", ["rollouts=plain"], "rollouts.free", 3),
    ("compare", ["tasks={mine: ['task=ledger']}"], "tasks", {"mine": ["task=ledger"]}),
    ("compare", ["tasks={almanac: []}", "+tasks.mine=[a]"], "tasks", {"almanac": [], "mine": ["a"]}),
    ("pretrain", ["pretrain.model={width: 32}"], "pretrain.model.heads", 4),
]


@pytest.mark.parametrize(("name", "words", "option", "value"), READ, ids=[" ".join(row[1]) for row in READ])
def test_a_value_is_read_by_the_type_of_its_option(name, words, option, value):
    config = config_of(name, *hydra_overrides(name, *words))
    result = OmegaConf.to_container(OmegaConf.create({"value": OmegaConf.select(config, option)}))["value"]
    assert result == value and type(result) is type(value)


SWEPT = [
    ("run_dir=1e3,2e3", "run_dir='1e3','2e3'"),
    ("run_dir=a,b", "run_dir=a,b"),
    ("assistant.model=2026,x", "++assistant.model='2026',x"),
    ("seed=0,1", "seed=0,1"),
    ("rest.k=range(1,3)", "rest.k=range(1,3)"),
    ("rest.rule=choice(best,top_k)", "rest.rule=choice(best,top_k)"),
    ("task=almanac,ledger", "task=almanac,ledger"),
]


@pytest.mark.parametrize(("word", "expect"), SWEPT)
def test_values_of_a_sweep_stay_several(word, expect):
    assert hydra_overrides("rest", word, sweep=True) == [expect]


LEFT = ["user=self", "~user", "hydra/launcher=joblib", "hydra.verbose=true", "+rest.k=7", "++rest.k=7", "costs=${game}"]


@pytest.mark.parametrize("word", LEFT)
def test_what_is_hydras_is_left_to_it(word):
    assert hydra_overrides("rest", word) == [word]


REFUSED = [
    ("rest", ["seed"], "options are written NAME=VALUE, not 'seed'; --help lists them"),
    ("rest", ["sed=3"], "there is no option sed; did you mean seed?"),
    ("rest", ["rest.hindsigt=3"], "there is no option rest.hindsigt; did you mean rest.hindsight?"),
    ("rest", ["costs.alpah=[1,2]"], "there is no option costs.alpah; did you mean costs.alpha?"),
    ("rest", ["game.max_question=1"], "there is no option game.max_question; did you mean game.max_questions?"),
    ("rest", ["assistant.mode=x"], "there is no option assistant.mode; did you mean assistant.model?"),
    ("rest", ["user.kid=hf"], "there is no option user.kid; did you mean user.kind?"),
    ("rest", ["task.trainnames=3"], "there is no option task.trainnames; did you mean task.train_names?"),
    ("rest", ["prompts.styl=x"], "there is no option prompts.styl; did you mean prompts.style?"),
    ("rest", ["user=hf", "players.user.modl=x"], "there is no option players.user.modl"),
    ("rest", ["users=hf"], "there is no option users; did you mean user?"),
    (
        "rest",
        ["assistant=scripted", "assistant.device=cpu"],
        "assistant.device is no option of assistant.kind=scripted",
    ),
    ("rest", ["user.model=x"], "user.model is no option of user.kind=scripted"),
    ("rest", ["assistant.temperature=1"], "assistant.temperature is no option: eval.modes and rollouts.temperature"),
    ("rest", ["task=nothing"], "task must be one of abgcoqa, almanac, ambigqa,"),
    ("rest", ["task=almanak"], "not 'almanak'; did you mean almanac?"),
    ("rest", ["user=human"], "user must be one of api, hf, scripted, self, not 'human'"),
    ("rest", ["size=tiny"], "size must be one of full, laptop, quick, not 'tiny'"),
    ("rest", ["game=chess"], "game must be one of clarification"),
    ("rest", ["rest.k=1.5"], "rest.k must be a whole number of at least 1, not 1.5"),
    ("rest", ["rest.k=1e400"], "rest.k must be a whole number of at least 1, not inf"),
    ("rest", ["rest.k=99999999999999999999"], "rest.k must be a whole number of at least 1, not 99999999999999999999"),
    ("rest", ["rest.k=(("], "rest.k must be a whole number of at least 1, not '((', which cannot be read"),
    ("rest", ["rest.k=1,2"], "not '1,2'; commas are for sweeps (-m)"),
    ("rest", ["rest.margin=1e400"], "rest.margin must be a number of at least 0, not inf"),
    ("rest", ["budget.games=-3"], "budget.games must be a whole number in [1, 1000000000], not -3"),
    ("rest", ["budget.games=1.5"], "budget.games must be a whole number in [1, 1000000000], not 1.5"),
    ("rest", ["eval.episodes=0"], "eval.episodes must be a whole number in [1, 1000000], not 0"),
    ("rest", ["task.world_seed=-1"], "task.world_seed must be a whole number in [0, 2147483647], not -1"),
    ("compare", ["task=almanac"], "there is no option task; did you mean tasks?"),
    ("compare", ["tasks={mine: [task=ledger]}"], "cannot be read; texts with a = in them need quotes, as in ['a=b']"),
    ("prompted", ["recipe=almanac"], "there is no option recipe; known: "),
]


@pytest.mark.parametrize(("name", "words", "sentence"), REFUSED, ids=[" ".join(row[1]) for row in REFUSED])
def test_what_is_refused_before_hydra_sees_it(name, words, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        hydra_overrides(name, *words)
