"""Where the config groups lie: at the top of a checkout, or inside the installed package."""

from pathlib import Path

_HERE = Path(__file__).resolve().parents[1]
CONF = _HERE / "conf" if (_HERE / "conf").is_dir() else _HERE.parent / "conf"
