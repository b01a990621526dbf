"""Builds a pocket model for any task that offers demonstrations (DESIGN section 5).

``python -m trainers.pretrain task=almanac`` makes the shipped model. The demonstrations disregard the costs, so the
model knows the facts and can ask, list and guess, but does not know when.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import fields
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from transformers import PreTrainedTokenizerBase

from agents import pocket
from agents.hf import Row, load
from clarify_env.costs import Costs
from clarify_env.games.clarification.pretraining import demonstrations
from clarify_env.games.clarification.pretraining.chats import Demonstration
from clarify_env.tasks.base import Task
from trainers.learning.update import UpdateConfig, average, update, update_config
from trainers.runs import run as running
from trainers.runs.run import Run, command
from trainers.runs.store import read_json, save_model, write_json

# Demonstrations the tokenizer is trained on: enough to see every name many times.
_TOKENIZER_SAMPLE = 40_000
# What a stage may change of `update`.
_UPDATE = {field.name for field in fields(UpdateConfig)}


def pretrain(config: DictConfig, run: Run) -> None:
    """Draws demonstrations of every split, trains tokenizer and model on them, and saves an ordinary model folder.

    Each stage of ``pretrain.stages`` starts from the model that the one before has saved, so a killed run continues
    there. The weights of the last ``pretrain.average`` stages are averaged.
    """
    running.seed_everything(config.seed)
    _check_stages(config)
    task, cells = running.make_task_from(config), running.make_plane(config).train()
    target = Path(config.pretrain.output or run.dir / "model")
    if (target / "manifest.json").exists():
        if read_json(target / "manifest.json")["recipe"] != recipe(config, task, cells):
            raise ValueError(f"pretrain.output: {target} holds a model of another recipe; choose another folder")
        print(f"{target} is already built")
        return
    folder = config.pretrain.start
    if folder and not (Path(folder) / "manifest.json").exists():
        raise ValueError(f"pretrain.start: {folder} holds no pocket model with its manifest")
    for number, stage in enumerate(config.pretrain.stages):
        before, folder = folder, run.dir / f"stage-{number + 1}"
        if folder.exists():
            continue
        if before is None:
            sample = islice(stream(task, cells, stage, config.seed), min(_TOKENIZER_SAMPLE, stage.demonstrations))
            tokenizer = pocket.build_tokenizer(
                (text for d in sample for _, text in d.messages),
                config.pretrain.vocabulary,
                config.pretrain.get("whole", ()),
            )
            model = pocket.build_model(tokenizer, **config.pretrain.model)
        else:
            model, tokenizer = load(before)
        seed = config.seed + number
        advance, rows = run.bar(f"stage {number + 1}: encoding", stage.demonstrations, "demonstrations"), []
        encode = _Encoder(tokenizer)
        for demonstration in islice(stream(task, cells, stage, seed), stage.demonstrations):
            rows.append(encode(demonstration))
            if len(rows) % 1000 == 0:
                advance(1000)
        options = update_config({**config["update"], **{k: value for k, value in stage.items() if k in _UPDATE}})
        model = update(
            model,
            rows,
            options,
            seed=seed,
            pad=tokenizer.pad_token_id,
            report=run.steps(f"stage {number + 1}: pretraining", number + 1),
        )
        # Half precision halves what is shipped; loading casts it back.
        save_model(model.to(torch.float16), tokenizer, folder)
    count = len(config.pretrain.stages)
    last = [load(run.dir / f"stage-{n}") for n in range(count - config.pretrain.average + 1, count + 1)]
    save_model(average([model for model, _ in last]).to(torch.float16), last[0][1], target)
    write_json(target / "manifest.json", manifest(config, task, cells, target))
    run.progress.stop()
    print(f"saved {target}")


def _check_stages(config: DictConfig) -> None:
    for number, stage in enumerate(config.pretrain.stages, 1):
        if missing := {"demonstrations", "epochs", "learning_rate"} - set(stage):
            raise ValueError(f"pretrain.stages: stage {number} lacks {', '.join(sorted(missing))}")
        if unknown := set(stage) - {"demonstrations", "shares"} - _UPDATE:
            raise ValueError(f"pretrain.stages: stage {number} has no option {', '.join(sorted(unknown))}")
    if not 1 <= config.pretrain.average <= len(config.pretrain.stages):
        raise ValueError(f"pretrain.average must be from 1 to the number of stages, not {config.pretrain.average}")


def stream(task: Task, cells: tuple[Costs, ...], stage: DictConfig, seed: int) -> Iterator[Demonstration]:
    """The demonstrations of a stage, without end."""
    return demonstrations.stream(task, np.random.default_rng(seed), cells, stage.get("shares"))


class _Encoder:
    """Turns demonstrations into rows; messages repeat, so the last so many are remembered."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self.tokenizer = tokenizer
        self._text = lru_cache(maxsize=50_000)(self._text)

    def __call__(self, demonstration: Demonstration) -> Row:
        roles = [role for role, _ in demonstration.messages]
        first = roles.index("assistant") if demonstration.every else len(roles) - 1
        ids = [self._message(role, text) for role, text in demonstration.messages]
        prompt = (*(token for message in ids[:first] for token in message), ids[first][0])
        # Of a message, the role's token is no part of what is said.
        said = [
            (token, float(role == "assistant" and place > 0))
            for role, message in zip(roles[first:], ids[first:], strict=True)
            for place, token in enumerate(message)
        ][1:]
        lead = tuple(weight for _, weight in said) if demonstration.every else ()
        return Row(prompt, tuple(token for token, _ in said), lead=lead)

    def _message(self, role: str, text: str) -> tuple[int, ...]:
        return (self._id(role), *self._text(text), self.tokenizer.eos_token_id)

    def _id(self, role: str) -> int:
        return self.tokenizer.convert_tokens_to_ids(f"<|{role}|>")

    def _text(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def recipe(config: DictConfig, task: Task, cells: tuple[Costs, ...]) -> dict[str, Any]:
    """All that a pocket model follows from: config, and digests of what the first demonstrations of each stage say."""
    kept = {key: OmegaConf.to_container(config[key], resolve=True) for key in ("task", "costs", "pretrain", "update")}
    kept["pretrain"].pop("output")
    kept["pretrain"].pop("start")
    shown = [
        hashlib.sha256(
            json.dumps([list(d.messages) for d in islice(stream(task, cells, stage, config.seed), 1000)]).encode()
        ).hexdigest()
        for stage in config.pretrain.stages
    ]
    return kept | {"seed": config.seed, "task_version": task.version, "demonstrations": shown}


def manifest(config: DictConfig, task: Task, cells: tuple[Costs, ...], folder: Path) -> dict[str, Any]:
    """The recipe, the digest of the weights that came of it, and the manifest of what they were continued from."""
    weights = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    start = read_json(Path(config.pretrain.start) / "manifest.json") if config.pretrain.start else None
    return {"recipe": recipe(config, task, cells), "sha256": {"model.safetensors": weights}, "start": start}


main = command(pretrain)

if __name__ == "__main__":
    main()
