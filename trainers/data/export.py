"""Writes what a run played as a data set for other people's trainers."""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from clarify_env.data import rows
from trainers.data.preferences import check_pairs, preferences
from trainers.data.stored import StoredRun, open_run

# What a run can be exported to, and the format that each is for.
TO = {
    "completions": "TRL's conversational prompt and completion, with the reward: SFT",
    "preferences": "TRL's conversational preference pairs: DPO",
    "unpaired": "TRL's conversational unpaired preference: KTO",
    "tokens": "exact token ids with masks, tokenized already: SFT",
    "traces": "verifiers' results",
    "games": "whole games, which trainers.import reads",
}
FORMATS = ("jsonl", "parquet")
# Exports that are one file of JSON lines, not a data set of `datasets`.
LINES = ("traces", "games")
_NONE = "the run's games give no rows: no language model played these roles, or no game has a pair"


def export(
    run: str | Path | StoredRun,
    to: str = "completions",
    *,
    roles: Sequence[str] | None = None,
    threshold: float | None = None,
    seed: int = 0,
) -> Iterator[dict[str, Any]]:
    """Yields the rows of a run's games; ``datasets.Dataset.from_list(list(export(...)))`` is a data set.

    Args:
        run: The run, or its directory.
        to: A name in `TO`.
        roles: Roles whose messages are exported; ``None``: those that the run learned or measured.
        threshold: For ``unpaired``, lowest reward of a good message; ``None``: see `clarify_env.data.rows.export`. For
            ``preferences``, lowest score of a good result; ``None``: 0.9.
        seed: For ``preferences``, seed of the draws of other actions.

    Raises:
        ValueError: See `check_export`; or there is no such run.
    """
    stored = run if isinstance(run, StoredRun) else open_run(run)
    chosen = check_export(stored, to, roles)
    return _rows(stored, to, chosen, threshold, seed)


def check_export(run: StoredRun, to: str, roles: Sequence[str] | None) -> tuple[str, ...]:
    """Returns the roles whose messages are exported.

    Raises:
        ValueError: There is no such format or role, or the run's games have no pairs; the message names the option.
    """
    if to not in TO:
        raise ValueError(f"to must be one of {', '.join(TO)}, not {to!r}")
    chosen, setup = tuple(roles if roles is not None else run.experiment.learns), run.experiment.setup
    if not chosen or (strange := [role for role in chosen if role not in setup.game.roles]):
        named = strange[0] if chosen else "none"
        raise ValueError(f"roles: game {setup.game.name} has the roles {', '.join(setup.game.roles)}, not {named}")
    if to == "preferences":
        if len(chosen) != 1:
            raise ValueError(f"roles: pairs are of one role, not of {', '.join(chosen)}; choose one")
        first = next(run.games())[1]
        check_pairs(setup, chosen[0], first.turns[0].role)
    return chosen


def _rows(
    run: StoredRun, to: str, roles: tuple[str, ...], threshold: float | None, seed: int
) -> Iterator[dict[str, Any]]:
    setup, styles = run.experiment.setup, run.styles()
    games = (game for _, game in run.games())
    if to == "preferences":
        floor = 0.9 if threshold is None else threshold
        yield from preferences(setup, list(games), roles[0], styles, threshold=floor, seed=seed)
    elif to == "unpaired":  # which compares games
        yield from rows.export(setup, list(games), to, roles=roles, styles=styles, threshold=threshold)
    else:
        yield from rows.export(setup, games, to, roles=roles, styles=styles)


def write(records: Iterable[Mapping[str, Any]], folder: Path, to: str, format: str, about: str) -> tuple[Path, int]:
    """Writes rows to a folder: a data set with a file per split and a card, or one file of JSON lines.

    Files are written to a temporary name and renamed.

    Args:
        records: The rows.
        folder: The folder; it exists.
        to: A name in `TO`.
        format: ``jsonl`` or ``parquet``.
        about: First paragraph of the card.

    Returns:
        The file or folder of the data, and the number of rows.

    Raises:
        ValueError: There are no rows.
    """
    if to in LINES:
        path = folder / f"{to}.jsonl"
        count = _write_lines(path, records)
        if not count:
            path.unlink()
            raise ValueError(f"to={to}: {_NONE}")
        return path, count
    by_split: dict[str, list[Mapping[str, Any]]] = {}
    for row in records:
        by_split.setdefault(row["split"], []).append(row)
    if not by_split:
        raise ValueError(f"to={to}: {_NONE}")
    data, aside = folder / "data", folder / "data.part"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    save: Callable[[Path, list], Any] = _write_parquet if format == "parquet" else _write_lines
    for split, lines in by_split.items():
        save(aside / f"{split}.{format}", lines)
    shutil.rmtree(data, ignore_errors=True)
    aside.rename(data)
    (folder / "README.md").write_text(_card(by_split, to, format, about), encoding="utf-8")
    return data, sum(map(len, by_split.values()))


def _write_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> int:
    aside, count = path.with_name(path.name + ".part"), 0
    with aside.open("w", encoding="utf-8") as file:
        for row in lines:
            file.write(json.dumps(row, separators=(",", ":"), allow_nan=False) + "\n")
            count += 1
    aside.replace(path)
    return count


def _write_parquet(path: Path, lines: list[dict[str, Any]]) -> None:
    import pyarrow.parquet  # takes a second to import

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(lines), path)


def _card(by_split: Mapping[str, Sequence[Mapping[str, Any]]], to: str, format: str, about: str) -> str:
    """Returns the card of a data set, whose head tells ``datasets.load_dataset`` where the files are."""
    files = [line for split in by_split for line in (f"  - split: {split}", f"    path: data/{split}.{format}")]
    head = ["---", "configs:", f"- config_name: {to}", "  data_files:", *files, "---", ""]
    counts = ", ".join(f"{len(lines)} {split}" for split, lines in by_split.items())
    columns = ", ".join(f"`{name}`" for name in next(iter(by_split.values()))[0])
    body = [
        f"# Played games as {to}",
        "",
        about,
        "",
        f"Format: {TO[to]}. Rows: {counts}.",
        "",
        f"Columns: {columns}.",
        "",
    ]
    return "\n".join([*head, *body])
