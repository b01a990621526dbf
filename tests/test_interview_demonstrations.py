"""What the interview's pocket model is pretrained on tells facts, and no action's worth at its costs."""

import re
from itertools import islice

import numpy as np
import pytest
from configs import config_of

from clarify_env.games import find_game
from clarify_env.games.interview.demonstrations import Demonstrator, note, page, price, turns
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
    assert set(kinds) == {"game", "row", "page", "note", "price", "user"}
    assert 0.2 < kinds.count("game") / 600 < 0.4 and 0.15 < kinds.count("page") / 600 < 0.35
    with pytest.raises(ValueError, match=r"shares must be of game, aloud, pair, row, .*, user, not sums"):
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


def stated(solved, facts, reply):
    """Checks that a reply names the likeliest answer after some facts and a question of the page; returns its gain."""
    episode = solved.episode
    weights = np.array(GAME.weights(episode))
    weights *= [all(fact in reading.text for fact in facts) for reading in episode.interpretations]
    by_cause = {}
    for reading, weight in zip(episode.interpretations, weights / weights.sum(), strict=True):
        by_cause[reading.answers[0]] = by_cause.get(reading.answers[0], 0) + weight
    answer, question = reply.split("\n")
    cause, number = answer.removeprefix("#ANSWER ").split()
    assert by_cause[cause] == pytest.approx(max(by_cause.values()))
    assert abs(100 * by_cause[cause] - int(number)) <= 2.5 + 1e-9
    name, *gain = question.removeprefix("#ASK ").split()
    assert name in ("nothing", *dict(episode.interpretations[0].attributes))
    return int(gain[0]) if gain else None


def test_pages_state_the_posterior():
    rng = np.random.default_rng(2)
    for index in range(30):
        solved = Solved(TASK, TASK.episode("train", index), 4)
        _, *chat = page(solved, rng).messages
        for (_, query), (_, reply) in zip(chat[::2], chat[1::2], strict=True):
            facts = query.removeprefix("If").strip().rstrip(".").split(". ")
            gain = stated(solved, facts, reply)
            if facts == [""] and gain is not None:
                best = max(solved.right_after(q, solved.everyone) for q in solved.questions)
                assert abs(100 * (best - solved.right(solved.everyone)) - gain) <= 2.5 + 1e-9


def entries_of(context):
    lines = [line.rstrip(".").rpartition(": ")[2].split(", ") for line in context.splitlines()[1:]]
    return [tuple(entry.split()) for line in lines for entry in line]


@pytest.mark.parametrize("kind", ["aloud", "pair", "row"])
def test_what_is_read_stands_in_the_list(kind):
    asked, causes = [], []
    for shown_chat in shown(CHEAP, 40, **{kind: 1.0}):
        (_, context), *chat = shown_chat.messages
        entries = entries_of(context)
        if kind != "row":
            assert len({value for value, *_ in entries}) == len(entries) == 8
            causes.append(tuple(cause for _, cause, _ in entries))
        queries = [query.split(" ", 1) for _, query in chat[::2]]
        assert len({fact for _, fact in queries}) == len(queries), "none is repeated, so that nothing can be copied"
        for (verb, fact), (_, reply) in zip(queries, chat[1::2], strict=True):
            listed = [entry for entry in entries if fact.endswith(f" {entry[0]}.")]
            texts = [" ".join(entry if verb == "Read" else entry[1:]) for entry in listed]
            assert listed and reply == f"#ANSWER {', '.join(texts)}"
        asked += [verb for verb, _ in queries]
    assert kind == "row" or (len(set(causes)) > 30 and any(len(set(drawn)) < 8 for drawn in causes)), "drawn apart"
    assert set(asked) == ({"Read"} if kind == "aloud" else {"Read", "If"})


def test_pages_repeat_no_query():
    rng = np.random.default_rng(2)
    for index in range(30):
        chat = page(Solved(TASK, TASK.episode("train", index), 4), rng).messages
        sets = [frozenset(text.removeprefix("If").rstrip(".").split(". ")) for role, text in chat if role == "user"]
        assert len(set(sets)) == len(sets)


def test_notes_add_a_fact_at_a_time():
    rng = np.random.default_rng(2)
    for index in range(30):
        solved = Solved(TASK, TASK.episode("train", index), 4)
        _, *chat = note(solved, rng).messages
        facts = []
        for (_, query), (_, reply) in zip(chat[::2], chat[1::2], strict=True):
            if query != solved.episode.query:
                facts.append(query.rstrip("."))
            gain = stated(solved, facts, reply)
        assert len(facts) == len(solved.questions) and gain is None, "in the end there is nothing to ask"


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
