"""Builds a pocket model for any task that offers demonstrations (docs/design.md).

``python -m trainers.pretrain task=almanac`` makes the shipped model. The demonstrations disregard the costs, so the
model knows the facts and can ask, list and guess, but does not know when.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agents import pocket
from agents.checks import is_folder
from agents.example import Example
from clarify_env.games.demonstration import Demonstration
from clarify_env.options import Rule, convert, defaults, field_types, option, read
from trainers.learning.options import UpdateOptions
from trainers.runs.command import command
from trainers.runs.experiment import Experiment
from trainers.runs.run import Run
from trainers.runs.store import read_json, save_model, write_json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Demonstrations for training the tokenizer: enough to contain every name many times.
_TOKENIZER_SAMPLE = 40_000
# Game of manifests that name none.
_FIRST_GAME = "clarification"
# File of a model's recipe in its folder.
MANIFEST = "manifest.json"
# Options of `update` that the first manifests do not hold.
_NEWER = ("least_steps", "runs", "tokens", "packed", "contexts", "layers", "checkpointing", "lengths")
# Options of `update` that a stage may change.
_UPDATE = set(field_types(UpdateOptions))
# Type and rule of each option of a stage.
_STAGE = {
    "demonstrations": (int, Rule(least=1, most=10**9)),
    "shares": (dict[str, Any] | None, Rule()),
    **field_types(UpdateOptions),
}


@dataclass(frozen=True)
class ModelOptions:
    """Sizes of a new pocket model (``pretrain.model.*``)."""

    width: int = option(128, least=1, most=65_536)
    """Width of the residual stream."""
    layers: int | list[str] = option(4, least=1, most=1024)
    """Number of a Llama's layers; or the kind of each layer of an LFM2, conv or full_attention."""
    heads: int = option(4, least=1, most=1024)
    """Attention heads."""
    kv_heads: int = option(1, least=1, most=1024)
    """Heads of keys and values."""
    feed_forward: int = option(384, least=1, most=1_000_000)
    """Inner width of the feed-forward blocks."""
    init: float | None = option(None, above=0, most=10)
    """Standard deviation of the initial weights; null: 0.02, at which convolutions of narrow layers hardly begin."""

    def __post_init__(self) -> None:
        if self.width % self.heads or self.heads % self.kv_heads:
            raise ValueError(
                f"pretrain.model.width={self.width} must be a multiple of heads={self.heads}, and that one of "
                f"kv_heads={self.kv_heads}"
            )
        if isinstance(self.layers, list) and (not self.layers or set(self.layers) - {"conv", "full_attention"}):
            kinds = ", ".join(self.layers) or "none"
            raise ValueError(
                f"pretrain.model.layers must be a number, or a list of conv and full_attention, not {kinds}"
            )


@dataclass(frozen=True)
class PretrainOptions:
    """What a pocket model is made of (``pretrain.*``)."""

    output: str | None = option(None)
    """Folder of the model, which may hold nothing else; null: in the run directory."""
    start: str | None = option(None)
    """Folder of a pocket model to continue from; null: a new model."""
    model: dict[str, Any] = option(defaults(ModelOptions))
    """Sizes of a new model: width, layers, heads, kv_heads and feed_forward; see `ModelOptions`."""
    stages: list[dict[str, Any]] = option([])
    """Stages of training: each has demonstrations, epochs, learning_rate, and may have shares and options of update."""
    average: int = option(1, least=1)
    """Last stages whose weights are averaged; 1: the last alone."""
    vocabulary: int = option(2600, least=1, most=10**7)
    """Most tokens of a new tokenizer, those of ``whole`` aside."""
    whole: list[str] = option([])
    """Texts that are one token each."""

    def __post_init__(self) -> None:
        model = read(ModelOptions, self.model, "pretrain.model")
        object.__setattr__(self, "model", dict(vars(model)))
        object.__setattr__(self, "stages", [_stage(stage, number) for number, stage in enumerate(self.stages, 1)])
        if not 1 <= self.average <= len(self.stages):
            raise ValueError(f"pretrain.average must be from 1 to the number of stages, not {self.average}")


