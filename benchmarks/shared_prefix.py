"""Tokens computed and seconds with prefixes shared and without, in learning and in evaluation, in one run.

* Learning: one step on hindsight examples of ``ledger``, each training episode's best messages at 60 training costs, in
  the packed form (`trainers.learning.packing`) and in the plain form. Losses and gradients are compared.
* Learning, tokens alone: the same of ``pacific``, whose contexts are longer, if its file is given.
* Evaluation: greedy games of ``ledger`` at the 20 costs of the set *between*, with prefixes shared and without. The
  messages are compared.

``python benchmarks/shared_prefix.py [--model MODEL] [--pacific FILE] [--train EPISODES] [--test EPISODES]``: MODEL is
a folder, a GGUF file or ``smollm2`` (default). Messages of an evaluation are as long as the model makes them: give a
model after its warm start (`trainers.sft`), since one that does not end its messages decodes ``--reply`` tokens each.
``--layers N`` keeps the first N layers alone, which takes less time and leaves the ratios about as they are.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from agents import decode as decoding
from agents import gguf
from agents.example import Example
from agents.hf import HFAgent, load
from agents.render import Renderer
from agents.selfplay import Start, play
from clarify_env import CostPlane, make_task
from clarify_env.evaluation.played import Played, play_all
from clarify_env.games import find_game
from clarify_env.games.clarification.strategies import ScriptedAssistant
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.games.setup import Setup
from clarify_env.tasks.base import Task
from trainers.learning.options import UpdateOptions
from trainers.learning.packing import gain, pack
from trainers.learning.trainer import Form, loss_terms
from trainers.learning.update import trainable

COSTS, STYLE = 60, "natural"
PLANE = CostPlane(alpha=(0.15, 0.62), beta=(0.022, 0.052), values=40, steps=(0.01, 0.001))
# As conf/sft.yaml, on the upper two fifths of the layers.
UPDATE, UPPER = UpdateOptions(lora_rank=16), 0.4


class Measured(NamedTuple):
    """What one of the two forms takes.

    Attributes:
        tokens: Tokens computed, padding included.
        seconds: Wall-clock seconds.
        cpu: Processor seconds, which other processes do not change.
        value: What it computes.
    """

    tokens: int
    seconds: float
    cpu: float
    value: Any


def timed(run: Callable[[], tuple[int, Any]]) -> Measured:
    """Runs a function that returns the number of tokens computed and a value."""
    wall, cpu = time.perf_counter(), time.process_time()
    tokens, value = run()
    return Measured(tokens, time.perf_counter() - wall, time.process_time() - cpu, value)


def compare(what: str, shared: Measured, plain: Measured) -> None:
    """Prints what both forms take, and the ratios."""
    for name, form in (("shared", shared), ("plain", plain)):
        print(f"{what}, {name}: {form.tokens:,} tokens, {form.seconds:.1f} s, {form.cpu:.1f} s of processor")
    fewer, faster, cpu = (before / after for before, after in zip(plain[:3], shared[:3], strict=True))
    print(f"  {fewer:.1f} times fewer tokens, {faster:.1f} times faster ({cpu:.1f} by processor time)", flush=True)


def hindsight(task: Task, renderer: Renderer, episodes: int, costs: int = COSTS) -> list[Example]:
    """Returns the oracle's messages on training episodes, each at ``costs`` training costs, as ReST learns them."""
    setup, rng, examples = Setup(find_game("clarification"), task, {}), np.random.default_rng(0), []
    agents = {"assistant": ScriptedAssistant(task, "oracle"), "user": ScriptedUser(task)}
    for index in range(episodes):
        episode = task.episode("train", index)
        weights = setup.weights(episode)
        starts = [
            Start(episode, int(rng.choice(len(weights), p=weights)), prices, seed)
            for seed, prices in enumerate(PLANE.draw(costs, rng))
        ]
        for game in play(starts, agents, task=task):
            examples += [
                Example(renderer.encode(turn.view), renderer.tokenize_reply(turn.reply.text or ""))
                for turn in game.moves(["assistant"])
            ]
    return examples


def learned(model: torch.nn.Module, examples: Sequence[Example], form: Form) -> tuple[int, tuple[float, torch.Tensor]]:
    """Computes loss and gradients of a step in the parts that the trainer would make; returns tokens and both."""
    model.zero_grad()
    parts, total, loss, tokens = form.parts(examples, UPDATE.tokens), sum(map(loss_terms, examples)), 0.0, 0
    for part in parts:
        value = form.loss(model, part, torch.device("cpu")) * (sum(map(loss_terms, part)) / total)
        value.backward()
        loss += value.item()
        longest = max(len(example.prompt_ids) + len(example.ids) for example in part)
        tokens += len(pack(part).ids) if form.packed else len(part) * longest
    gradients = [weight.grad.flatten() for weight in model.parameters() if weight.grad is not None]
    return tokens, (loss, torch.cat(gradients))


