"""Refit's and Swift's weights and gradients, by hand."""

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from toys import ASHFORD, Toy

from agents.hf import Row
from clarify_env.costs import Costs
from clarify_env.games.base import Reply, Trajectory
from clarify_env.games.clarification.rules import ClarificationGame
from clarify_env.games.clarification.users import ScriptedUser
from trainers import rwsft
from trainers.learning.update import collate, weighted_loss
from trainers.runs.run import make_plane
from trainers.selection.returns import earned, expected

TASK, COSTS = Toy(), Costs(0.25, 0.02)
WEIGHTS = [reading.weight for reading in ASHFORD.interpretations]
LIST = "#MULTI_ANS film: Brandt; opera: Jon Vale"


def game(intent, *said):
    """A game in which the assistant says these messages; each has ids of its own."""
    played, user = ClarificationGame(TASK, ASHFORD, intent, COSTS), ScriptedUser(TASK)
    said = list(said)
    while played.to_move:
        if played.to_move == "assistant":
            text = said.pop(0)
            played.apply(Reply(text, ids=tuple(text.encode())))
        else:
            played.apply(Reply(user.say(played.view("user"), 0)))
    return Trajectory(
        0, played.name, TASK.name, "train", ASHFORD.id, intent, COSTS, 0, user.name, tuple(played.turns), played.outcome
    )


def by_text(messages):
    return {(m.reply.text, m.view.history[-1][1] if m.view.history else ""): m for m in messages}


def test_a_message_earned_what_its_game_did_at_any_costs():
    games = [game(0, "#CLARIFY Which kind?", "#ANSWER Brandt"), game(1, "#ANSWER Brandt")]
    found = earned(games, COSTS)
    assert [(m.reply.text, m.share) for m in found] == [
        ("#CLARIFY Which kind?", 1),
        ("#ANSWER Brandt", 1),
        ("#ANSWER Brandt", 1),
    ]
    assert [m.reward for m in found] == pytest.approx([1 - 0.25 - 0.02] * 2 + [-0.02])
    dear = earned(games, Costs(0.5, 0.1))
    assert [m.reward for m in dear] == pytest.approx([1 - 0.5 - 0.1] * 2 + [-0.1])
    assert {m.view.costs for m in dear} == {Costs(0.5, 0.1)}, "and is judged at these"


def test_expected_over_the_readings():
    """One guess, and one question with two follow-ups for each reading, right in one of them where it is the film."""
    asked = [game(i, "#CLARIFY Which kind?", said) for i in range(3) for said in ("#ANSWER Brandt", "#ANSWER Jon Vale")]
    found = by_text(expected([*(game(i, "#ANSWER Brandt") for i in range(3)), *asked], COSTS, WEIGHTS))
    guess = found["#ANSWER Brandt", ""]
    assert (guess.reward, guess.share) == pytest.approx((0.5 - 0.02, 1))
    question = found["#CLARIFY Which kind?", ""]
    # Film: 1 word right or 2 wrong; opera: 1 wrong or 2 right; bridge: both wrong.
    value = 0.5 * 0.5 + 0.3 * 0.5 - 0.25 - 0.02 * 1.5
    assert (question.reward, question.share) == pytest.approx((value, 1))
    after = found["#ANSWER Brandt", TASK.reply("Which kind?", 0, ASHFORD)]
    assert (after.reward, after.share) == pytest.approx((1 - 0.25 - 0.02, 0.5 / 2)), "half of the film's half"


def test_refit_weighs_by_the_reward_above_the_lowest_attainable():
    floor = rwsft.lowest(COSTS, 2, 10)
    assert floor == pytest.approx(-3 * 0.25 - 10 * 0.02)
    games = [game(0, "#ANSWER Brandt"), game(1, "#ANSWER Brandt"), game(0, "#CLARIFY Hm?", "#CLARIFY Eh?", "no tag")]
    weights = [weight for _, weight in rwsft.refit(earned(games, COSTS), floor)]
    assert weights == pytest.approx([1.93, 0.93, *[-3 * 0.25 - 2 * 0.02 + 0.95] * 3])
    assert min(weights) >= 0, "the bound holds"


