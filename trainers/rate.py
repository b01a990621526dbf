"""Says how good a run's games are, for the least money: ``python -m trainers.rate run=RUN rater.kind=judge``.

A cheap rater rates games; the strong one rates those that a policy chooses, within a budget. A person rates in files
(``action=export``, ``action=import``) or at the terminal (``action=ask``); ``action=plan`` says what a budget buys. All
ratings stand in ``rating/ratings.jsonl`` of the run, and whatever was stopped goes on from there (docs/rating.md).
"""

import itertools
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clarify_env.options import option
from trainers.data.ratings import FORMATS, Ratings, form_items, read_form, typed_rating, write_form
from trainers.evaluation.closing import shown
from trainers.evaluation.items import Item, Study, open_study
from trainers.evaluation.raters import check_rating
from trainers.evaluation.rating import locked, plan_study, rate_study
from trainers.evaluation.rating_options import PERSON, CheapRaterOptions, RaterOptions, RatingOptions
from trainers.runs.command import command
from trainers.runs.run import Run
from trainers.runs.store import write_json, write_text

ACTIONS = ("estimate", "export", "import", "ask", "plan")
# Actions of a person who rates.
_BY_HAND = ("export", "import", "ask")
_HELP = "a number from 0 (wrong) to 1 (right), y for 1, n for 0, Enter to leave it for later, q to stop"


@dataclass(frozen=True)
class RateOptions:
    """What is rated, and what is done (the root of ``conf/rate.yaml``)."""

    run: str = option()
    """Run directory whose games are rated: those that its evaluation stored (rating.games), else all that it played."""
    action: str = option("estimate", choices=ACTIONS)
    """estimate; or export, import and ask for a person's ratings (file, filled file, terminal); or plan."""
    file: str | None = option(None)
    """Filled file that is imported, .csv or .jsonl."""
    format: str = option("csv", choices=FORMATS)
    """Format of the exported file."""
    most: int | None = option(None, least=1)
    """Most items of one exported file; null: all that wait."""
    reference: bool = option(True)
    """Whether the person is shown the right answer."""

    def __post_init__(self) -> None:
        if (self.file is not None) != (self.action == "import"):
            raise ValueError("file is the filled file of action=import, and of no other action")


def check(options: RateOptions, rater: RaterOptions, cheap_rater: CheapRaterOptions, rating: RatingOptions) -> None:
    """Checks run, raters and budget, and reads a filled file, before anything is written.

    Raises:
        ValueError: There is no such run, a rater cannot rate its games, or a file does not fit.
    """
    if rater.kind is None:
        raise ValueError("rater.kind must be the rater whose mean rating is estimated, not null")
    if options.action in _BY_HAND and rater.kind != PERSON:
        raise ValueError(f"action={options.action} is for rater.kind=person; rater.kind={rater.kind} rates by itself")
    study = open_study(options.run)
    if rating.games is not None and rating.games < len(study.entities):
        raise ValueError(
            f"rating.games={rating.games} is of the evaluation that stores games: {options.run} holds "
            f"{len(study.entities)}, all of which are rated"
        )
    policy_options, methods = study.run.experiment.policy_options, len(study.items)
    games, plans = len(study.entities), options.action == "plan"
    check_rating(rating, rater, cheap_rater, study.setup, policy_options, games, methods, plans)
    if rating.transfer is not None:
        open_study(rating.transfer, "rating.transfer")
        if Path(rating.transfer).resolve() == Path(options.run).resolve():
            raise ValueError("rating.transfer must be another run than run: errors are not learned where they are met")
    if options.file is not None:
        _filled(options.file, study)


def rate_run(
    options: RateOptions, rater: RaterOptions, cheap_rater: CheapRaterOptions, rating: RatingOptions, run: Run
) -> None:
    """Does what ``action`` says; each rating is on disk before the next is asked for."""
    study = open_study(options.run)
    with locked(study.folder):

        def waiting() -> list[Item]:
            """Returns the items that wait for the person, with all that can be rated without one rated."""
            advance = run.bar("rating", len(study.entities) * len(study.items), "ratings")
            return rate_study(study, rating, rater, cheap_rater, advance).pending

        if options.action == "export":
            _export(options, waiting(), study, run)
        elif options.action == "import":
            _import(options, rater, study, run)
        elif options.action == "ask":
            _ask(options, rater, study, run, waiting)
        elif options.action == "plan":
            _plan(study, rating, rater, cheap_rater, run)
        else:
            _estimate(study, rating, rater, cheap_rater, run)


def _estimate(study: Study, rating: RatingOptions, rater: RaterOptions, cheap: CheapRaterOptions, run: Run) -> None:
    from trainers.reporting.rating import markdown, print_rating  # matplotlib takes a second to import

    advance = run.bar("rating", len(study.entities) * len(study.items), "ratings")
    rated = rate_study(study, rating, rater, cheap, advance)
    if rated.report is None:
        raise ValueError(
            f"run: {len(rated.pending)} games of {study.folder.parent} wait for a person ({rated.stage}): "
            "action=export writes them to a file, action=ask asks for them here"
        )
    write_json(run.dir / "rating.json", {"run": str(study.folder.parent)} | rated.report)
    write_text(run.dir / "rating.md", markdown(rated.report))
    run.report = run.dir / "rating.md"
    run.progress.stop()
    print_rating(rated.report)


