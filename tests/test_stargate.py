"""STaR-GATE's scores and choices, by hand."""

import numpy as np
import pytest
import torch
from test_rwsft import LIST, SETUP, game
from toys import ASHFORD

from agents.hf import HFAgent
from clarify_env.games.base import Message, Reply
from trainers.evaluation.scores import gold_logprobs
from trainers.stargate import FixedAnswerer, best, examples_of

ASK = "#CLARIFY Which kind?"


def test_a_score_is_the_gold_answers_logprobability_after_the_conversation(tiny):
    """By feeding the base model token by token: no batch, no padding, no code of the agent's."""
    model, tokenizer = tiny
    agent = HFAgent(model, tokenizer, style="pocket")
    games = [game(1, ASK, "#ANSWER Brandt"), game(2, "#ANSWER Brandt"), game(0, ASK, ASK + " Again?", "#ANSWER Brandt")]
    golds = ["Jon Vale", "The Bank of Lund", "Ada Brandt"]
    scores = gold_logprobs(agent.renderer, agent.sampler, ("assistant",), SETUP, games)
    assert scores.shape == (3,)
    for value, played, gold in zip(scores, games, golds, strict=True):
        view = [turn.view for turn in played.turns if turn.role == "assistant"][-1]
        prompt, total = list(agent.renderer.encode(view)), 0.0
        for token in agent.renderer.tokenize_reply(f"#ANSWER {gold}"):
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([prompt])).logits[0, -1]
            total += float(logits.log_softmax(-1)[token])
            prompt.append(token)
        assert value == pytest.approx(total, abs=1e-3)
    assert len(games[2].turns[4].view.heard) == 4, "the third message is scored after both questions"


def test_the_best_conversation_of_each_reading_is_kept():
    games = [game(0, ASK, "#ANSWER Brandt"), game(0, ASK + " Say.", "#ANSWER no"), game(1, ASK, "#ANSWER Jon Vale")]
    opened = [(g.hidden, g.turns[0].reply.text) for g in best(games, np.array([-3.0, -1.0, -5.0]))]
    assert opened == [(0, ASK + " Say."), (1, ASK)], "by score, not by result"


def learned(agent, played, answers):
    return examples_of(SETUP, agent.renderer, played, "assistant", answers)


def test_what_is_learned_of_a_game(tiny):
    agent = HFAgent(*tiny, style="pocket")
    played = game(0, ASK, ASK + " Again?", "#ANSWER wrong")
    assistant = [turn for turn in played.turns if turn.role == "assistant"]
    questions = [(agent.renderer.encode(turn.view), turn.reply.ids) for turn in assistant[:2]]
    assert [(example.prompt_ids, example.ids) for example in learned(agent, played, False)] == questions
    assert [example.ids for example in learned(agent, played, True)] == [turn.reply.ids for turn in assistant]
    assert all(example.weight == 1 and not example.first_weights for example in learned(agent, played, True))


class Says:
    def __init__(self, name):
        self.name, self.seen = name, []

    def act(self, views, seeds, openings=None):
        self.seen.append((seeds, openings))
        return [Reply(f"{self.name}{seed}") for seed in seeds]


def test_the_control_asks_with_one_model_and_answers_with_another():
    opener, answerer = Says("trained"), Says("base")
    first = SETUP.learning_view(ASHFORD, "assistant", (), (0.25, 0.02))
    later = first.after((Message("assistant", ASK), Message("user", "The film.")))
    both = FixedAnswerer(opener, answerer)
    assert [r.text for r in both.act([later, first, later], [1, 2, 3], ["a", "b", "c"])] == [
        "base1",
        "trained2",
        "base3",
    ]
    assert (opener.seen, answerer.seen) == ([([2], ["b"])], [([1, 3], ["a", "c"])])
    assert [r.text for r in both.act([first], [4])] == ["trained4"] and both.name == "trained"


def test_a_list_as_last_message_is_learned_with_the_answers(tiny):
    agent = HFAgent(*tiny, style="pocket")
    played = game(0, ASK, LIST)
    assert len(learned(agent, played, True)) == 2 and len(learned(agent, played, False)) == 1
    outside = game(0, ASK, "and then nothing")
    assert len(learned(agent, outside, True)) == 1, "a message outside the rules is not"
    beyond = game(0, ASK, ASK + " Again?", ASK + " And?")
    assert len(learned(agent, beyond, True)) == 2, "nor is a question beyond the limit"
