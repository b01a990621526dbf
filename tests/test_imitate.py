"""What oracle SFT learns: the oracle player's messages, on training questions at training costs."""

import numpy as np
import pytest
from omegaconf import OmegaConf

from agents.hf import HFAgent
from clarify_env.games.clarification.oracle import solve
from trainers.imitate import imitated, oracle_games
from trainers.runs.run import make_plane

CONFIG = OmegaConf.create(
    {
        "seed": 0,
        "budget": {"games": 200, "questions": None},
        "selfplay": {"max_questions": 2, "chunk": 64, "redact_leaks": False, "reasoning": "none"},
        "costs": {"alpha": [0.15, 0.62], "beta": [0.02, 0.055], "values": 40, "steps": [0.01, 0.001], "band": 0.05},
    }
)


class NoBar:
    def bar(self, *_):
        return lambda _: None


@pytest.fixture(scope="module")
def games(almanac):
    return list(oracle_games(CONFIG, NoBar(), almanac))


def test_the_oracle_plays_training_questions_at_training_costs(games, almanac):
    assert len(games) == 200 and {game.split for game in games} == {"train"}
    assert {game.costs for game in games} <= set(make_plane(CONFIG).train()) and len({g.costs for g in games}) > 100
    questions = sorted({game.episode_id for game in games})
    assert len(questions) == almanac.sizes["train"], "every question in turn"
    solved = dict(zip(questions, solve(almanac, [almanac.lookup(q) for q in questions]), strict=True))
    earned = np.mean([game.outcome.reward(game.costs) for game in games])
    best = np.mean([solved[game.episode_id].oracle(np.array([game.costs]))[0][0] for game in games])
    assert earned == pytest.approx(best, abs=0.08), "but for the luck of the intents"


def test_rows_hold_the_assistants_words_alone(games, tiny):
    agent = HFAgent(*tiny, style="pocket")
    asked = next(game for game in games if len(game.turns) > 2)
    rows = imitated(agent, asked)
    said = [turn.reply.text for turn in asked.turns if turn.role == "assistant"]
    assert [agent.tokenizer.decode(row.ids[:-1]) for row in rows] == said
    assert all(row.ids[-1] == agent.tokenizer.eos_token_id and row.weight == 1 for row in rows)
    assert asked.turns[1].reply.text in agent.tokenizer.decode(rows[1].prompt_ids), "the user's stand in the prompt"