def _export(options: RateOptions, pending: Sequence[Item], study: Study, run: Run) -> None:
    """Writes the items that wait, blind and shuffled, to the next file ``items-N``; no file is ever written twice."""
    run.progress.stop()
    if not pending:
        print("nothing waits for a person: action=estimate gives the estimate")
        return
    chosen = sorted(item.id for item in pending[: options.most])  # identifiers are hashes: their order is random
    by_id = study.by_id()
    for number in itertools.count(1):
        path = run.dir / f"items-{number}.{options.format}"
        if not path.exists():
            write_form(path, [_row(by_id[name], study, options) for name in chosen])
        elif not _holds(path, chosen):
            continue
        run.report = path
        print(f"{len(chosen):,} items to rate; fill in the column rating with numbers from 0 to 1, then read it by")
        words = f"run={options.run}", "action=import", f"file={path}"
        print(f"python -m trainers.rate {shlex.join(words)}")
        return


def _holds(path: Path, items: Sequence[str]) -> bool:
    """Returns whether a file holds these items and no others; one that cannot be read does not."""
    try:
        return sorted(form_items(path)) == sorted(items)
    except ValueError:
        return False


def _row(item: Item, study: Study, options: RateOptions) -> dict[str, str]:
    row = {"item": item.id} | shown(study.setup, item.game)
    return row if options.reference else row | {"reference": ""}


def _filled(file: str, study: Study) -> tuple[dict[str, float], int]:
    path = Path(file)
    if not path.is_file():
        raise ValueError(f"file: {file} is no file")
    return read_form(path, study.by_id(), Ratings(study.folder).of(PERSON))


def _import(options: RateOptions, rater: RaterOptions, study: Study, run: Run) -> None:
    """Reads a filled file; ratings that are in the journal already are left alone, so it may be read again."""
    ratings, empty = _filled(str(options.file), study)
    journal = Ratings(study.folder)
    new = {item: rating for item, rating in ratings.items() if item not in journal.of(PERSON)}
    journal.add(PERSON, new, rater.price)
    run.report = journal.path
    run.progress.stop()
    print(f"{len(new):,} ratings read, {len(ratings) - len(new):,} known before, {empty:,} items not rated yet")


def _ask(options: RateOptions, rater: RaterOptions, study: Study, run: Run, waiting: Callable[[], list[Item]]) -> None:
    """Asks for ratings at the terminal until none waits; each is on disk before the next question."""
    journal, later = Ratings(study.folder), set[str]()
    run.report = journal.path
    while items := [item for item in waiting() if item.id not in later]:
        run.progress.stop()
        print(f"{len(items):,} items to rate: {_HELP}")
        for number, item in enumerate(sorted(items), 1):
            rating = _answered(_row(item, study, options), f"{number} of {len(items)}")
            if rating == "q":
                return
            if rating is None:
                later.add(item.id)
            else:
                journal.add(PERSON, {item.id: float(rating)}, rater.price)
    print("nothing more waits" + (f" but the {len(later):,} left for later" if later else ""))


def _printable(text: str) -> str:
    """Returns a text without what would steer the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def _answered(row: dict[str, str], title: str) -> str | float | None:
    """Returns a rating that was typed, ``None`` to leave the item for later, or ``q``."""
    print(f"\n--- {title}")
    for name in ("context", "question", "reference", "answer"):
        if row[name]:
            print(f"{name}: {_printable(row[name])}")
    while True:
        try:
            typed = input("rating: ").strip().lower()
        except EOFError:
            print()
            return "q"
        if typed in ("", "q"):
            return typed or None
        rating = typed_rating({"y": "1", "n": "0"}.get(typed, typed))
        if rating is not None:
            return rating
        print(f"not {typed!r} but {_HELP}", file=sys.stderr)


def _plan(study: Study, rating: RatingOptions, rater: RaterOptions, cheap: CheapRaterOptions, run: Run) -> None:
    from trainers.reporting.figures import save_png
    from trainers.reporting.rating import draw_plan, plan_rows
    from trainers.reporting.terminal import markdown_table

    planned = plan_study(study, rating, rater, cheap)
    title = f"Width of the {100 * rating.confidence:g} % interval by budget and policy of sampling"
    lines = [title, "", *markdown_table(*plan_rows(planned))]
    write_json(
        run.dir / "plan.json",
        {"budgets": planned.budgets.tolist(), "widths": {name: w.tolist() for name, w in planned.widths.items()}},
    )
    save_png(draw_plan(planned), run.dir / "plan.png")
    write_text(run.dir / "plan.md", "\n".join([*lines, ""]))
    run.report = run.dir / "plan.md"
    run.progress.stop()
    print("\n".join(lines))


main: Any = command(rate_run, check=check, learns=False, measures=False, root=True)

if __name__ == "__main__":
    main()
