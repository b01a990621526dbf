"""Rows a second of `agents.decode.decode`, in turn with what it could do without, on the same prompts.

The same prompts for many samples, beside transformers' batched `generate`; and the prompts of an evaluation, the same
episodes at many costs, beside itself reading each prompt in full, shared beginnings included.

``python benchmarks/decode_speed.py [MODEL]``: a folder or hub id; the shipped pocket model by default.
"""

import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from agents import decode as decoding
from agents.decode import decode, left_pad
from agents.hf import HFAgent, load
from agents.pocket import SHIPPED
from clarify_env import CostPlane, Costs, make_task
from clarify_env.games import find_game

GROUPS, SAMPLES, NEW_TOKENS, ROUNDS = 64, 8, 32, 5
EPISODES = 25


def compare(what: str, rows: int, first: Callable[[], None], second: Callable[[], None]) -> None:
    """Prints the median rates of two functions and their ratio."""
    seconds: dict[str, list[float]] = {first.__name__: [], second.__name__: []}
    for _ in range(ROUNDS):
        for run in (first, second):
            begun = time.perf_counter()
            run()
            seconds[run.__name__].append(time.perf_counter() - begun)
    rates = [rows / float(np.median(times)) for times in seconds.values()]
    named = ", ".join(f"{name} {rate:,.0f} rows/s" for name, rate in zip(seconds, rates, strict=True))
    print(f"{what}: {named}; ratio {rates[0] / rates[1]:.2f}")


def main() -> None:
    """Prints both comparisons."""
    model, tokenizer = load(sys.argv[1] if len(sys.argv) > 1 else SHIPPED["almanac"])
    agent, task, plane = HFAgent(model, tokenizer, style="pocket"), make_task("almanac"), CostPlane()
    game, end, pad = find_game("clarification"), tokenizer.eos_token_id, tokenizer.pad_token_id

    def prompt(index: int, costs: Costs) -> tuple[int, ...]:
        return agent.renderer.encode(game.deal(task, task.episode("train", index), 0, costs).view("assistant"))

    def decoded(prompts: Sequence[Sequence[int]], rows: Sequence[int]) -> None:
        decode(
            model,
            prompts,
            rows,
            [()] * len(rows),
            list(range(len(rows))),
            temperature=1.0,
            max_new_tokens=NEW_TOKENS,
            end=end,
            pad=pad,
        )

    sampled = [prompt(i, costs) for i, costs in enumerate(plane.train()[:GROUPS])]
    rows = [i for i in range(GROUPS) for _ in range(SAMPLES)]
    ids, mask = left_pad(sampled, pad)

    def ours() -> None:
        decoded(sampled, rows)

    def generate() -> None:
        with torch.inference_mode():
            model.generate(
                input_ids=ids,
                attention_mask=mask,
                do_sample=True,
                top_k=0,
                top_p=1.0,
                eos_token_id=end,
                num_return_sequences=SAMPLES,
                max_new_tokens=NEW_TOKENS,
                pad_token_id=pad,
            )

    compare(f"{GROUPS} prompts x {SAMPLES} samples", len(rows), ours, generate)
    evaluated = [prompt(i, costs) for i in range(EPISODES) for costs in plane.sets()["between"]]
    share = decoding._SHARED_AT

    def shared() -> None:
        decoded(evaluated, range(len(evaluated)))

    def in_full() -> None:
        decoding._SHARED_AT = 2.0
        decoded(evaluated, range(len(evaluated)))
        decoding._SHARED_AT = share

    compare(f"{EPISODES} episodes x {len(plane.sets()['between'])} costs", len(evaluated), shared, in_full)


if __name__ == "__main__":
    main()
