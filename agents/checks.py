"""Checks all that can be known of players before a model is loaded: strategies, styles, models, devices."""

import re
from collections.abc import Mapping
from pathlib import Path

from agents.gguf import check_gguf, is_gguf
from agents.kinds import scripted_name
from agents.models import model_path
from agents.options import HF, Options, Scripted
from agents.servers.options import Api, check_api
from clarify_env.games.description import Description

# Devices that are models' to run on, as torch names them.
_DEVICE = re.compile(r"(cpu|cuda|mps|xpu)(?::([0-9]+))?")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
# Characters of the longest name on the hub.
_LONGEST = 200
# Files of which a model's folder has one: of a whole model, or of its adapters.
_OF_MODELS = ("config.json", "adapter_config.json")


def check_players(
    blocks: Mapping[str, Options],
    game: Description,
    task: str,
    *,
    sections: Mapping[str, str] | None = None,
    styles: Mapping[str, str] | None = None,
) -> None:
    """Checks all that can be known of players before a model is loaded: kinds, strategies, models, devices, styles.

    Args:
        blocks: Options of each role, of a dataclass in `KINDS`.
        game: Description of the game.
        task: Name of the task.
        sections: Config section of each role's options, for errors; by default the role's name.
        styles: Option that sets the style of a role, for errors; by default ``style`` of its section.

    Raises:
        ValueError: An option cannot be; the message names it.
    """
    for role, options in blocks.items():
        section = (sections or {}).get(role, role)
        if isinstance(options, Scripted):
            scripted_name(role, options, game, section)
        elif isinstance(options, HF):
            check_style(options, game, (styles or {}).get(role, f"{section}.style"))
            check_model(options.model, task, f"{section}.model")
            check_device(options.device, f"{section}.device")
        elif isinstance(options, Api):
            check_api(options, section)
            check_style(options, game, (styles or {}).get(role, f"{section}.style"))
            if options.weights is not None:
                check_model(options.weights, task, f"{section}.weights")
                check_device(options.device, f"{section}.device")


def check_style(options: HF | Api, game: Description, option: str) -> None:
    """Checks that a game has the style of a language model.

    Raises:
        ValueError: It has not; where the model is the embedded one, the message says which assistant to choose.
    """
    style = options.style or game.default_style
    if style in game.styles:
        return
    if options.model == "pocket" and style == "pocket":
        raise ValueError(
            f"assistant=pocket, the embedded model, does not play game {game.name}: choose assistant=hf "
            "assistant.model=FOLDER_OR_HUB_ID, a chat model, or assistant=scripted"
        )
    raise ValueError(f"{option} must be one of {', '.join(game.styles)} in game {game.name}, not {style!r}")


def check_model(model: str, task: str, option: str) -> None:
    """Checks that a model is embedded, a folder with a model in it, or a name that a hub's model may have.

    Raises:
        ValueError: It is none of these; the message names the option.
    """
    path = Path(model_path(model, task, option))
    if is_gguf(path):
        check_gguf(path, option)
    elif is_folder(path):
        if not any((path / name).exists() for name in _OF_MODELS):
            raise ValueError(f"{option}: {str(path)!r} holds no model: it has no {_OF_MODELS[0]}")
    elif not may_be_model(model):
        raise ValueError(
            f"{option}: {model!r} is neither a folder that exists, nor a GGUF file, nor a hub id, as OWNER/NAME"
        )


def may_be_model(model: str) -> bool:
    """Returns whether a text is a folder that exists, or has the form of a hub id."""
    return is_folder(Path(model)) or (len(model) <= _LONGEST and _HUB_ID.fullmatch(model) is not None)


def is_folder(path: Path) -> bool:
    """Returns whether a path is a folder; no path that the system refuses is one."""
    try:
        return path.is_dir()
    except OSError:  # such as a name that is too long
        return False


def check_device(device: str | None, option: str) -> None:
    """Checks that a device exists here.

    Raises:
        ValueError: It does not; the message names the option.
    """
    if device in (None, "cpu"):
        return
    match = _DEVICE.fullmatch(device)
    if match is None:
        raise ValueError(f"{option} must be cpu, cuda, cuda:NUMBER, mps, xpu or null, not {device!r}")
    import torch  # takes seconds to import

    name, index = match[1], int(match[2] or 0)
    count = {
        "cpu": lambda: 1,
        "cuda": torch.cuda.device_count,
        "mps": lambda: int(torch.backends.mps.is_available()),
        "xpu": torch.xpu.device_count,
    }[name]()
    if index >= count:
        there = f"there {'is' if count == 1 else 'are'} {count} of {name} here" if count else f"there is no {name} here"
        raise ValueError(f"{option}={device}: {there}; null takes a GPU if there is one")
