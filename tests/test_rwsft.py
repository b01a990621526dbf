"""Refit's and Swift's weights and gradients, by hand."""

import numpy as np
import pytest
import torch
from toy_games import Mumbler
from toy_games import games as toy_games
from toys import ASHFORD, Toy

from agents.example import Example
from agents.options import HF, Scripted
from agents.selfplay import trajectory
from clarify_env.costs import CostPlane, Costs
from clarify_env.games import find_game
from clarify_env.games.base import Reply
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.games.setup import Setup
from trainers import rwsft
from trainers.learning.loss import collate, weighted_loss
from trainers.runs.experiment import Experiment
from trainers.runs.options import RolloutOptions
from trainers.selection.returns import earned, expected

TASK, COSTS = Toy(), Costs(0.25, 0.02)
SETUP, ROLES = Setup(find_game("clarification"), TASK), ("assistant",)
LIST = "#MULTI_ANS film: Brandt; opera: Jon Vale"


def game(intent, *messages):
    """A game in which the assistant sends these messages; each has ids of its own."""
    played, user = SETUP.deal(ASHFORD, intent, COSTS), ScriptedUser(TASK)
    texts = list(messages)
    while played.to_move:
        if played.to_move == "assistant":
            text = texts.pop(0)
            played.apply(Reply(text, ids=tuple(text.encode())))
        else:
            played.apply(Reply(user.say(played.view("user"), 0)))
    assert not texts, "every message is sent"
    return trajectory(0, 0, played, {"assistant": "texts", "user": user.name})


def by_text(messages):
    return {(m.reply.text, m.view.heard[-1].text if m.view.heard else ""): m for m in messages}


def test_a_message_earned_what_its_game_did_at_any_costs():
    games = [game(0, "#CLARIFY Which kind?", "#ANSWER Brandt"), game(1, "#ANSWER Brandt")]
    messages = earned(SETUP, games, COSTS, ROLES)
    assert [(m.reply.text, m.share) for m in messages] == [
        ("#CLARIFY Which kind?", 1),
        ("#ANSWER Brandt", 1),
        ("#ANSWER Brandt", 1),
    ]
    assert [m.reward for m in messages] == pytest.approx([1 - 0.25 - 0.02] * 2 + [-0.02])
    assert [m.view for m in messages] == [turn.view for g in games for turn in g.moves(ROLES)]
    dear = earned(SETUP, games, Costs(0.5, 0.1), ROLES)
    assert [m.reward for m in dear] == pytest.approx([1 - 0.5 - 0.1] * 2 + [-0.1])
    assert {m.view.facts.costs for m in dear} == {Costs(0.5, 0.1)}, "and is judged at these"
    assert [(m.view.heard, m.view.turn) for m in dear] == [(m.view.heard, m.view.turn) for m in messages]


def test_each_role_earns_its_own_reward_and_only_learning_roles_do():
    games = [game(0, "#CLARIFY Which kind?", "#ANSWER Brandt")]
    assert [m.view.role for m in earned(SETUP, games, COSTS, ("user",))] == ["user", "user"]
    assert [m.view.role for m in earned(SETUP, games, COSTS, ("assistant", "user"))] == ["assistant", "user"] * 2
    assert earned(SETUP, games, COSTS, ()) == []


def test_expected_over_the_readings():
    """One guess, and one question with two follow-ups for each reading, right in one of them where it is the film."""
    answers = ("#ANSWER Brandt", "#ANSWER Jon Vale")
    question_games = [game(i, "#CLARIFY Which kind?", answer) for i in range(3) for answer in answers]
    messages = by_text(expected(SETUP, [*(game(i, "#ANSWER Brandt") for i in range(3)), *question_games], COSTS, ROLES))
    guess = messages["#ANSWER Brandt", ""]
    assert (guess.reward, guess.share) == pytest.approx((0.5 - 0.02, 1))
    question = messages["#CLARIFY Which kind?", ""]
    # Film: 1 word right or 2 wrong; opera: 1 wrong or 2 right; bridge: both wrong.
    value = 0.5 * 0.5 + 0.3 * 0.5 - 0.25 - 0.02 * 1.5
    assert (question.reward, question.share) == pytest.approx((value, 1))
    after = messages["#ANSWER Brandt", TASK.reply("Which kind?", 0, ASHFORD)]
    assert (after.reward, after.share) == pytest.approx((1 - 0.25 - 0.02, 0.5 / 2)), "half of the film's half"


def test_refit_weighs_by_the_reward_above_the_lowest_attainable():
    floor = SETUP.game.lowest(COSTS, 10, max_questions=2)
    assert floor == pytest.approx(-3 * 0.25 - 10 * 0.02)
    assert SETUP.game.lowest(COSTS, 10, max_questions=4) == pytest.approx(-5 * 0.25 - 10 * 0.02)
    games = [game(0, "#ANSWER Brandt"), game(1, "#ANSWER Brandt"), game(0, "#CLARIFY Hm?", "#CLARIFY Eh?", "no tag")]
    messages = earned(SETUP, games, COSTS, ROLES)
    weights = [weight for _, weight in rwsft.refit(messages, floor)]
    assert weights == pytest.approx([1.93, 0.93, *[-3 * 0.25 - 2 * 0.02 + 0.95] * 3])
    assert min(weights) >= 0, "the bound holds"
    weights = [weight for _, weight in rwsft.refit(messages, None)]
    lowest = -3 * 0.25 - 2 * 0.02
    assert weights == pytest.approx([0.98 - lowest, -0.02 - lowest, 0, 0, 0]), "without a bound, the group's lowest"


