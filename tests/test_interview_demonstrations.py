"""What the interview's pocket model is pretrained on tells facts, and no action's worth at its costs."""

import re
from itertools import islice

import numpy as np
import pytest
from configs import config_of

from clarify_env.games import find_game
from clarify_env.games.interview.demonstrations import Demonstrator, look, page, price, turns
from clarify_env.games.interview.oracle import Solved
from clarify_env.tasks.registry import make_task

GAME, TASK = find_game("interview"), make_task("workshop", validation=5, test=5)
CHEAP, EXPENSIVE = [(0.05, 0.01), (0.06, 0.02)], [(0.45, 0.05), (0.40, 0.04)]


def shown(prices, count=200, **shares):
    return list(islice(GAME.pretraining(TASK, prices, np.random.default_rng(3), shares or None), count))


def test_games_do_not_depend_on_the_costs():
    cheap, expensive = (shown(prices, game=0.5, page=0.3, user=0.2) for prices in (CHEAP, EXPENSIVE))
    assert [[m for m in d.messages if "Question 0" not in m[1]] for d in cheap] == [
        [m for m in d.messages if "Question 0" not in m[1]] for d in expensive
    ]
    assert [d.messages for d in cheap] != [d.messages for d in expensive], "the costs are stated"


def test_kinds_are_drawn_by_their_shares():
    kinds = [d.kind for d in shown(CHEAP, 600)]
    assert set(kinds) == {"game", "page", "price", "user"}
    assert 0.3 < kinds.count("game") / 600 < 0.5 and 0.4 < kinds.count("page") / 600 < 0.6
    with pytest.raises(ValueError, match=r"shares must be of game, page, look, price, user, not sums"):
        shown(CHEAP, 1, sums=1.0)


def test_each_action_is_a_quarter_of_first_messages_where_a_question_helps():
    rng, asked = np.random.default_rng(0), []
    for index in range(150):
        solved = Solved(TASK, TASK.episode("train", index), 4)
        if solved.questions:
            asked.append(turns(solved, GAME.check_prices(CHEAP[0]), rng)[0].reply.text.startswith("#ASK"))
    assert 0.35 < np.mean(asked) < 0.65


def test_the_demonstrator_asks_what_parts_the_cases_and_answers_what_can_be():
    rng = np.random.default_rng(1)
    for index in range(60):
        solved = Solved(TASK, TASK.episode("train", index), 4)
        group = solved.everyone
        for turn in turns(solved, GAME.check_prices(CHEAP[0]), rng):
            text = turn.reply.text
            if text.startswith("#ASK"):
                question = text.removeprefix("#ASK ")
                assert len({TASK.reply(question, i, solved.episode) for i in group}) > 1
            elif text.startswith("#ANSWER"):
                assert text.removeprefix("#ANSWER ") in {solved.episode.interpretations[i].answers[0] for i in group}
            else:
                group = solved.after(group, question, text)
    assert Demonstrator(solved, rng).say


def test_pages_state_the_posterior():
    rng = np.random.default_rng(2)
    for index in range(30):
        episode = TASK.episode("train", index)
        weights = np.array(GAME.weights(episode))
        _, *chat = page(Solved(TASK, episode, 4), rng).messages
        for (_, query), (_, answer) in zip(chat[::2], chat[1::2], strict=True):
            facts = [fact for fact in query.split(". ")[:-1] if fact]
            fits = np.array([all(f"{f}" in r.text for f in facts) for r in episode.interpretations])
            by_cause = {}
            for reading, weight in zip(episode.interpretations, weights * fits / (weights @ fits), strict=True):
                by_cause[reading.answers[0]] = by_cause.get(reading.answers[0], 0) + weight
            if query.endswith("Why?"):
                cause, number = answer.split()
                assert by_cause[cause] == pytest.approx(max(by_cause.values()))
                assert abs(100 * by_cause[cause] - int(number)) <= 2.5 + 1e-9
            else:
                assert answer == "nothing" or answer.split()[0] in dict(episode.interpretations[0].attributes)


def test_a_fact_speaks_for_those_that_the_page_lists_with_it():
    rng = np.random.default_rng(2)
    for index in range(30):
        solved = Solved(TASK, TASK.episode("train", index), 4)
        (_, context), *chat = look(solved, rng).messages if solved.questions else (("system", ""),)
        for (_, query), (_, answer) in zip(chat[::2], chat[1::2], strict=True):
            name, value = query.removesuffix(". Who?").split()
            (line,) = [line for line in context.splitlines() if line.startswith(f"{name} ")]
            entries = [entry.split() for entry in line.split(": ")[1].rstrip(".").split(", ")]
            assert answer.split() == [cause for cause, listed in entries if listed == value]


def test_prices_are_compared_rightly():
    rng = np.random.default_rng(0)
    for _ in range(50):
        costs = GAME.check_prices((round(float(rng.uniform(0.05, 0.45)), 2), 0.02))
        messages = price(costs, rng).messages
        for (_, query), (_, answer) in zip(messages[::2], messages[1::2], strict=True):
            other = int(re.search(r"More than (\d+)\?", query)[1])
            assert answer == ("yes" if 100 * (costs.alpha + costs.beta) > other else "no")


@pytest.mark.parametrize("command", ["rest", "evaluate", "pretrain"])
def test_commands_know_what_the_game_is_played_on(command):
    config = config_of(command, "game=interview")
    assert (config.task.name, config.game.name, config.costs.alpha[1]) == ("workshop", "interview", 0.45)
    if command == "rest":
        assert list(config.rollouts.actions) == ["ask", "answer"]
    assert config_of(command, "game=interview", "task=ledger").task.name == "ledger"
