"""Demonstrations use all three actions, whatever the costs."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest
from toys import ASHFORD, Toy

from clarify_env.actions import KINDS, Answer, Clarify, Invalid, kind, parse
from clarify_env.costs import CostPlane, Costs
from clarify_env.demonstrations import facts, play
from clarify_env.scoring import normalize
from clarify_env.tasks import make_task
from clarify_env.tasks.base import NONE_OF_THESE, Task

CELLS = CostPlane().train()


@pytest.fixture(scope="module")
def almanac():
    return make_task("almanac")


@pytest.fixture(scope="module")
def shown(almanac):
    return list(islice(almanac.demonstrations("train", np.random.default_rng(0), CELLS), 12_000))


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
    assert set(counts) == {"fact", *sides} and abs(counts["fact"] / counts.total() - 0.5) < 0.05
    for demonstration in shown:
        assert demonstration.messages[-1][0] == "assistant", "the last message is the speaker's"
        tagged = not isinstance(parse(demonstration.messages[-1][1]), Invalid)
        assert tagged == demonstration.kind.startswith("assistant/")


def test_actions_do_not_depend_on_the_costs(almanac, shown):
    for index in range(100):
        episode = almanac.episode("train", index)
        cheap, dear = (list(play(almanac, episode, costs, np.random.default_rng(index))) for costs in
                       (Costs(0.1, 0.005), Costs(0.9, 0.12)))  # fmt: skip
        assert [d.messages[-1] for d in cheap] == [d.messages[-1] for d in dear]
    # Nor do the costs that are drawn depend on what is asked: every cell is shown with every action.
    drawn = {(system, kind(action)) for system, action in openings(shown)}
    assert len({system for system, _ in drawn}) == len(CELLS)
    by_action = {k: [float(s.split()[3].strip(",")) for s, a in openings(shown) if kind(a) == k] for k in KINDS[:3]}
    assert np.ptp([np.mean(alphas) for alphas in by_action.values()]) < 0.05


def test_guesses_follow_the_weights():
    task, rng = Toy(), np.random.default_rng(0)
    chats = [next(play(task, ASHFORD, CELLS[0], rng)) for _ in range(3000)]
    guesses = Counter(a.text for _, a in openings(chats) if isinstance(a, Answer))
    weights = {"Brandt": 0.5, "Jon Vale": 0.3, "Bank of Lund": 0.2}
    assert {answer: pytest.approx(n / guesses.total(), abs=0.05) for answer, n in guesses.items()} == weights


def test_the_user_replies_to_what_was_said_and_makes_nothing_up(almanac):
    rng, asked = np.random.default_rng(0), 0
    for episode in islice(almanac.episodes("train"), 150):
        everyone = range(len(episode.interpretations))
        for demonstration in play(almanac, episode, CELLS[0], rng):
            if demonstration.kind.startswith("user/"):
                system, *_, (_, heard), (_, said) = demonstration.messages
                assert system[1].startswith("You mean: ") and not any(c.isdigit() for c in system[1]), "no costs"
                action = parse(heard)
                if isinstance(action, Clarify):
                    asked += 1
                    assert said in {almanac.reply(action.question, i, episode) for i in everyone}
                else:
                    offered = [action.text] if isinstance(action, Answer) else [item.answer for item in action.items]
                    assert said == NONE_OF_THESE or normalize(said) in map(normalize, offered)
    assert asked > 20


def test_after_a_question_the_answer_fits_the_reply(almanac):
    rng = np.random.default_rng(0)
    told = right = 0
    for episode in [e for e in islice(almanac.episodes("train"), 200) if len(e.interpretations) > 1]:
        for d in play(almanac, episode, CELLS[0], rng):
            if d.kind == "assistant/clarify" and isinstance(action := parse(d.messages[-1][1]), Answer):
                readings = [i for i in range(len(episode.interpretations)) if all(
                    almanac.reply(parse(question[1]).question, i, episode) == reply[1]
                    for question, reply in zip(d.messages[2:-1:2], d.messages[3:-1:2], strict=True)
                )]  # fmt: skip
                told += 1
                right += any(almanac.score(action.text, i, episode) for i in readings)
    assert told > 20 and right == told


def test_facts_hold_every_reading(almanac):
    for episode in islice(almanac.episodes("test"), 50):
        page, *cards = facts(almanac, episode)
        for reading in episode.interpretations:
            assert (
                reading.answers[0] in page.messages[1][1] and f"{round(100 * reading.weight)}%" in page.messages[1][1]
            )
            assert (("user", reading.text), ("assistant", reading.answers[0])) in [card.messages for card in cards]


def test_a_task_whose_one_question_helps_little_can_be_shown():
    class Vague(Toy):
        def questions(self, episode):
            return ["Which era?"]

    task, rng = Vague(), np.random.default_rng(0)
    assert all(list(play(task, ASHFORD, CELLS[0], rng)) for _ in range(200))


def test_an_endless_task_is_refused():
    class Endless(Toy):
        sizes = {"train": None}

    with pytest.raises(ValueError, match="endless"):
        next(Task.demonstrations(Endless(), "train", np.random.default_rng(0), CELLS))
