"""The tokenizer of a server's model, for prompts by token ids; no weights are loaded."""

from pathlib import Path

from transformers import AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase

from clarify_env.plugins import described


def load_tokenizer(
    path: str | Path, *, revision: str | None, trust_remote_code: bool, option: str
) -> tuple[PreTrainedTokenizerBase, tuple[int, ...]]:
    """Loads a tokenizer, and reads the ids that end a text from the generation settings beside it.

    Args:
        path: Folder or hub id of the model.
        revision: Revision of the hub id; ``None``: the newest.
        trust_remote_code: Whether to run code that comes with the model.
        option: Name of the option that chose the path, for errors.

    Raises:
        ValueError: It cannot be loaded, or has no chat template.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, revision=revision, trust_remote_code=trust_remote_code)
    except Exception as error:  # whatever transformers, and code that comes with a tokenizer, raise
        reason = " ".join(str(error).split()).partition(". ")[0] or described(error)
        raise ValueError(f"{option}: cannot load the tokenizer of {str(path)!r}: {reason}") from error
    if not tokenizer.chat_template:
        raise ValueError(f"{option}: {str(path)!r} has no chat template, so it cannot take part in a chat")
    try:
        ends = GenerationConfig.from_pretrained(path, revision=revision).eos_token_id
    except OSError:  # a model need not have any
        ends = None
    return tokenizer, () if ends is None else (ends,) if isinstance(ends, int) else tuple(ends)
