"""The models of `benchmarks/gpu.py`: SmolLM2, and random weights in Qwen3's shapes; what a step reads and computes."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase, Qwen3Config

from agents.gguf import SMOLLM2, dequantised, is_gguf, smollm2_file
from agents.hf import load
from agents.pocket import SHIPPED

# Published shapes of Qwen3: width, inner width, layers, heads, tied embeddings; 8 key-value heads of 128.
QWEN3 = {
    "0.6B": (1024, 3072, 28, 16, True),
    "4B": (2560, 9728, 36, 32, True),
    "8B": (4096, 12288, 36, 32, False),
}
SIZES = (SMOLLM2, *QWEN3, "tiny")


def make(size: str, path: str | None, device: torch.device) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Loads SmolLM2, or makes random weights of a size on the device."""
    if size == SMOLLM2:
        source = path or str(smollm2_file("--model"))
        folder = dequantised(Path(source), "--model") if is_gguf(source) else source
        return load(folder, device=str(device), option="--model")
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED["ledger"])
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(shape(size, len(tokenizer)), dtype=dtype_on(device))
    return model.eval(), tokenizer


def shape(size: str, vocabulary: int) -> Qwen3Config:
    """Returns the config of a size; ``tiny`` has the given vocabulary."""
    if size == "tiny":
        return Qwen3Config(
            vocab_size=vocabulary,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            tie_word_embeddings=True,
        )
    width, inner, layers, heads, tied = QWEN3[size]
    return Qwen3Config(
        vocab_size=151_936,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=8,
        head_dim=128,
        tie_word_embeddings=tied,
        max_position_embeddings=40_960,
    )


def dtype_on(device: torch.device) -> torch.dtype:
    """Returns the dtype of random weights on a device."""
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def parameters_of(size: str) -> int:
    """Returns the number of weights of a size, without making them."""
    if size == SMOLLM2:
        return 135_000_000
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(shape(size, 1000)).num_parameters()


def weights_read(model: PreTrainedModel) -> int:
    """Returns the bytes of the weights that a step of decoding reads: all but an embedding that is no output head."""
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    return sum(weight.nbytes for weight in model.parameters() if weight is head or weight is not embedding)


def cache_bytes(model: PreTrainedModel) -> int:
    """Returns the bytes of keys and values of one token of one row."""
    config = model.config
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * config.num_hidden_layers * config.num_key_value_heads * width * model.dtype.itemsize


def computing_weights(model: PreTrainedModel, loss_share: float) -> float:
    """Returns N of the MFU: the weights of the layers, and of the head by the share of tokens that have loss."""
    tables = {id(part.weight) for part in (model.get_input_embeddings(), model.get_output_embeddings())}
    layers = sum(weight.numel() for weight in model.parameters() if id(weight) not in tables)
    return layers + loss_share * model.get_output_embeddings().weight.numel()
