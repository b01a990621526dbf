"""Makes a wheel of the games in tests/plugin, as their author's build tool would, and installs it."""

import subprocess
import sys
import zipfile
from pathlib import Path

SOURCE = Path(__file__).parent / "plugin"
ENTRY_POINTS = """[clarify_env.tasks]
objects = their_games.hints:Objects
trees = their_games.desk:Trees
[clarify_env.games]
hints = their_games.hints:Hints
desk = their_games.desk:Desk
"""


def install(folder: Path) -> Path:
    """Installs the package `their_games` and returns the folder to put on the path."""
    wheel, info = folder / "their_games-1.0-py3-none-any.whl", "their_games-1.0.dist-info"
    files = {f"their_games/{path.name}": path.read_text() for path in SOURCE.glob("*.py")}
    files["their_games/__init__.py"] = ""
    files[f"{info}/METADATA"] = "Metadata-Version: 2.1\nName: their-games\nVersion: 1.0\n"
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/entry_points.txt"] = ENTRY_POINTS
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    target = folder / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*pip, str(wheel)], check=True)
    return target
