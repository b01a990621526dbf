"""Demonstrations use all three actions, whatever the costs."""

import re
from collections import Counter
from itertools import islice

import numpy as np
import pytest
from toys import ASHFORD, Toy

from clarify_env.costs import CostPlane, Costs
from clarify_env.games.clarification.actions import KINDS, Answer, Clarify, Invalid, kind, parse
from clarify_env.games.clarification.pretraining.demonstrations import KINDS as SHOWN
from clarify_env.games.clarification.pretraining.demonstrations import (
    SHARES,
    apart,
    card,
    demonstrations,
    facts,
    likeliest,
    page,
    picked,
    play,
    told,
)
from clarify_env.games.clarification.pretraining.demonstrator import lessons
from clarify_env.scores.answers import normalize
from clarify_env.tasks import make_task
from clarify_env.tasks.base import NONE_OF_THESE

CELLS = CostPlane().train()


@pytest.fixture(scope="module")
def almanac():
    return make_task("almanac")


@pytest.fixture(scope="module")
def shown(almanac):
    return list(islice(demonstrations(almanac, "train", np.random.default_rng(0), CELLS), 12_000))


def openings(demonstrations):
    """(system prompt, action) of the assistant's first moves."""
    chats = [d.messages for d in demonstrations if d.kind.startswith("assistant/") and len(d.messages) == 3]
    return [(chat[0][1], parse(chat[-1][1])) for chat in chats]


def test_each_action_is_at_least_a_quarter_of_first_moves(shown):
    counts = Counter(kind(action) for _, action in openings(shown))
    assert set(counts) == {*KINDS} - {"invalid"} and min(counts.values()) >= counts.total() / 4


def test_kinds_say_what_is_shown(shown):
    counts = Counter(d.kind for d in shown)
    sides = [f"{role}/{action}" for role in ("assistant", "user") for action in ("clarify", "answer", "multi_answer")]
    facts = {*SHARES} - {"assistant", "user"}
    assert set(counts) == {*facts, *sides}
    drawn = sum(counts[kind] for kind in facts) / sum(SHARES[kind] for kind in facts)
    for kind_ in facts:
        assert counts[kind_] / drawn == pytest.approx(SHARES[kind_], abs=0.02)
    for demonstration in shown:
        assert demonstration.messages[-1][0] == "assistant", "the last message is the speaker's"
        tagged = not isinstance(parse(demonstration.messages[-1][1]), Invalid)
        assert tagged == (demonstration.kind.startswith("assistant/") or demonstration.kind == "told")


@pytest.mark.parametrize("shown", SHOWN)
def test_every_kind_can_be_shown_alone(almanac, shown):
    stream = demonstrations(almanac, "train", np.random.default_rng(0), CELLS, {shown: 1.0})
    assert all(d.kind.startswith(shown) for d in islice(stream, 20))


def test_shares_of_unknown_kinds_are_refused(almanac):
    assert set(SHARES) < set(SHOWN)
    with pytest.raises(ValueError, match=r"pretrain\.stages: shares must be of page, .* not recipe"):
        next(demonstrations(almanac, "train", np.random.default_rng(0), CELLS, {"page": 0.5, "recipe": 0.5}))


def test_actions_do_not_depend_on_the_costs(almanac, shown):
    for index in range(100):
        episode = almanac.episode("train", index)
        cheap, dear = (
            list(play(almanac, episode, costs, np.random.default_rng(index)))
            for costs in (Costs(0.1, 0.005), Costs(0.9, 0.12))
        )
        assert [d.messages[-1] for d in cheap] == [d.messages[-1] for d in dear]
    # Nor do the costs that are drawn depend on what is asked: every price is shown with every action.
    alphas, betas = CostPlane().train_values()
    for action in KINDS[:3]:
        prices = [re.findall(r"\d\.\d+", system) for system, taken in openings(shown) if kind(taken) == action]
        assert [len(set(axis)) for axis in zip(*prices, strict=True)] == [len(alphas), len(betas)], action
    by_action = {k: [float(s.split()[3].strip(",")) for s, a in openings(shown) if kind(a) == k] for k in KINDS[:3]}
    assert np.ptp([np.mean(alphas) for alphas in by_action.values()]) < 0.05


