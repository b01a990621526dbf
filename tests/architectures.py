"""Architectures of transformers as tiny models with random weights, and what is known of each (docs/models.md).

A row: model type, options beside `COMMON`, the way its batches are made (`agents.batching.Batching.way`), and whether
its length is fixed by a table of positions.
"""

from typing import Any, NamedTuple

import torch
from transformers import AutoConfig, AutoModelForCausalLM

# Options of all configs that have them. Weights are spread wide, so that no argmax is a tie.
COMMON = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,
    # of mixtures of experts
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "moe_num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "shared_expert_intermediate_size": 24,
    "n_shared_experts": 1,
    "n_group": 1,
    "topk_group": 1,
    # of recurrent layers
    "state_size": 8,
    "mamba_n_heads": 4,
    "mamba_d_head": 16,
    "mamba_d_state": 8,
    "mamba_n_groups": 1,
    "mamba_num_heads": 4,
    "mamba_head_dim": 16,
    "ssm_state_size": 8,
    "chunk_size": 16,
    "mamba_chunk_size": 16,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    # of compressed keys and values
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "sliding_window": 8,
}


class Architecture(NamedTuple):
    """What is known of an architecture; see the module."""

    model_type: str
    options: dict[str, Any] = {}
    way: str = "shared"
    fixed: bool = False
    label: str = ""

    @property
    def name(self) -> str:
        """Model type, with what is special of a second row."""
        return f"{self.model_type} {self.label}".strip()


A = Architecture
HYBRID = {"num_hidden_layers": 2, "layer_types": ["linear_attention", "full_attention"]}
ARCHITECTURES = (
    A("afmoe", way="padded"),
    A("apertus"),
    A("arcee"),
    A("bamba", {"attn_layer_indices": [1]}, "padded"),
    A("biogpt", fixed=True),
    A("bloom"),
    A("codegen", {"rotary_dim": 4}, fixed=True),
    A("cohere"),
    A("cohere2", way="padded"),
    A("ctrl", {"dff": 48}, fixed=True),
    A("deepseek_v2", {"num_key_value_heads": 4}),
    A("deepseek_v3", {"num_key_value_heads": 4}),
    A("diffllama"),
    A("doge", way="padded"),
    A("dots1"),
    A("ernie4_5"),
    A("ernie4_5_moe"),
    A("exaone4", way="padded"),
    A("falcon"),
    A("falcon", {"alibi": True}, label="ALiBi"),
    A("falcon_h1", {"mamba_d_ssm": 64}, "padded"),
    A("falcon_mamba", way="padded"),
    A("flex_olmo"),
    A("gemma", {"head_dim": 8}),
    A("gemma2", {"head_dim": 8}, "padded"),
    A("gemma3_text", {"head_dim": 8}, "padded"),
    A("glm", {"head_dim": 8}),
    A("glm4", {"head_dim": 8}),
    A("glm4_moe", {"head_dim": 8}),
    A("gpt2", fixed=True),
    A("gpt_bigcode", fixed=True),
    A("gpt_neo", {"attention_types": [[["global", "local"], 1]], "window_size": 4}, "padded", fixed=True),
    A("gpt_neox"),
    A("gpt_oss", {"head_dim": 8}, "padded"),
    A("gptj", {"rotary_dim": 4}, fixed=True),
    A("granite"),
    A("granitemoe"),
    A("granitemoehybrid", {"layer_types": ["mamba", "attention"]}, "padded"),
    A("granitemoeshared"),
    A("helium", {"head_dim": 8}),
    A("hunyuan_v1_dense", {"head_dim": 8}),
    A("jamba", {"attn_layer_period": 2, "attn_layer_offset": 1}, "padded"),
    A("jetmoe", {"kv_channels": 8}),
    A("lfm2", {"layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False}, "padded"),
    A("llama"),
    A("llama4_text", {"head_dim": 8}, "padded"),
    A("mamba", way="padded"),
    A("mamba2", {"num_heads": 4, "head_dim": 16, "n_groups": 1, "chunk_size": 16}, "padded"),
    A("minicpm3", {"num_key_value_heads": 4}),
    A("minimax", {"head_dim": 8, **HYBRID}, "recomputed"),
    A("ministral", {"head_dim": 8}, "padded"),
    A("mistral", way="padded"),
    A("mixtral", way="padded"),
    A("mpt", {"max_seq_len": 128}, "padded", fixed=True),
    A("nanochat"),
    A("nemotron", {"head_dim": 8}),
    A("nemotron_h", {"layers_block_type": ["mamba", "attention"], "head_dim": 8, "n_groups": 1}, "padded"),
    A("olmo"),
    A("olmo2"),
    A("olmo3", way="padded"),
    A("olmo_hybrid", HYBRID, "padded"),
    A("olmoe"),
    A("openai-gpt", way="recomputed", fixed=True),
    A("opt", {"ffn_dim": 48, "word_embed_proj_dim": 32}, fixed=True),
    A("persimmon"),
    A("phi"),
    A("phi3", {"pad_token_id": 0}, "padded"),
    A("phimoe", way="padded"),
    A("qwen2"),
    A("qwen2_moe"),
    A("qwen3", {"head_dim": 8}),
    A("qwen3_moe", {"head_dim": 8}),
    A("qwen3_next", {"head_dim": 8, **HYBRID}, "padded"),
    A("recurrent_gemma", {"num_hidden_layers": 3, "lru_width": 32, "attention_window_size": 8}, "recomputed"),
    A("rwkv", {"attention_hidden_size": 32}, "recomputed"),
    A("seed_oss", {"head_dim": 8}),
    A("smollm3"),
    A("stablelm"),
    A("starcoder2", way="padded"),
    A("vaultgemma", {"head_dim": 8}, "padded"),
    A("xglm", {"attention_heads": 4, "num_layers": 2, "d_model": 32, "ffn_dim": 48}),
)
# A few that stand for all in quick tests: learned and rotary positions, ALiBi, recurrent states, no cache.
QUICK = ("gpt2", "mamba")


def build(architecture: Architecture, vocabulary: int, end: int = 1, pad: int = 0) -> torch.nn.Module:
    """Makes a model with random weights."""
    known = AutoConfig.for_model(architecture.model_type)
    options = {name: value for name, value in COMMON.items() if hasattr(known, name)}
    tokens = {"vocab_size": vocabulary, "eos_token_id": end, "pad_token_id": pad, "bos_token_id": end}
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        config = AutoConfig.for_model(architecture.model_type, **options | tokens | architecture.options)
        return AutoModelForCausalLM.from_config(config).eval()
