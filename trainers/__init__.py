"""Training and evaluation: one command per file, and the library of all commands."""

from pathlib import Path

from clarify_env.extras import require, require_neighbour

_NEEDS = """torch transformers tokenizers safetensors hydra omegaconf trl peft datasets accelerate matplotlib
jinja2 rich tensorboard filelock"""

require_neighbour("trainers", Path(__file__).parent, "agents")
require("trainers", tuple(_NEEDS.split()), extra="train")
