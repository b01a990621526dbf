"""What ReST selects of grown games, by hand."""

import itertools

import numpy as np
import pytest
from toy_games import GOOD, PLAYED, SETUP, Mumbler, games, tree
from toys import ASHFORD

from agents.example import Example
from agents.options import HF, Scripted, Self
from clarify_env.costs import CostPlane
from clarify_env.games.base import Reply
from trainers import rest
from trainers.runs.experiment import Experiment
from trainers.runs.options import RolloutOptions
from trainers.selection.tree import Choice


class Encodes:
    """An agent whose tokens are words."""

    def encode(self, view):
        return view.facts.costs, view.heard

    def leading(self, ids, characters):
        return 1 if characters else 0


PLANE = CostPlane((0.15, 0.62), (0.02, 0.05), 28, (0.01, 0.001))
REST = {"rule": "action", "temperature": 0.0, "corner": 0.0, "word_ends": 0.0}


def selected(played, **options):
    experiment = Experiment(SETUP, plane=PLANE, blocks={"user": Scripted()})
    chosen = rest.RestOptions(**REST | options)
    return rest.select(experiment, chosen, RolloutOptions(), Encodes(), {ASHFORD.id: [*itertools.chain(*played)]}, 1)


@pytest.mark.parametrize(
    ("ends", "axes"), [({"corner": 1.0}, {0: {0.62}, 1: {0.05}}), ({"word_ends": 0.5}, {1: {0.02, 0.05}})]
)
def test_ends_of_the_plane_are_selected_at(ends, axes):
    rows = selected([games("#ANSWER Brandt")], hindsight=50, margin=0.1, **ends)
    seen = np.array([row.prompt_ids[0] for row in rows])
    assert len(rows) == 50 and all(set(seen[:, axis]) == values for axis, values in axes.items())


@pytest.mark.parametrize("full", [0.0, 0.1])
def test_tags_count_by_what_their_action_earns_more(full):
    played = [games(first, then) for first, then in PLAYED]
    rows = [row for row in selected(played, hindsight=200, margin=full) if not row.prompt_ids[1]]
    for row in rows:
        margin = tree(*played).choices(np.array([row.prompt_ids[0]]))[0][0].margin
        assert row.weight == 1 and row.first_weights == (
            pytest.approx(np.clip(margin / full, rest.LEAST, 1) if full else 1),
        )
    assert len(rows) == 200 and min(row.first_weights[0] for row in rows) == (rest.LEAST if full else 1)


def test_whatever_is_said_the_best_tag_is_learned():
    played = [games(first, then) for first, then in PLAYED]
    rows = [row for row in selected(played, hindsight=300, margin=0.1, temperature=0.1) if not row.prompt_ids[1]]
    other = 0
    for row in rows:
        (choice, *_) = tree(*played).choices(np.array([row.prompt_ids[0]]))[0]
        tag, weight = choice.best.text.split()[0], pytest.approx(np.clip(choice.margin / 0.1, rest.LEAST, 1))
        assert row.weight == 1 and row.first_weights == (weight,)
        assert row.relabel == (None if row.ids[0] == tag else (0, tag))
        other += row.ids[0] != tag
    assert 30 < other < 200, "what is said is now and then another action's message"


def test_messages_learned_once_have_their_tags_learned_at_every_cost():
    played = [games(first, then) for first, then in PLAYED]
    each, once = (selected(played, hindsight=200, margin=0.1, replies=replies) for replies in ("each", "once"))
    assert [row.prompt_ids for row in once] == [row.prompt_ids for row in each]
    whole = set()
    for row, short in zip(each, once, strict=True):
        message = (row.prompt_ids[1], row.ids)
        assert short == (row._replace(ids=row.ids[:1]) if message in whole else row)
        whole.add(message)
    assert 3 < len(whole) < 20, "the messages of every action, each after what it follows"


def test_points_of_one_best_action_are_learned_at_few_costs():
    alike = [games("#ANSWER Brandt"), games("#ANSWER nobody")]
    rows = selected(alike, hindsight=50, margin=0.1, constant=6)
    assert rows == selected(alike, hindsight=50, margin=0.1)[:6]
    varied = [games(first, then) for first, then in PLAYED]
    few, every = (selected(varied, hindsight=200, constant=constant) for constant in (6, None))
    assert [row for row in few if not row.prompt_ids[1]] == [row for row in every if not row.prompt_ids[1]], "turns"
    heard = [row.prompt_ids[1] for row in few if row.prompt_ids[1]]
    assert heard and max(map(heard.count, heard)) == 6 < max(map([row.prompt_ids[1] for row in every].count, heard))


