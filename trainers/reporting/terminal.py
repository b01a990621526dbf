"""Prints on stdout: text as it is, without markup, and tables whose columns are never cut."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

# Width at which a table outside a terminal is measured, in characters: no table is wider.
_WIDEST = 10_000


def console() -> Console:
    """Returns a console that prints text literally: brackets are no markup, and colons are no emoji."""
    return Console(markup=False, emoji=False, highlight=False)


def heading(text: str) -> Text:
    """Returns a text in bold."""
    return Text(text, style="bold")


def print_wide(table: Table) -> None:
    """Prints a table at its full width, so that a file, a pipe or a narrow terminal gets every column whole.

    Its title is printed on a line of its own: rich would break it at the width of the columns.
    """
    output = console()
    if table.title:
        output.print(heading(str(table.title)), soft_wrap=True)
    table.title = None
    width = output.measure(table, options=output.options.update(max_width=_WIDEST)).maximum
    output.width = max(width, output.width)
    output.print(table, crop=False)


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns the lines of a Markdown table; bars and line breaks inside cells are escaped."""
    lines = [columns, ["---"] * len(columns), *rows]
    return ["| " + " | ".join(map(_cell, line)) + " |" for line in lines]


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
