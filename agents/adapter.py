"""Adapter folders (LoRA and its kin) as models: merged at load into the model that they were trained on."""

import json
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import cached_file
from transformers.utils.peft_utils import find_adapter_config_file

LOG = logging.getLogger("clarify_env.run.models")


class Adapter(NamedTuple):
    """An adapter, and the model that it belongs to.

    Attributes:
        path: Folder or hub id of the adapter.
        revision: Its revision; ``None``: the newest.
        base: Folder or hub id of its base model; the adapter's own folder if that holds both.
        base_revision: Revision of the base model; ``None``: the newest.
    """

    path: str
    revision: str | None
    base: str
    base_revision: str | None


def find_adapter(path: str | Path, revision: str | None) -> Adapter | None:
    """Returns the adapter in a folder or under a hub id; ``None``: there is none.

    Raises:
        ValueError: There is one, but it does not say what its base model is.
    """
    file = find_adapter_config_file(str(path), revision=revision)
    if file is None:
        return None
    try:
        values = json.loads(Path(file).read_text(encoding="utf-8"))
        base = values["base_model_name_or_path"]
    except (ValueError, KeyError, TypeError):
        base = None
    folder = Path(path)
    if (folder / "config.json").exists():
        base = str(path)
    elif not base:
        raise ValueError("it is an adapter, and its adapter_config.json does not name a base model")
    elif not Path(base).exists() and (folder / base).exists():
        base = str(folder / base)
    own = base == str(path)
    return Adapter(str(path), revision, base, revision if own else values.get("revision"))


def has_tokenizer(adapter: Adapter) -> bool:
    """Returns whether an adapter comes with a tokenizer of its own."""
    file = cached_file(
        adapter.path,
        "tokenizer_config.json",
        revision=adapter.revision,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return file is not None


@contextmanager
def without_adapter(adapter: Adapter) -> Iterator[str]:
    """Yields the path of the base model alone: transformers would add the adapter that lies in the same folder."""
    if adapter.base != adapter.path:
        yield adapter.base
        return
    with tempfile.TemporaryDirectory() as folder:
        for file in Path(adapter.base).resolve().iterdir():
            if not file.name.startswith("adapter_"):
                (Path(folder) / file.name).symlink_to(file)
        yield folder


def merge(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, adapter: Adapter) -> PreTrainedModel:
    """Merges an adapter into the weights of its base model; embeddings grow if the tokenizer has more tokens.

    Raises:
        ValueError: It cannot be merged: it is of another model, or of a kind that adds no weights (prompt tuning).
    """
    from peft import PeftModel  # only adapters need it

    if len(tokenizer) > model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(len(tokenizer))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Found missing adapter keys", UserWarning)
            adapted = PeftModel.from_pretrained(model, adapter.path, revision=adapter.revision)
            merged = adapted.merge_and_unload()
    except (UserWarning, RuntimeError, ValueError, AttributeError, TypeError) as error:
        raise ValueError(
            f"it is an adapter that cannot be merged into its base model {adapter.base!r}: {error}"
        ) from error
    LOG.info("the adapter %s was merged into its base model %s", adapter.path, adapter.base)
    return merged
