"""Who plays: scripted players, language models, and the self-play engine."""

from clarify_env.extras import require

require("agents", ("torch", "transformers", "tokenizers", "safetensors"), extra="train")