def test_swift_standardises_over_the_games_of_a_context():
    games = [game(0, "#ANSWER Brandt"), game(1, "#ANSWER Brandt"), game(1, "#CLARIFY Which kind?", "#ANSWER Jon Vale")]
    rewards = np.array([0.98, -0.02, 1 - 0.25 - 0.04])
    standard = (rewards - rewards.mean()) / rewards.std()
    weighed = rwsft.swift(earned(SETUP, games, COSTS, ROLES))
    assert [w for _, w in weighed] == pytest.approx([*standard[:2], standard[2], standard[2]])
    assert standard.min() < 0, "negative weights are allowed"
    assert rwsft.swift(earned(SETUP, [games[0]] * 3, COSTS, ROLES)) == [], "no spread, nothing to learn"


class Encodes:
    def encode(self, view):
        return tuple(str(view.facts.costs).encode())


PLANE = CostPlane((0.15, 0.62), (0.02, 0.055), 40, (0.01, 0.001))


def weighed(groups, marginal=False, hindsight=0, weight="swift", setup=SETUP):
    blocks = {"assistant": HF("none", max_new_tokens=10), "user": Scripted()}
    experiment = Experiment(setup, plane=PLANE, blocks=blocks)
    options, rollouts = rwsft.RwsftOptions(weight, hindsight), RolloutOptions(marginal=marginal)
    return rwsft.weigh(experiment, options, rollouts, Encodes(), groups)


def test_examples_keep_the_sampled_ids_and_groups_without_spread_are_counted():
    spread = [game(0, "#ANSWER Brandt"), game(1, "#CLARIFY Which kind?", "#ANSWER Jon Vale")]
    examples, skipped = weighed([spread, spread[:1] * 2])
    assert skipped == 1
    sent = [tuple(turn.reply.text.encode()) for g in spread for turn in g.turns if turn.role == "assistant"]
    assert [example.ids for example in examples] == sent and all(example.weight != 0 for example in examples)
    assert {example.prompt_ids for example in examples} == {tuple(str(COSTS).encode())}


@pytest.mark.parametrize("most", [2, 4])
def test_refit_knows_the_games_options(most):
    examples, skipped = weighed(
        [[game(1, "#ANSWER Brandt")]], weight="refit", setup=SETUP._replace(options={"max_questions": most})
    )
    # The lowest reward: one question more than the most, refused, and ten words, as many as there may be tokens.
    assert [example.weight for example in examples] == pytest.approx([-0.02 + (most + 1) * 0.25 + 10 * 0.02])
    assert skipped == 0


def test_hindsight_weighs_the_same_games_at_training_costs():
    spread = [game(i, text) for text in ("#ANSWER Brandt", LIST) for i in range(3)]
    examples, _ = weighed([spread], marginal=True, hindsight=30)
    trained = {tuple(str(costs).encode()): costs for costs in PLANE.train()}
    by_prompt = {}
    for example in examples:
        by_prompt.setdefault(example.prompt_ids, {})[bytes(example.ids).decode()] = example.weight
    assert len(by_prompt) == 30 and set(by_prompt) <= set(trained)
    for prompt, weights in by_prompt.items():
        # A list of 2 + 3 words is right in 0.8, the guess of 1 word in 0.5.
        better = 0.8 - 5 * trained[prompt].beta > 0.5 - trained[prompt].beta
        assert weights == pytest.approx({LIST: 1 if better else -1, "#ANSWER Brandt": -1 if better else 1})


def test_the_gradient_is_that_of_the_weighted_log_likelihood(tiny):
    model, tokenizer = tiny
    prompt, replies = (5, 6, 7), ((8, 9, 10), (11, 12))
    weights = (1.5, -0.7)
    examples = [Example(prompt, ids, weight) for ids, weight in zip(replies, weights, strict=True)]
    weighted_loss(model, collate(examples, tokenizer.pad_token_id)).backward()
    got = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    total = 0.0
    for ids, weight in zip(replies, weights, strict=True):
        logits = model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
        total = total - weight * logits.log_softmax(-1)[range(len(ids)), list(ids)].sum()
    (total / sum(map(len, replies))).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(got[name], parameter.grad, atol=1e-6, rtol=1e-4, msg=name)


def test_a_faulty_message_of_the_user_is_never_made_likelier():
    """The leak lets the assistant answer right; the honest reply is followed by a wrong answer."""

    class Words:
        end_ids = (9,)

        def encode(self, view):
            return view.role, len(view.heard)

    leaking, honest = (
        toy_games(
            "#CLARIFY Which kind?",
            {reply: answer},
            intents=(0,),
            user=Mumbler(lambda view, reply=reply, answer=answer: reply if view.turn == 1 else answer.split()[-1]),
        )
        for reply, answer in (("It was Brandt.", "#ANSWER Brandt"), ("Film!", "#ANSWER Vale"))
    )
    experiment = Experiment(
        SETUP, blocks={role: HF("a") for role in ("assistant", "user")}, learns=("assistant", "user")
    )
    options, plain = rwsft.RwsftOptions(weight="refit"), RolloutOptions(marginal=False)
    rows, _ = rwsft.weigh(experiment, options, plain, Words(), [[*leaking, *honest]])
    users = [row.prompt_ids for row in rows if row.prompt_ids[0] == "user"]
    assert all(row.weight > 0 for row in rows)
    assert users == [("user", 3), ("user", 1), ("user", 3)], "all but the reply that gave the answer away"
