"""STaR-GATE's scores and choices, by hand."""

import numpy as np
import pytest
import torch
from test_rwsft import LIST, TASK, game
from toys import ASHFORD

from agents.hf import HFAgent
from clarify_env.games.base import Reply, View
from trainers.evaluation.scores import gold_logprobs
from trainers.stargate import FixedAnswerer, best, rows_of

ASK = "#CLARIFY Which kind?"


def test_a_score_is_the_gold_answers_logprobability_after_the_conversation(tiny):
    """By feeding the base model token by token: no batch, no padding, no code of the agent's."""
    model, tokenizer = tiny
    agent = HFAgent(model, tokenizer, style="pocket")
    games = [game(1, ASK, "#ANSWER Brandt"), game(2, "#ANSWER Brandt"), game(0, ASK, ASK + " Again?", "#ANSWER Brandt")]
    golds = ["Jon Vale", "The Bank of Lund", "Ada Brandt"]
    found = gold_logprobs(agent, TASK, games)
    for value, played, gold in zip(found, games, golds, strict=True):
        view = [turn.view for turn in played.turns if turn.role == "assistant"][-1]
        prompt, total = list(agent.encode(view)), 0.0
        for token in agent.tokenize_reply(f"#ANSWER {gold}"):
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([prompt])).logits[0, -1]
            total += float(logits.log_softmax(-1)[token])
            prompt.append(token)
        assert value == pytest.approx(total, abs=1e-3)
    assert len(games[2].turns[4].view.history) == 4, "the third message is scored after both questions"


def test_the_best_conversation_of_each_reading_is_kept():
    games = [game(0, ASK, "#ANSWER Brandt"), game(0, ASK + " Say.", "#ANSWER no"), game(1, ASK, "#ANSWER Jon Vale")]
    kept = best(games, np.array([-3.0, -1.0, -5.0]))
    opened = [(g.intent, g.turns[0].reply.text) for g in kept]
    assert opened == [(0, ASK + " Say."), (1, ASK)], "by score, not by outcome"


def test_what_is_learned_of_a_game(tiny):
    agent = HFAgent(*tiny, style="pocket")
    played = game(0, ASK, ASK + " Again?", "#ANSWER wrong")
    assistant = [turn for turn in played.turns if turn.role == "assistant"]
    questions = [(agent.encode(turn.view), turn.reply.ids) for turn in assistant[:2]]
    assert [(row.prompt_ids, row.ids) for row in rows_of(agent, played, False)] == questions
    assert [row.ids for row in rows_of(agent, played, True)] == [turn.reply.ids for turn in assistant]
    assert all(row.weight == 1 and not row.lead for row in rows_of(agent, played, True))


class Says:
    def __init__(self, name):
        self.name, self.seen = name, []

    def act(self, views, seeds, prefixes=None):
        self.seen.append((seeds, prefixes))
        return [Reply(f"{self.name}{seed}") for seed in seeds]


def test_the_control_asks_with_one_model_and_answers_with_another():
    opener, answerer = Says("trained"), Says("base")
    first = View("assistant", ASHFORD.query, "", None, (), None, 0, ASHFORD.id)
    later = first._replace(history=(("assistant", ASK), ("user", "The film.")))
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
    assert len(rows_of(agent, played, True)) == 2 and len(rows_of(agent, played, False)) == 1
    assert len(rows_of(agent, game(0, ASK, "and then nothing"), True)) == 1, "what the rules do not know is not"