def test_swift_standardises_over_the_games_of_a_context():
    games = [game(0, "#ANSWER Brandt"), game(1, "#ANSWER Brandt"), game(1, "#CLARIFY Which kind?", "#ANSWER Jon Vale")]
    rewards = np.array([0.98, -0.02, 1 - 0.25 - 0.04])
    standard = (rewards - rewards.mean()) / rewards.std()
    weighed = rwsft.swift(earned(games, COSTS))
    assert [w for _, w in weighed] == pytest.approx([*standard[:2], standard[2], standard[2]])
    assert standard.min() < 0, "negative weights are allowed"
    assert rwsft.swift(earned([games[0]] * 3, COSTS)) == [], "no spread, nothing to learn"


class Encodes:
    def encode(self, view):
        return tuple(str(view.costs).encode())


def weighed(groups, marginal=False, hindsight=0, weight="swift"):
    config = OmegaConf.create(
        {
            "seed": 0,
            "rwsft": {"weight": weight, "hindsight": hindsight},
            "sample": {"marginal": marginal},
            "selfplay": {"max_questions": 2},
            "assistant": {"max_new_tokens": 10},
            "costs": {"alpha": [0.15, 0.62], "beta": [0.02, 0.055], "values": 40, "steps": [0.01, 0.001], "band": 0.05},
        }
    )
    return rwsft.weigh(config, Encodes(), groups), config


def test_rows_keep_the_agents_ids_alone_and_groups_without_spread_are_counted():
    spread = [game(0, "#ANSWER Brandt"), game(1, "#CLARIFY Which kind?", "#ANSWER Jon Vale")]
    (rows, skipped), _ = weighed([(ASHFORD, spread), (ASHFORD, spread[:1] * 2)])
    assert skipped == 1
    said = [tuple(turn.reply.text.encode()) for g in spread for turn in g.turns if turn.role == "assistant"]
    assert [row.ids for row in rows] == said and all(row.weight != 0 for row in rows)
    assert {row.prompt_ids for row in rows} == {tuple(str(COSTS).encode())}


def test_hindsight_weighs_the_same_games_at_training_costs():
    spread = [game(i, text) for text in ("#ANSWER Brandt", LIST) for i in range(3)]
    (rows, _), config = weighed([(ASHFORD, spread)], marginal=True, hindsight=30)
    trained = {tuple(str(costs).encode()): costs for costs in make_plane(config).train()}
    seen = {}
    for row in rows:
        seen.setdefault(row.prompt_ids, {})[bytes(row.ids).decode()] = row.weight
    assert len(seen) == 30 and set(seen) <= set(trained)
    for prompt, weights in seen.items():
        # A list of 2 + 3 words is right in 0.8, the guess of 1 word in 0.5.
        better = 0.8 - 5 * trained[prompt].beta > 0.5 - trained[prompt].beta
        assert weights == pytest.approx({LIST: 1 if better else -1, "#ANSWER Brandt": -1 if better else 1})


def test_the_gradient_is_that_of_the_weighted_log_likelihood(tiny):
    model, tokenizer = tiny
    prompt, replies = (5, 6, 7), ((8, 9, 10), (11, 12))
    weights = (1.5, -0.7)
    rows = [Row(prompt, ids, weight) for ids, weight in zip(replies, weights, strict=True)]
    weighted_loss(model, collate(rows, tokenizer.pad_token_id)).backward()
    got = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    total = 0.0
    for ids, weight in zip(replies, weights, strict=True):
        logits = model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
        total = total - weight * logits.log_softmax(-1)[range(len(ids)), list(ids)].sum()
    (total / sum(map(len, replies))).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(got[name], parameter.grad, atol=1e-6, rtol=1e-4, msg=name)
