"""What a policy's choice of first action loses beyond the trained costs, and how much of it by misreading them.

``python benchmarks/read_costs.py MODEL``: a folder or hub id; on validation questions of almanac, or as options say.
Each cost set is decided twice: as stated, and with the largest trained cost stated in place of any beyond it. A policy
that loses less by the second would do better not to read such numbers at all. The last column is what the oracle would
lose by that. Nothing is sampled: losses are expected under the probabilities of the tags, each action followed by the
best that can follow it, in per cent of what the oracle earns.
"""

import argparse

import numpy as np

from agents.hf import HFAgent, Row, load
from clarify_env import CostPlane, make_task
from clarify_env.costs import SETS, Costs
from clarify_env.games import make_game
from clarify_env.games.clarification.oracle import ACTIONS, solve
from clarify_env.tasks.base import Episode, Task
from trainers.rollouts.sample import TAG_OF


def tag_probabilities(agent: HFAgent, task: Task, episodes: list[Episode], cells: list[Costs]) -> np.ndarray:
    """Of each action as the first, shape [questions, cells, actions]."""
    tags, distinct = [agent.tokenize_reply(TAG_OF[action])[:-1] for action in ACTIONS], sorted(set(cells))
    prompts = [
        agent.encode(make_game("clarification", task, episode, 0, cell).view("assistant"))
        for episode in episodes
        for cell in distinct
    ]
    logs = agent.logprobs([Row(prompt, tag) for prompt in prompts for tag in tags])
    odds = np.exp([sum(values) for values in logs]).reshape(len(episodes), len(distinct), len(tags))
    return (odds / odds.sum(2, keepdims=True))[:, [distinct.index(cell) for cell in cells]]


def lost(chance: np.ndarray, earned: np.ndarray) -> str:
    """What is lost by taking actions by chance, both of shape [questions, cells, actions], of what could be earned."""
    best = earned.max(2, keepdims=True)
    # An action that no plan begins with has next to no chance, and no value: left out.
    loss = chance * (best - np.where(np.isfinite(earned), earned, best))
    return f"{100 * loss.sum(2).mean() / best.mean():.1f} %"


def main() -> None:
    """Prints a line for each cost set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--split", choices=("train", "validation", "test"), default="validation")
    parser.add_argument("--questions", type=int, default=100)
    options = parser.parse_args()
    task, plane = make_task("almanac"), CostPlane()
    episodes = [task.episode(options.split, i) for i in range(min(options.questions, task.sizes[options.split]))]
    agent, solved = HFAgent(*load(options.model), style="pocket"), solve(task, episodes)
    print(f"{'costs':>14} {'as stated':>10} {'clamped':>10} {'oracle, clamped':>16}")
    for name in SETS:
        cells = list(plane.sets()[name])
        clamped = [Costs(min(c.alpha, plane.alpha[1]), min(c.beta, plane.beta[1])) for c in cells]
        earned, there = (np.stack([its.by_action(np.array(at)) for its in solved]) for at in (cells, clamped))
        stated, most_dear = (lost(tag_probabilities(agent, task, episodes, at), earned) for at in (cells, clamped))
        oracle = lost(np.eye(len(ACTIONS))[there.argmax(2)], earned)
        print(f"{name:>14} {stated:>10} {most_dear:>10} {oracle:>16}")


if __name__ == "__main__":
    main()