def _stage(stage: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Returns a stage with its values converted to their types."""
    if missing := {"demonstrations", "epochs", "learning_rate"} - set(stage):
        raise ValueError(f"pretrain.stages: stage {number} lacks {', '.join(sorted(missing))}")
    if strange := set(stage) - set(_STAGE):
        raise ValueError(f"pretrain.stages: stage {number} has no option {', '.join(sorted(map(str, strange)))}")
    return {
        key: convert(f"pretrain.stages: stage {number}: {key}", value, *_STAGE[key]) for key, value in stage.items()
    }


def check(options: PretrainOptions) -> None:
    """Checks that the model to continue from is there, and that nothing stands where the new one will.

    Raises:
        ValueError: It is not, or something does.
    """
    if options.start and not _is_model(Path(options.start)):
        raise ValueError(f"pretrain.start: {options.start} holds no pocket model with its manifest")
    if options.output:
        check_output(Path(options.output))


def check_output(folder: Path) -> None:
    """Checks that a model may be saved as this folder, which replaces all that is in it.

    Raises:
        ValueError: It is a file, or holds files without the manifest of a pocket model.
    """
    if not folder.exists() or _is_model(folder):
        return
    if not is_folder(folder):
        raise ValueError(f"pretrain.output: {folder} is a file, not a folder")
    if any(folder.iterdir()):
        raise ValueError(
            f"pretrain.output: {folder} holds files that are no pocket model with its manifest, and the new model "
            "would replace them; choose an empty or a new folder"
        )


def _is_model(folder: Path) -> bool:
    return is_folder(folder) and (folder / MANIFEST).exists()


def pretrain(experiment: Experiment, options: PretrainOptions, update: UpdateOptions, run: Run) -> None:
    """Draws demonstrations of every split, trains tokenizer and model on them, and saves an ordinary model folder.

    Each stage of ``pretrain.stages`` starts from the model that the one before has saved, so a killed run continues
    there. The weights of the last ``pretrain.average`` stages are averaged.
    """
    from agents.hf import load  # torch and transformers take seconds to import
    from trainers.learning.update import average
    from trainers.learning.update import update as learn

    check(options)  # again: the run directory, which is there now, may be in the way
    updates = [stage_update(update, stage, number) for number, stage in enumerate(options.stages, 1)]
    target = Path(options.output or run.dir / "model")
    if _is_model(target):
        made_of = {"recipe": recipe(run.identity, experiment, options), "start": started_from(options)}
        built = read_json(target / MANIFEST)
        if any(built.get(key) != value for key, value in made_of.items()):
            raise ValueError(f"pretrain.output: {target} holds a model of another recipe; choose another folder")
        print(f"{target} is already built")
        return
    folder: str | Path | None = options.start
    for number, stage in enumerate(options.stages):
        before, folder = folder, run.dir / f"stage-{number + 1}"
        if folder.exists():
            continue
        count = stage["demonstrations"]
        if before is None:
            sample = islice(stream(experiment, stage, experiment.seed), min(_TOKENIZER_SAMPLE, count))
            texts = (text for d in sample for _, text in d.messages)
            tokenizer = pocket.build_tokenizer(texts, options.vocabulary, options.whole, tags(experiment))
            model = pocket.build_model(tokenizer, **options.model)
        else:
            model, tokenizer = load(before)
        seed = experiment.seed + number
        advance, examples = run.bar(f"stage {number + 1}: encoding", count, "demonstrations"), []
        encode = _Encoder(tokenizer)
        for demonstration in islice(stream(experiment, stage, seed), count):
            examples.append(encode(demonstration))
            if len(examples) % 1000 == 0:
                advance(1000)
        advance(len(examples) % 1000)
        model = learn(
            model,
            examples,
            updates[number],
            seed=seed,
            pad=tokenizer.pad_token_id,
            report=run.steps(f"stage {number + 1}: pretraining", number + 1),
        )
        # Half precision halves the size of the files; loading converts it to float32.
        save_model(model.half(), tokenizer, folder)
    count = len(options.stages)
    last = [load(run.dir / f"stage-{n}") for n in range(count - options.average + 1, count + 1)]
    check(options)  # again: files may have come into the folder while the model was trained
    model = average([model for model, _ in last]).half()
    manifest = partial(write_manifest, run.identity, experiment, options)
    save_model(model, last[0][1], target, add=manifest)
    run.progress.stop()
    print(f"saved {target}")


def stage_update(update: UpdateOptions, stage: Mapping[str, Any], number: int) -> UpdateOptions:
    """Returns the update options of a stage: ``update.*`` with the stage's changes."""
    changes = {key: value for key, value in stage.items() if key in _UPDATE}
    return read(UpdateOptions, asdict(update) | changes, f"pretrain.stages: stage {number}: update")


def stream(experiment: Experiment, stage: Mapping[str, Any], seed: int) -> Iterator[Demonstration]:
    """Yields the demonstrations of a stage, without end."""
    game, rng = experiment.setup.game, np.random.default_rng(seed)
    return game.pretraining(experiment.task, experiment.plane.train(), rng, stage.get("shares"))


def tags(experiment: Experiment) -> list[str]:
    """Returns the openings of the game's messages, each of which becomes one token."""
    openings = experiment.setup.game.openings.values()
    return list(dict.fromkeys(opening for by_kind in openings for opening in by_kind.values()))


class _Encoder:
    """Converts demonstrations into examples; caches the ids of messages, which repeat."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase"):
        self.tokenizer = tokenizer
        self._text = lru_cache(maxsize=50_000)(self._encode)

    def __call__(self, demonstration: Demonstration) -> Example:
        roles = [role for role, _ in demonstration.messages]
        first = roles.index("assistant") if demonstration.every else len(roles) - 1
        ids = [self._message(role, text) for role, text in demonstration.messages]
        prompt = (*(token for message in ids[:first] for token in message), ids[first][0])
        # (id, loss weight) of each reply token; the role's token carries no loss.
        weighted_ids = [
            (token, float(role == "assistant" and place > 0))
            for role, message in zip(roles[first:], ids[first:], strict=True)
            for place, token in enumerate(message)
        ][1:]
        first_weights = tuple(weight for _, weight in weighted_ids) if demonstration.every else ()
        return Example(prompt, tuple(token for token, _ in weighted_ids), first_weights=first_weights)

    def _message(self, role: str, text: str) -> tuple[int, ...]:
        return (self._id(role), *self._text(text), self.tokenizer.eos_token_id)

    def _id(self, role: str) -> int:
        return self.tokenizer.convert_tokens_to_ids(f"<|{role}|>")

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def recipe(config: Mapping[str, Any], experiment: Experiment, options: PretrainOptions) -> dict[str, Any]:
    """Returns what determines a pocket model: config, and digests of each stage's first demonstrations.

    Args:
        config: The resolved config.
        experiment: Task, cost plane and seed.
        options: Stages.
    """
    sections = {key: dict(config[key]) for key in ("task", "costs", "pretrain", "update")}
    for key in ("output", "start"):
        sections["pretrain"].pop(key)
    if experiment.setup.game.name != _FIRST_GAME:
        sections["game"] = dict(config["game"])
    # Leave out newer options at their defaults, so that manifests written before them stay valid.
    if not options.whole:
        sections["pretrain"].pop("whole", None)
    if options.model["init"] is None:
        sections["pretrain"]["model"] = {k: v for k, v in sections["pretrain"]["model"].items() if k != "init"}
    unchanged = defaults(UpdateOptions)
    for key in _NEWER:
        if sections["update"].get(key) == unchanged[key]:
            del sections["update"][key]
    digests = [
        hashlib.sha256(
            json.dumps([list(d.messages) for d in islice(stream(experiment, stage, experiment.seed), 1000)]).encode()
        ).hexdigest()
        for stage in options.stages
    ]
    more = {"seed": experiment.seed, "task_version": experiment.task.version, "demonstrations": digests}
    return sections | more


def started_from(options: PretrainOptions) -> Any:
    """Returns the manifest of the model that training starts from; ``None``: it starts from a new one."""
    return read_json(Path(options.start) / MANIFEST) if options.start else None


def write_manifest(config: Mapping[str, Any], experiment: Experiment, options: PretrainOptions, folder: Path) -> None:
    """Writes the recipe, the digest of the weights, and the manifest of the model that training started from."""
    weights = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    made_of = {"recipe": recipe(config, experiment, options), "sha256": {"model.safetensors": weights}}
    write_json(folder / MANIFEST, made_of | {"start": started_from(options)})


main = command(pretrain, check=check, learns=False, measures=False, plays=False)

if __name__ == "__main__":
    main()