def test_guesses_follow_the_weights():
    task, rng = Toy(), np.random.default_rng(0)
    chats = [next(play(task, ASHFORD, CELLS[0], rng)) for _ in range(3000)]
    guesses = Counter(a.text for _, a in openings(chats) if isinstance(a, Answer))
    weights = {"Brandt": 0.5, "Jon Vale": 0.3, "Bank of Lund": 0.2}
    assert {answer: pytest.approx(n / guesses.total(), abs=0.05) for answer, n in guesses.items()} == weights


def test_the_user_replies_to_what_was_said_and_makes_nothing_up(almanac):
    rng, questions = np.random.default_rng(0), 0
    for episode in islice(almanac.episodes("train"), 150):
        everyone = range(len(episode.interpretations))
        for demonstration in play(almanac, episode, CELLS[0], rng):
            if demonstration.kind.startswith("user/"):
                system, *_, (_, heard), (_, answer) = demonstration.messages
                assert system[1].startswith("You mean: ") and not any(c.isdigit() for c in system[1]), "no costs"
                action = parse(heard)
                if isinstance(action, Clarify):
                    questions += 1
                    assert answer in {almanac.reply(action.question, i, episode) for i in everyone}
                else:
                    offered = [action.text] if isinstance(action, Answer) else [item.answer for item in action.items]
                    assert answer == NONE_OF_THESE or normalize(answer) in map(normalize, offered)
    assert questions > 20


def test_after_a_question_the_answer_fits_the_reply(almanac):
    rng = np.random.default_rng(0)
    told = right = 0
    for episode in [e for e in islice(almanac.episodes("train"), 200) if len(e.interpretations) > 1]:
        for d in play(almanac, episode, CELLS[0], rng):
            if d.kind == "assistant/clarify" and isinstance(action := parse(d.messages[-1][1]), Answer):
                readings = [
                    i
                    for i in range(len(episode.interpretations))
                    if all(
                        almanac.reply(parse(question[1]).question, i, episode) == reply[1]
                        for question, reply in zip(d.messages[2:-1:2], d.messages[3:-1:2], strict=True)
                    )
                ]
                told += 1
                right += any(almanac.score(action.text, i, episode) for i in readings)
    assert told > 20 and right == told


def test_questions_tell_readings_apart_where_any_does(shown, almanac):
    count = 0
    for d in shown:
        if d.kind == "assistant/clarify" and len(d.messages) == 3:
            question = parse(d.messages[-1][1]).question
            episode = next(e for e in almanac.episodes("train") if e.query == d.messages[1][1])
            replies = {almanac.reply(question, i, episode) for i in range(len(episode.interpretations))}
            assert len(replies) > 1 or len(episode.interpretations) == 1
            count += 1
            if count == 300:
                return


def test_facts_hold_every_reading(almanac):
    rng = np.random.default_rng(0)
    for episode in islice(almanac.episodes("test"), 50):
        (_, question), (_, written) = page(almanac, episode, rng).messages
        assert question == episode.query
        for reading in episode.interpretations:
            assert f"{reading.label}: {reading.answers[0]}" in written and f"{round(100 * reading.weight)}%" in written
        cards = {card(almanac, episode, rng).messages for _ in range(60)}
        assert {answer for _, (_, answer) in cards} == {reading.answers[0] for reading in episode.interpretations}


def test_what_a_page_opens_with_is_drawn(almanac):
    rng = np.random.default_rng(0)
    episode = next(e for e in almanac.episodes("train") if len(e.interpretations) == 3)
    opened = Counter(page(almanac, episode, rng).messages[1][1].partition(", ")[0] for _ in range(400))
    assert len(opened) == 4 and min(opened.values()) > 60 and "three readings" in opened


def test_the_likeliest_reading_is_named_and_ties_are_drawn(almanac):
    rng = np.random.default_rng(0)
    for episode in islice(almanac.episodes("test"), 100):
        (_, question), (_, answer) = likeliest(almanac, episode, rng).messages
        best = max(reading.weight for reading in episode.interpretations)
        assert question == f"{episode.query} Most likely?"
        assert any(almanac.score(answer, i, episode) for i, r in enumerate(episode.interpretations) if r.weight == best)
    even = ASHFORD._replace(interpretations=tuple(r._replace(weight=1 / 3) for r in ASHFORD.interpretations))
    assert len({likeliest(Toy(), even, rng).messages[-1] for _ in range(50)}) == 3


