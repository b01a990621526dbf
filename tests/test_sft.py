"""Whose turns a warm start teaches."""

import pytest
from configs import arguments_of
from toy_games import SETUP

from agents.options import HF, Scripted, Self
from clarify_env.costs import CostPlane
from trainers import sft
from trainers.runs.experiment import Experiment
from trainers.runs.options import BudgetOptions


class Roles:
    """A renderer whose prompts are the role and the number of messages before."""

    def encode(self, view):
        return view.role, len(view.heard)

    def tokenize_reply(self, text):
        return tuple(text.split())


@pytest.mark.parametrize(
    ("learns", "user", "taught", "why"),
    [
        (("assistant",), Scripted(), {"assistant"}, "the assistant alone"),
        (("assistant",), Self(), {"assistant", "user"}, "the policy plays both"),
        (("assistant", "user"), HF("a"), {"assistant", "user"}, "both learn"),
        (("assistant",), HF("b"), {"assistant"}, "another model plays the user"),
    ],
)
def test_the_turns_of_roles_that_the_policy_plays_are_taught(learns, user, taught, why):
    blocks = {"assistant": HF("a"), "user": user}
    experiment = Experiment(SETUP, plane=CostPlane(), blocks=blocks, learns=learns, budget=BudgetOptions(games=20))
    played = sft.demonstrations(experiment, 0)
    rows = sft.learned_turns(experiment, Roles(), played)
    assert {role for role, _ in (row.prompt_ids for row in rows)} == taught, why
    assert len(rows) == sum(turn.role in taught for _, game in played for turn in game)
    if "user" in taught:
        turns = {row.prompt_ids[1] for row in rows if row.prompt_ids[0] == "user"}
        assert {1, 3} <= turns, "replies to questions, and closing answers after them"


class Chats:
    """A renderer whose prompts are the chat's texts."""

    def encode_chats(self, chats):
        return [tuple(message["content"] for message in chat) for chat in chats]

    def tokenize_reply(self, text):
        return (text,)


@pytest.mark.parametrize(("kind", "messages"), [("sums", 8), ("derived", 1), ("calculations", 1)])
def test_exercises_are_learned_in_the_model_s_own_template(kind, messages):
    experiment = arguments_of("sft", "task=ledger")["experiment"]
    rows = sft.exercises(experiment, Chats(), sft.SftOptions(exercises=3, kinds=[kind]))
    assert len(rows) == 3 * messages
    assert rows[0].prompt_ids and (messages == 1 or rows[1].prompt_ids[:2] == (*rows[0].prompt_ids, *rows[0].ids))
    assert sft.exercises(experiment, Chats(), sft.SftOptions()) == []
    with pytest.raises(ValueError, match=r"shares must be of page, .*calculations, not other"):
        sft.exercises(experiment, Chats(), sft.SftOptions(exercises=1, kinds=["other"]))
