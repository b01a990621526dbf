"""Rows a second of `agents.decode.decode` beside transformers' batched `generate`, in turn, on the same prompts.

``python benchmarks/decode_speed.py [MODEL]``: a folder or hub id; the shipped pocket model by default.
"""

import sys
import time

import numpy as np
import torch

from agents.decode import decode, left_pad
from agents.hf import HFAgent, load
from agents.pocket import SHIPPED
from clarify_env import CostPlane, make_task
from clarify_env.games import make_game

GROUPS, SAMPLES, NEW_TOKENS, ROUNDS = 64, 8, 32, 5


def main() -> None:
    """Prints the median rates and their ratio."""
    model, tokenizer = load(sys.argv[1] if len(sys.argv) > 1 else SHIPPED["almanac"])
    agent, task = HFAgent(model, tokenizer, style="pocket"), make_task("almanac")
    cells = CostPlane().train()
    prompts = [
        agent.encode(make_game("clarification", task, task.episode("train", i), 0, cells[i]).view("assistant"))
        for i in range(GROUPS)
    ]
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    rows = [i for i in range(GROUPS) for _ in range(SAMPLES)]
    ids, mask = left_pad(prompts, pad)

    def ours() -> None:
        decode(model, prompts, rows, [()] * len(rows), list(range(len(rows))), temperature=1.0,
               max_new_tokens=NEW_TOKENS, end=end, pad=pad)  # fmt: skip

    def theirs() -> None:
        with torch.inference_mode():
            model.generate(input_ids=ids, attention_mask=mask, do_sample=True, top_k=0, top_p=1.0, eos_token_id=end,
                           num_return_sequences=SAMPLES, max_new_tokens=NEW_TOKENS, pad_token_id=pad)  # fmt: skip

    seconds: dict[str, list[float]] = {"decode": [], "generate": []}
    for _ in range(ROUNDS):
        for name, run in (("decode", ours), ("generate", theirs)):
            begun = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begun)
    rates = {name: len(rows) / float(np.median(times)) for name, times in seconds.items()}
    print(", ".join(f"{name} {rate:,.0f} rows/s" for name, rate in rates.items()))
    print(f"ratio {rates['decode'] / rates['generate']:.2f} ({GROUPS} prompts x {SAMPLES} samples)")


if __name__ == "__main__":
    main()
