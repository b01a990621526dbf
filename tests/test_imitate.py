"""What oracle SFT learns: the oracle player's messages, on training questions at training costs."""

import numpy as np
import pytest

from agents.hf import HFAgent
from clarify_env.costs import CostPlane
from clarify_env.games import find_game
from clarify_env.games.clarification.oracle import solve
from clarify_env.games.setup import Setup
from trainers.imitate import imitated, oracle_games
from trainers.runs.experiment import Experiment
from trainers.runs.options import BudgetOptions, SelfPlayOptions

PLANE = CostPlane((0.15, 0.62), (0.02, 0.055), 40, (0.01, 0.001))


def experiment(task):
    return Experiment(
        Setup(find_game("clarification"), task),
        plane=PLANE,
        budget=BudgetOptions(games=200),
        selfplay=SelfPlayOptions(chunk=64),
    )


class NoBar:
    def bar(self, *_):
        return lambda _: None


@pytest.fixture(scope="module")
def games(almanac):
    return list(oracle_games(experiment(almanac), NoBar()))


def test_the_oracle_plays_training_episodes_at_training_costs(games, almanac):
    assert len(games) == 200 and {game.split for game in games} == {"train"}
    assert {game.prices for game in games} <= set(PLANE.train()) and len({g.prices for g in games}) > 100
    episode_ids = sorted({game.episode_id for game in games})
    assert len(episode_ids) == almanac.sizes["train"], "every episode in turn"
    solved = dict(zip(episode_ids, solve(almanac, [almanac.lookup(q) for q in episode_ids]), strict=True))
    rewards = np.mean([game.reward() for game in games])
    best = np.mean([solved[game.episode_id].oracle(np.array([game.prices]))[0][0] for game in games])
    assert rewards == pytest.approx(best, abs=0.08), "but for the luck of the intents"


def test_examples_hold_the_learning_roles_messages_alone(games, tiny):
    agent = HFAgent(*tiny, style="pocket")
    dialogue = next(game for game in games if len(game.turns) > 2)
    examples = imitated(agent.renderer, dialogue, ("assistant",))
    texts = [turn.reply.text for turn in dialogue.turns if turn.role == "assistant"]
    assert [agent.renderer.tokenizer.decode(example.ids[:-1]) for example in examples] == texts
    end = agent.renderer.tokenizer.eos_token_id
    assert all(example.ids[-1] == end and example.weight == 1 for example in examples)
    prompt = agent.renderer.tokenizer.decode(examples[1].prompt_ids)
    assert dialogue.turns[1].reply.text in prompt, "the user's replies stand in the prompt"