def test_what_tells_readings_apart_is_said(almanac):
    seen = Counter()
    for episode in islice(almanac.episodes("test"), 150):
        (_, question), (_, answer) = apart(almanac, episode).messages
        assert question == f"{episode.query} Told apart by?"
        replies = [almanac.reply(f"Which {answer}?", i, episode) for i in range(len(episode.interpretations))]
        assert answer == "nothing" if len(replies) == 1 else len(set(replies)) == len(replies)
        seen[answer] += 1
    assert len(seen) >= 4


def test_told_answers_the_reading_that_was_singled_out(almanac):
    rng = np.random.default_rng(0)
    for episode in islice(almanac.episodes("train"), 100):
        *_, (_, question), (_, reply), (_, answer) = told(almanac, episode, CELLS[0], rng).messages
        everyone = range(len(episode.interpretations))
        fit = [i for i in everyone if almanac.reply(parse(question).question, i, episode) == reply]
        assert any(almanac.score(parse(answer).text, i, episode) for i in fit)


def test_a_user_picks_what_it_means_or_nothing(almanac):
    rng, none = np.random.default_rng(0), 0
    for episode in islice(almanac.episodes("train"), 200):
        (_, meant), (_, listed), (_, answer) = picked(almanac, episode, CELLS[0], rng).messages
        mine = [r for r in episode.interpretations if all(f"{k} {v}" in meant for k, v in r.attributes)]
        fits = [item.answer for item in parse(listed).items if any(item.label == r.label for r in mine)]
        none += answer == NONE_OF_THESE
        assert answer in (fits or [NONE_OF_THESE])
    assert 20 < none < 150


def test_a_task_whose_one_question_helps_little_can_be_shown():
    class Vague(Toy):
        def questions(self, episode):
            return ["Which era?"]

    task, rng = Vague(), np.random.default_rng(0)
    assert all(list(play(task, ASHFORD, CELLS[0], rng)) for _ in range(200))


def test_of_an_endless_split_any_episode_may_be_shown():
    class Endless(Toy):
        sizes = {"train": None}

        def _episode(self, split, index):
            return ASHFORD._replace(id=f"train/{index}", query=f"Who designed Ashford {index}?")

    shown = islice(demonstrations(Endless(), "train", np.random.default_rng(0), CELLS, {"page": 1.0}), 2500)
    assert len({demonstration.messages[0][1] for demonstration in shown}) > 2490


def test_lessons_ask_for_the_other_facts_of_a_context():
    task = make_task("ledger")
    episode = task.episode("train", 3)
    games = lessons(task, episode, [CELLS[0], CELLS[1]] * 3, np.random.default_rng(0))
    known = dict(task.facts(episode))
    assert len(games) == 6 and len({turns[0].view.facts.query for turns in games}) == 6
    for (turn,), costs in zip(games, [CELLS[0], CELLS[1]] * 3, strict=True):
        facts_seen = turn.view.facts
        assert turn.role == "assistant" and facts_seen.context == episode.context and facts_seen.costs == costs
        assert turn.reply.text == f"#ANSWER {known[facts_seen.query]}"
    assert len(lessons(task, episode, CELLS[:1] * 1000, np.random.default_rng(0))) == len(
        task.lessons(episode, np.random.default_rng(0))
    ), "each once"


def test_a_chat_about_facts_states_answers_as_the_task_says():
    task = make_task("ledger")
    episode = task.episode("train", 0)
    shown = facts(task, episode, np.random.default_rng(0)).messages[1:]
    known = dict(task.facts(episode))
    assert [text for _, text in shown[1::2]] == [f"It was {known[query]}." for _, query in shown[::2]]


def test_facts_are_asked_one_after_another(almanac):
    episode = almanac.episode("train", 0)
    shown = facts(almanac, episode, np.random.default_rng(0))
    assert shown.every and shown.kind == "facts"
    pairs = list(zip(shown.messages[::2], shown.messages[1::2], strict=True))
    assert {(question, answer) for (_, question), (_, answer) in pairs} <= set(almanac.facts(episode))
    read = facts(almanac, episode._replace(context="Read this."), np.random.default_rng(0))
    assert read.messages == (("system", "Read this."), *shown.messages)