def test_what_earns_less_than_the_least_value_is_not_learned():
    played = [games("#ANSWER nobody"), games("#MULTI_ANS film: nobody; bridge: no one")]
    assert len(selected(played, hindsight=50)) == 50, "the least wrong message"
    assert selected(played, hindsight=50, least_value=0.0) == []
    right = [games("#ANSWER nobody"), games("#ANSWER Brandt")]
    rows = selected(right, hindsight=200, least_value=0.47)
    earned = [tree(*right).choices(np.array([row.prompt_ids[0]]))[0][0].value for row in rows]
    assert min(earned) >= 0.47 and 0 < len(rows) < len(selected(right, hindsight=200))


def test_tags_of_several_tokens_part_at_one():
    """Of tags that begin alike, the first token in which they differ decides."""

    class Letters(Encodes):
        def leading(self, ids, characters):
            return characters

    answer, best = (Reply(text, ids=tuple(text)) for text in ("#ANSWER Brandt", "#ASK Which?"))
    row = rest.with_tag(Letters(), (7,), Choice((), answer, 1.0, best, 0.05, 0.5), len("#ANSWER"), 0.5)
    assert row == Example((7,), tuple("#ANSWER Brandt"), first_weights=(0.5,) * 3, relabel=(2, "S"))
    row = rest.with_tag(Letters(), (7,), Choice((), answer, 1.0, answer, 0.05, 0.5), len("#ANSWER"), 0.5)
    assert row == Example((7,), tuple("#ANSWER Brandt"), first_weights=(0.5,) * 7)


def test_follow_ups_are_kept_as_often_as_play_comes_to_them():
    rows = selected([games("#CLARIFY Which kind?", GOOD)], hindsight=500, margin=0.1)
    openings = sum(not row.prompt_ids[1] for row in rows)
    for reply, mass in zip(GOOD, (0.5, 0.3, 0.2), strict=True):
        count = sum(bool(row.prompt_ids[1]) and row.prompt_ids[1][-1].text == reply for row in rows)
        assert count == pytest.approx(mass * openings, abs=60)


class Ends(Encodes):
    """An agent whose messages end with the id 9."""

    end_ids = (9,)

    def encode(self, view):
        return view.role, view.heard


@pytest.mark.parametrize(
    ("learns", "user", "options", "learned", "why"),
    [
        (("assistant",), Self(), {}, {"assistant", "user"}, "the policy plays the user"),
        (("assistant",), Self(), {"partner_turns": False}, {"assistant"}, "and does not learn it"),
        (("assistant", "user"), HF("a"), {}, {"assistant", "user"}, "it learns both roles"),
        (("assistant", "user"), HF("a"), {"rule": "best"}, {"assistant", "user"}, "by any rule"),
        (("user",), HF("a"), {}, {"user"}, "the user alone"),
        (("assistant",), HF("b"), {}, {"assistant"}, "another model plays the user"),
    ],
)
def test_the_users_turns_are_learned_by_conduct_or_not_at_all(learns, user, options, learned, why):
    honest, leaks = (
        games(
            "#CLARIFY Which kind?",
            {text: "#ANSWER Brandt"},
            intents=(0,),
            user=Mumbler(lambda view, text=text: text if view.turn == 1 else "Brandt"),
        )
        for text in ("Film!", "The film by Ada Brandt!")
    )
    blocks = {"assistant": HF("a"), "user": user}
    experiment = Experiment(SETUP, plane=PLANE, blocks=blocks, learns=learns)
    rest.check(experiment, rest.RestOptions(**REST | options), RolloutOptions())
    pool = {ASHFORD.id: [*honest, *leaks]}
    chosen = rest.RestOptions(**REST | options | {"hindsight": 0})
    rows = rest.select(experiment, chosen, RolloutOptions(), Ends(), pool, 1)
    assert {role for (role, _), *_ in rows} == learned, why
    users = [ids for (role, _), ids, *_ in ((row.prompt_ids, row.ids) for row in rows) if role == "user"]
    assert len(users) == (3 if "user" in learned else 0), "one reply, and the closing answers of both games"


def test_a_run_that_would_learn_nothing_is_refused():
    blocks = {"assistant": HF("a"), "user": HF("a")}
    experiment = Experiment(SETUP, plane=PLANE, blocks=blocks, learns=("user",))
    with pytest.raises(ValueError, match=r"^rest\.partner_turns=false leaves nothing to learn with learn=\[user\]"):
        rest.check(experiment, rest.RestOptions(partner_turns=False), RolloutOptions())
