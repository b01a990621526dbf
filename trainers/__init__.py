"""Training and evaluation: one command per file, and the library of all commands."""

import gc
from pathlib import Path

from clarify_env.extras import require, require_neighbour

_NEEDS = """torch transformers tokenizers safetensors hydra omegaconf trl peft datasets accelerate matplotlib
jinja2 rich tensorboard filelock"""

require_neighbour("trainers", Path(__file__).parent, "agents")
require("trainers", tuple(_NEEDS.split()), extra="train")

# The imports of a command make half a million objects that stay: to look through them at every 700th would take a tenth
# of the time in which it shows its help or refuses a config.
gc.set_threshold(50_000, 10, 10)
