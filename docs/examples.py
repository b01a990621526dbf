"""``python docs/examples.py``: runs the commands that the pages under ``docs/tasks`` show and writes what they print.

What a command printed stands below it, in a block of the language ``text``. Data sets that are not ours are read from
the folder in the environment variable ``CLARIFY_DATA``; a page whose file is not there is left as it is.
"""

import contextlib
import io
import os
import re
import sys
from pathlib import Path

from clarify_env.games.clarification import __main__ as oracle_map
from clarify_env.tasks import __main__ as tasks

PAGES = Path(__file__).parent / "tasks"
SHOWN = re.compile(r"```sh\n\.venv/bin/python -m (?P<command>[^\n]+)\n```\n\n```text\n(?P<text>.*?)```\n", re.DOTALL)
COMMANDS = {"clarify_env.tasks": tasks.main, "clarify_env.games.clarification": oracle_map.main}
# What stands for a file in a command, and where the file is among the data sets.
FILES = {
    "DEV_LIGHT_JSON": "ambignq_light/dev_light.json",
    "PACIFIC_JSON": "pacific/validation.json",
    "ABGCOQA_JSON": "abg_coqa/coqa_abg_val.json",
}


def printed(command: str) -> str | None:
    """What a command prints now; ``None`` where its file is not at hand."""
    name, *arguments = command.split()
    data = Path(os.environ.get("CLARIFY_DATA", Path(__file__).parents[2] / "shared" / "data"))
    paths = {stand_in: str(data / file) for stand_in, file in FILES.items() if stand_in in command}
    if not all(Path(path).exists() for path in paths.values()):
        return None
    for stand_in, path in paths.items():
        arguments = [argument.replace(stand_in, path) for argument in arguments]
    said, failed = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(failed):
        code = COMMANDS[name](arguments)
    if code:
        raise ValueError(f"{command}: {failed.getvalue().strip()}")
    text = said.getvalue()
    for stand_in, path in paths.items():
        text = text.replace(path, stand_in)
    return "".join(line.rstrip() + "\n" for line in text.splitlines())


def renewed(page: str) -> str:
    """A page with what its commands print now."""

    def block(match: re.Match) -> str:
        text = printed(match["command"])
        return match[0] if text is None else match[0].replace(f"```text\n{match['text']}```", f"```text\n{text}```")

    return SHOWN.sub(block, page)


def main() -> int:
    """Writes every page anew."""
    for path in sorted(PAGES.glob("*.md")):
        path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
