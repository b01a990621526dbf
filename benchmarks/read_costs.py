"""What a policy's choice of first action loses beyond the trained costs, and how much of it by misreading them.

``python benchmarks/read_costs.py MODEL``: a folder or hub id; on validation episodes of almanac, or as options say.
Each cost set is decided twice: as stated, and with the largest trained cost stated in place of any beyond it. A policy
that loses less by the second would do better not to read such numbers at all. The last column is what the oracle would
lose by that. Nothing is sampled: losses are expected under the probabilities of the tags, each action followed by the
best that can follow it, in per cent of what the oracle earns.
"""

import argparse

import numpy as np

from agents.example import Example
from agents.hf import HFAgent, load
from clarify_env import CostPlane, make_task
from clarify_env.costs import SETS, Costs
from clarify_env.games import find_game
from clarify_env.games.clarification.oracle import ACTIONS, solve
from clarify_env.tasks.base import Episode, Task


def tag_probabilities(agent: HFAgent, task: Task, episodes: list[Episode], prices: list[Costs]) -> np.ndarray:
    """Returns the probability of each action as the first, shape [episodes, prices, actions]."""
    game, distinct = find_game("clarification"), sorted(set(prices))
    tags = [agent.renderer.tokenize_reply(game.openings["assistant"][action])[:-1] for action in ACTIONS]
    prompts = [
        agent.renderer.encode(game.deal(task, episode, 0, costs).view("assistant"))
        for episode in episodes
        for costs in distinct
    ]
    logs = agent.sampler.logprobs([Example(prompt, tag) for prompt in prompts for tag in tags])
    odds = np.exp([sum(values) for values in logs]).reshape(len(episodes), len(distinct), len(tags))
    return (odds / odds.sum(2, keepdims=True))[:, [distinct.index(costs) for costs in prices]]


def lost(probabilities: np.ndarray, earned: np.ndarray) -> str:
    """Returns the expected loss in per cent of the best value; both arrays have shape [episodes, prices, actions]."""
    best = earned.max(2, keepdims=True)
    # An action that no plan begins with has next to no probability, and no value: left out.
    loss = probabilities * (best - np.where(np.isfinite(earned), earned, best))
    return f"{100 * loss.sum(2).mean() / best.mean():.1f} %"


def main() -> None:
    """Prints a line for each cost set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--split", choices=("train", "validation", "test"), default="validation")
    parser.add_argument("--episodes", type=int, default=100)
    options = parser.parse_args()
    task, plane = make_task("almanac"), CostPlane()
    episodes = [task.episode(options.split, i) for i in range(min(options.episodes, task.sizes[options.split]))]
    agent, solved = HFAgent(*load(options.model), style="pocket"), solve(task, episodes)
    print(f"{'costs':>14} {'as stated':>10} {'clamped':>10} {'oracle, clamped':>16}")
    for name in SETS:
        prices = list(plane.sets()[name])
        clamped = [Costs(min(c.alpha, plane.alpha[1]), min(c.beta, plane.beta[1])) for c in prices]
        earned, there = (np.stack([one.by_action(np.array(at)) for one in solved]) for at in (prices, clamped))
        stated, at_most = (lost(tag_probabilities(agent, task, episodes, at), earned) for at in (prices, clamped))
        oracle = lost(np.eye(len(ACTIONS))[there.argmax(2)], earned)
        print(f"{name:>14} {stated:>10} {at_most:>10} {oracle:>16}")


if __name__ == "__main__":
    main()