def learning(model: Any, renderer: Renderer, episodes: int) -> None:
    """Prints what a step on the examples of some episodes of ledger takes in both forms."""
    torch.manual_seed(0)
    model = trainable(model, replace(UPDATE, layers=max(1, round(UPPER * model.config.num_hidden_layers))))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.02)  # it is 0 at the start, and with it most gradients
    padded = Form(renderer.pad_id, "left")
    for index, examples in enumerate(by_episode(hindsight(make_task("ledger"), renderer, episodes), episodes)):
        shared = timed(lambda rows=examples: learned(model, rows, padded._replace(packed=True)))
        plain = timed(lambda rows=examples: learned(model, rows, padded))
        compare(f"learning, ledger, episode {index}, {len(examples)} examples", shared, plain)
        difference = (shared.value[1] - plain.value[1]).abs().max().item()
        print(
            f"  losses {shared.value[0]:.6f} and {plain.value[0]:.6f}; gradients differ by {difference:.1e} at most, "
            f"of {plain.value[1].abs().max().item():.1e}",
            flush=True,
        )


def by_episode(examples: Sequence[Example], episodes: int) -> list[list[Example]]:
    """Splits examples into as many runs of neighbours as there are episodes, about."""
    size = -(-len(examples) // episodes)
    return [list(examples[start : start + size]) for start in range(0, len(examples), size)]


def evaluated(setup: Setup, agent: HFAgent, episodes: int) -> tuple[int, Played]:
    """Plays some test episodes at the costs of the set *between*; returns tokens computed and the games."""
    model, tokens = agent.sampler.model, 0

    def count(module: torch.nn.Module, args: tuple, inputs: dict[str, Any]) -> None:
        nonlocal tokens
        tokens += inputs["input_ids"].numel()

    hook = model.register_forward_pre_hook(count, with_kwargs=True)
    chosen = [setup.task.episode("test", index) for index in range(episodes)]
    agents = {"assistant": agent, "user": ScriptedUser(setup.task)}
    prices = PLANE.sets()["between"]
    played = play_all(
        setup, chosen, prices, agents, ["assistant"], seed=0, chunk=1024, sample=len(chosen) * len(prices)
    )
    hook.remove()
    return tokens, played


def evaluation(agent: HFAgent, episodes: int) -> None:
    """Prints what an evaluation on ledger takes with shared prefixes and without."""
    setup = Setup(find_game("clarification"), make_task("ledger"), {})
    shared = timed(lambda: evaluated(setup, agent, episodes))
    share, decoding._SHARED_AT = decoding._SHARED_AT, 2.0
    plain = timed(lambda: evaluated(setup, agent, episodes))
    decoding._SHARED_AT = share
    compare(f"evaluation, ledger, {episodes} episodes at {len(PLANE.sets()['between'])} costs", shared, plain)
    texts = [[turn.reply.text for game, _ in run.value.transcripts for turn in game.turns] for run in (shared, plain)]
    equal = np.mean([one == other for one, other in zip(*texts, strict=True)]) if len(texts[0]) == len(texts[1]) else 0
    print(f"  {equal:.1%} of {len(texts[0])} messages are the same", flush=True)


def main() -> None:
    """Prints all comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=gguf.SMOLLM2)
    parser.add_argument("--pacific", type=Path)
    parser.add_argument("--train", type=int, default=2)
    parser.add_argument("--test", type=int, default=10)
    parser.add_argument("--reply", type=int, default=48)
    parser.add_argument("--layers", type=int)
    options = parser.parse_args()
    path = options.model
    if path == gguf.SMOLLM2 or gguf.is_gguf(path):
        path = gguf.dequantised(gguf.smollm2_file() if path == gguf.SMOLLM2 else Path(path))
    model, tokenizer = load(path, device="cpu")
    if options.layers:
        model.model.layers, model.config.num_hidden_layers = model.model.layers[: options.layers], options.layers
        if types := getattr(model.config, "layer_types", None):
            model.config.layer_types = types[: options.layers]
    agent = HFAgent(model, tokenizer, style=STYLE, temperature=0.0, max_new_tokens=options.reply)
    for name, arguments in (("ledger", {}), ("pacific", {"path": str(options.pacific)})):
        if name == "ledger" or options.pacific:
            tokens, nodes = gain(hindsight(make_task(name, **arguments), agent.renderer, 5))
            print(f"learning, {name}, 5 episodes: {nodes:,} of {tokens:,} tokens, {tokens / nodes:.1f} times fewer")
    if options.test:
        evaluation(agent, options.test)
    if options.train:
        learning(model, agent.renderer, options.train)


if __name__ == "__main__":
    main()
