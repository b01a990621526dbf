import itertools
from collections import Counter

import numpy as np
import pytest
from omegaconf import OmegaConf
from toys import ASHFORD, Toy

from agents.hf import Row
from agents.selfplay import Start, play
from clarify_env.costs import CostPlane, Costs
from clarify_env.games.base import Reply
from clarify_env.games.clarification.actions import kind, parse, words
from clarify_env.games.clarification.users import ScriptedUser
from trainers import rest
from trainers.selection.tree import Choice, Tree, decision

TASK, COSTS = Toy(), Costs(0.25, 0.03)
TWO = "#MULTI_ANS film: Brandt; opera: Jon Vale"
LIST = "#MULTI_ANS film: Brandt; opera: Jon Vale; bridge: Bank of Lund"

SAME = [
    ("#ANSWER The Bank of Lund", "#ANSWER bank of lund!", True, "articles, case and punctuation"),
    ("#ANSWER Brandt", "#ANSWER Ada Brandt", False, "an alias is another answer"),
    ("#ANSWER Brandt", "#CLARIFY Brandt", False, "another tag"),
    (TWO, "#MULTI_ANS opera: Jon Vale\nfilm: Brandt", True, "order of the items"),
    (TWO, "#MULTI_ANS The Film: Brandt; Opera: Jon Vale", True, "case of labels"),
    (TWO, "#MULTI_ANS film: Jon Vale; opera: Brandt", False, "who gets which"),
    ("#MULTI_ANS film: Brandt", "#MULTI_ANS film: Brandt; film: Brandt", True, "a repetition adds no pair"),
    ("#MULTI_ANS film: Brandt", "#ANSWER Brandt", False, "a list of one is a list"),
    ("#CLARIFY Which kind?", "#CLARIFY What type of thing was it?", True, "wordings that ask the same"),
    ("#CLARIFY Which kind?", "#CLARIFY Do you mean the film, the opera or the bridge?", True, "nor does offering them"),
    ("#CLARIFY Which kind?", "#CLARIFY Which era?", False, "another attribute"),
    ("#CLARIFY Is it the film?", "#CLARIFY Is it the opera?", False, "another reading offered"),
    ("#CLARIFY What?", "#CLARIFY Sorry?", True, "neither is understood"),
    ("Brandt", "#ANSWER Brandt", False, "no tag"),
    ("Brandt", "Brandt", True, "invalid and the same"),
    ("#ANSWER", "#ANSWER  ", True, "silence"),
]


@pytest.mark.parametrize(("one", "other", "same", "why"), SAME)
def test_decision(one, other, same, why):
    assert (decision(TASK, ASHFORD, one) == decision(TASK, ASHFORD, other)) is same, why
    assert decision(TASK, ASHFORD, one)[0] == kind(parse(one))


class Says:
    """Plays one message first, then by what it hears."""

    name = "says"

    def __init__(self, first, then):
        self.first, self.then = first, then

    def act(self, views, seeds, prefixes=None):
        texts = [self.then.get(view.history[-1][1], "#ANSWER") if view.history else self.first for view in views]
        return [Reply(text, (1,), tuple(text.split())) for text in texts]


def games(first, then=None, costs=COSTS, intents=(0, 1, 2), user=None):
    starts = [Start(ASHFORD, intent, costs, 5) for intent in intents]
    agents = {"assistant": Says(first, then or {}), "user": user or ScriptedUser(TASK)}
    return list(play(starts, agents, task=TASK))


def tree(*played):
    grown = Tree(TASK, ASHFORD)
    for game in itertools.chain(*played):
        grown.add(game)
    return grown


GOOD = {
    "The film one.": "#ANSWER Brandt",
    "The opera one.": "#ANSWER Jon Vale",
    "The bridge one.": "#ANSWER Bank of Lund",
}
ERA = {"The modern one.": "#ANSWER Brandt", "The Tudor one.": "#ANSWER Bank of Lund"}
PLAYED = [
    ("#ANSWER Brandt", None),
    ("#ANSWER Jon Vale", None),
    (LIST, None),
    ("#CLARIFY Which kind?", GOOD),
    ("#CLARIFY Which era?", ERA),
    (TWO, None),
    ("no tag", None),
]


def worth(first, then, cost):
    """Expected reward by the rules, worked out game by game."""
    total = 0.0
    for game in games(first, then):
        total += ASHFORD.interpretations[game.intent].weight * game.outcome.reward(Costs(*cost))
    return total


CELLS = np.array([(a, b) for a in (0.0, 0.05, 0.2, 0.35, 0.6, 0.9) for b in (0.001, 0.02, 0.05, 0.1, 0.3)])


def test_the_best_sampled_message_at_any_costs():
    grown = tree(*(games(first, then) for first, then in PLAYED))
    values, chosen, seen = grown.value(CELLS), grown.choices(CELLS), set()
    for cell, value, choices in zip(CELLS, values, chosen, strict=True):
        expected = {first: worth(first, then, cell) for first, then in PLAYED}
        assert value == pytest.approx(max(expected.values()))
        assert choices[0].history == () and expected[choices[0].reply.text] == pytest.approx(value)
        seen.add(choices[0].reply.text)
    assert {"#ANSWER Brandt", LIST, "#CLARIFY Which kind?"} <= seen, "the costs must call for each"


def test_hindsight_is_what_playing_there_would_have_shown():
    """Choices do not depend on the costs that the games were played at."""
    here = tree(*(games(first, then) for first, then in PLAYED))
    for costs in (Costs(0.9, 0.001), Costs(0.01, 0.2)):
        there = tree(*(games(first, then, costs) for first, then in PLAYED))
        cell = np.array([costs])
        assert there.costs == {costs} and here.costs == {COSTS}
        assert there.choices(cell) == here.choices(cell) and there.value(cell) == here.value(cell)


def test_a_choice_says_what_its_action_earns_more_than_the_next_best():
    grown = tree(*(games(first, then) for first, then in PLAYED))
    margins = []
    for cell, choices in zip(CELLS, grown.choices(CELLS), strict=True):
        best: dict[str, float] = {}
        for first, then in PLAYED:
            action = first.split()[0]
            best[action] = max(best.get(action, -np.inf), worth(first, then, cell))
        highest, second = sorted(best.values(), reverse=True)[:2]
        assert choices[0].margin == pytest.approx(highest - second)
        margins.append(choices[0].margin)
    assert min(margins) < 0.02 and max(margins) > 0.2
    # In a branch of its own a follow-up is measured per game that comes there.
    poor = GOOD | {"The film one.": "#MULTI_ANS film: Jon Vale; opera: Brandt", "The opera one.": "#ANSWER Brandt"}
    (chosen,) = tree(games("#CLARIFY Which kind?", GOOD), games("#CLARIFY Which kind?", poor)).choices(CELLS[:1])
    alone = {choice.history[-1][1]: choice.margin for choice in chosen if choice.history}
    assert alone.pop("The film one.") == pytest.approx(1 + 4 * CELLS[0, 1])
    assert set(alone.values()) == {np.inf}, "no other action was tried there"


@pytest.mark.parametrize("temperature", [0.05, 0.2])
def test_actions_are_drawn_by_what_their_best_message_earns(temperature):
    grown, rng = tree(*(games(first, then) for first, then in PLAYED)), np.random.default_rng(0)
    for cell in ((0.2, 0.045), (0.35, 0.02)):
        best: dict[str, tuple[float, str]] = {}
        for first, then in PLAYED[:-1]:
            best[first.split()[0]] = max(best.get(first.split()[0], (-np.inf, "")), (worth(first, then, cell), first))
        odds = np.exp([value / temperature for value, _ in best.values()])
        drawn = [first for first, *_ in grown.choices(np.array([cell] * 4000), temperature, rng)]
        said = Counter(choice.reply.text for choice in drawn)
        assert set(said) <= {first for _, first in best.values()}, "of each action its best message, and none invalid"
        shares = [said[first] / 4000 for _, first in best.values()]
        assert np.allclose(shares, odds / odds.sum(), atol=0.03) and min(shares) > 0
        (sure,) = grown.choices(np.array([cell]))
        assert {(choice.best, choice.margin) for choice in drawn} == {(sure[0].reply, sure[0].margin)}
        assert sure[0].best == sure[0].reply, "without temperature, the best alone"


class Encodes:
    """An agent whose tokens are words."""

    def encode(self, view):
        return view.costs, view.history

    def leading(self, ids, characters):
        return 1 if characters else 0


REST = {"rule": "action", "temperature": 0.0, "dearest": 0.0, "word_ends": 0.0}


def selected(played, **options):
    cell = {"alpha": [0.15, 0.62], "beta": [0.02, 0.05], "values": 28, "steps": [0.01, 0.001], "band": 0.05}
    config = OmegaConf.create({"seed": 0, "costs": cell, "rest": REST | options, "user": {"kind": "scripted"}})
    return rest.select(config, Encodes(), [tree(*played)], 1)


@pytest.mark.parametrize(
    ("ends", "axes"), [({"dearest": 1.0}, {0: {0.62}, 1: {0.05}}), ({"word_ends": 0.5}, {1: {0.02, 0.05}})]
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
        assert row.weight == 1 and row.lead == (pytest.approx(np.clip(margin / full, rest.LEAST, 1) if full else 1),)
    assert len(rows) == 200 and min(row.lead[0] for row in rows) == (rest.LEAST if full else 1)


def test_whatever_is_said_the_best_tag_is_learned():
    played = [games(first, then) for first, then in PLAYED]
    rows = [row for row in selected(played, hindsight=300, margin=0.1, temperature=0.1) if not row.prompt_ids[1]]
    other = 0
    for row in rows:
        (choice, *_) = tree(*played).choices(np.array([row.prompt_ids[0]]))[0]
        tag, weight = choice.best.text.split()[0], pytest.approx(np.clip(choice.margin / 0.1, rest.LEAST, 1))
        assert row.weight == 1 and row.lead == (weight,)
        assert row.instead == (None if row.ids[0] == tag else (0, tag))
        other += row.ids[0] != tag
    assert 30 < other < 200, "what is said is now and then another action's message"


def test_tags_of_several_tokens_part_at_one():
    """Of tags that begin alike, the first token in which they differ decides."""

    class Letters(Encodes):
        def leading(self, ids, characters):
            return characters

    said, best = (Reply(text, ids=tuple(text)) for text in ("#ANSWER Brandt", "#ASK Which?"))
    row = rest.with_tag(Letters(), (7,), Choice((), said, 1.0, best, 0.05), 0.5)
    assert row == Row((7,), tuple("#ANSWER Brandt"), lead=(0.5,) * 3, instead=(2, "S"))
    row = rest.with_tag(Letters(), (7,), Choice((), said, 1.0, said, 0.05), 0.5)
    assert row == Row((7,), tuple("#ANSWER Brandt"), lead=(0.5,) * 7)


def test_follow_ups_are_kept_as_often_as_play_comes_to_them():
    rows = selected([games("#CLARIFY Which kind?", GOOD)], hindsight=500, margin=0.1)
    cells = sum(not row.prompt_ids[1] for row in rows)
    for reply, mass in zip(GOOD, (0.5, 0.3, 0.2), strict=True):
        kept = sum(bool(row.prompt_ids[1]) and row.prompt_ids[1][-1][1] == reply for row in rows)
        assert kept == pytest.approx(mass * cells, abs=60)


@pytest.mark.parametrize(
    ("lucky", "why"),
    [
        (games("#ANSWER Bank of Lund"), "of three games one went well"),
        (games("#ANSWER Bank of Lund") * 5, "often drawn"),
    ],
)
def test_a_lucky_guess_is_worth_its_weight(lucky, why):
    assert lucky[2].outcome.accuracy == 1, "the reading of weight 0.2 was meant, and guessed"
    cell = np.array([(0.9, 0.001)])
    grown = tree(lucky, games("#ANSWER Brandt"))
    assert grown.choices(cell)[0][0].reply.text == "#ANSWER Brandt", why
    assert tree(lucky).value(cell) == pytest.approx(0.2 - 0.003)


def test_a_list_of_one_reading_is_a_guess():
    """Else its value stands beside the guess's as another action's, and the guess seems hardly worth learning."""
    cell = np.array([(0.9, 0.02)])
    (chosen,) = tree(games("#ANSWER Brandt"), games("#MULTI_ANS bridge: Brandt"), games(TWO)).choices(cell)[0]
    (alone,) = tree(games("#ANSWER Brandt"), games(TWO)).choices(cell)[0]
    assert chosen == alone and chosen.margin > 0.02
    first = tree(games("#MULTI_ANS bridge: Brandt"), games(TWO)).actions(Costs(0.9, 0.02))
    assert set(first) == {"answer", "multi_answer"}


def test_a_follow_up_is_kept_only_where_it_is_the_best_of_its_branch():
    poor = GOOD | {"The film one.": "#ANSWER Jon Vale"}
    grown = tree(games("#CLARIFY Which kind?", GOOD), games("#CLARIFY Which kind?", poor))
    (chosen,) = grown.choices(np.array([(0.1, 0.02)]))
    follow = {choice.history[-1][1]: choice.reply.text for choice in chosen if choice.history}
    assert follow == GOOD, "one a branch, the better one"
    assert {choice.history[0] for choice in chosen[1:]} == {("assistant", "#CLARIFY Which kind?")}
    assert sorted(choice.mass for choice in chosen) == pytest.approx([0.2, 0.3, 0.5, 1.0])
    assert grown.value(np.array([(0.1, 0.02)])) == pytest.approx(1 - 0.1 - 0.02 * (0.5 * 1 + 0.3 * 2 + 0.2 * 3))


def test_a_follow_up_depends_on_the_costs():
    both = [games("#CLARIFY Which era?", ERA), games("#CLARIFY Which era?", ERA | {"The modern one.": TWO})]
    said = []
    for beta in (0.01, 0.2):
        (chosen,) = tree(*both).choices(np.array([(0.1, beta)]))
        said.append({c.history[-1][1]: c.reply.text for c in chosen if c.history}["The modern one."])
    # Of mass 0.8: the list earns 0.8 - 5 * 0.8 beta, the guess 0.5 - 0.8 beta.
    assert said == [TWO, "#ANSWER Brandt"]


def test_branches_nobody_chooses_are_not_learned():
    grown = tree(games("#ANSWER Brandt"), games("#CLARIFY Which kind?", GOOD))
    (chosen,) = grown.choices(np.array([(0.9, 0.01)]))
    assert [choice.reply.text for choice in chosen] == ["#ANSWER Brandt"]


@pytest.mark.parametrize(
    ("messages", "kept", "why"),
    [
        (["#CLARIFY What do you mean by all that?", "#CLARIFY Which era?"], "#CLARIFY Which era?", "decisions tie"),
        (["#CLARIFY Which era?", "#CLARIFY What do you mean by all that?"], "#CLARIFY Which era?", "in either order"),
        (["#ANSWER the Brandt", "#ANSWER Brandt"], "#ANSWER Brandt", "wordings of one decision"),
        (["#ANSWER Brandt", "#ANSWER the Brandt"], "#ANSWER Brandt", "in either order"),
        (["#MULTI_ANS film: Jon Vale", "#ANSWER"], "#ANSWER", "nothing earned, where words are free"),
    ],
)
def test_ties_go_to_fewest_words(messages, kept, why):
    (chosen,) = tree(*map(games, messages)).choices(np.array([(0.2, 0.0)]))
    assert chosen[0].reply.text == kept, why


def test_a_question_already_answered_keeps_its_wording():
    """Follow-ups were played after its very words, so that a shorter wording met later does not take their place."""
    grown = tree(games("#CLARIFY What type of thing?", GOOD), games("#CLARIFY Which kind?", GOOD))
    (chosen,) = grown.choices(np.array([(0.1, 0.02)]))
    assert chosen[0].reply.text == "#CLARIFY What type of thing?"
    assert all(choice.history[0][1] == chosen[0].reply.text for choice in chosen[1:]), "the histories agree with it"


def test_invalid_messages_pay():
    grown = tree(games("Ada Brandt"))
    assert grown.value(np.array([(0.25, 0.03)])) == pytest.approx(-0.31)
    asked = tree(games("#CLARIFY Which era?", {"The modern one.": "no", "The Tudor one.": "no"}))
    assert asked.value(np.array([(0.25, 0.03)])) == pytest.approx(-0.53)
    assert words(parse("Ada Brandt")) == 2


def test_replies_are_those_generated():
    """Ids go from the game to the row untouched: they are never made anew from the text."""
    played = games("#CLARIFY Which kind?", GOOD)
    (chosen,) = tree(played).choices(np.array([(0.1, 0.02)]))
    replies = [turn.reply for game in played for turn in game.turns]
    assert all(any(choice.reply is reply for reply in replies) for choice in chosen)


class Mumbler:
    """A user whose replies differ from game to game, and who may misspeak."""

    name = "mumbler"

    def __init__(self, lines):
        self.lines = lines

    def act(self, views, seeds, prefixes=None):
        return [Reply(self.lines(view), (7,), (8, 9), (0.0, 0.0)) for view in views]


def test_a_reply_is_weighed_by_how_often_it_was_given():
    """Of the film's users half say "Hm.", of the opera's all do: after "Hm." the opera (0.3) beats the film (0.25)."""

    def say(reply):
        def line(view):
            if view.history[-1][1].startswith("#ANSWER"):
                return view.history[-1][1].removeprefix("#ANSWER ")
            return reply

        return Mumbler(line)

    grown = Tree(TASK, ASHFORD)
    for answer in ("#ANSWER Brandt", "#ANSWER Jon"):
        then = {"Hm.": answer.replace("Jon", "Jon Vale"), "Film.": "#ANSWER Brandt"}
        for user, intent in ((say("Hm."), 0), (say("Film."), 0), (say("Hm."), 1), (say("Hm."), 1)):
            for game in games("#CLARIFY Which kind?", then, intents=(intent,), user=user):
                grown.add(game)
    cell = np.array([(0.1, 0.0)])
    follow = {c.history[-1][1]: c.reply.text for c in grown.choices(cell)[0] if c.history}
    assert follow == {"Hm.": "#ANSWER Jon Vale", "Film.": "#ANSWER Brandt"}
    assert grown.value(cell) == pytest.approx(0.25 + 0.3 - 0.1 * 0.8), "as it is valued"


def heard(lines, first="#CLARIFY Which kind?", then=None):
    return games(first, then or {"Film!": "#ANSWER Brandt"}, intents=(0,), user=Mumbler(lines))


@pytest.mark.parametrize(
    ("reply", "closing", "kept", "why"),
    [
        ("Film!", "Brandt", 2, "it went well: both turns"),
        ("Film!", "Jon Vale", 0, "the closing answer is not grounded"),
        ("It was Ada Brandt.", "Brandt", 0, "it gave the answer away"),
        ("Hm.", "", 0, "it earned nothing"),
    ],
)
def test_user_turns(reply, closing, kept, why):
    def lines(view):
        return reply if view.turn == 1 else closing

    then = {"Film!": "#ANSWER Brandt", "It was Ada Brandt.": "#ANSWER Brandt"}
    turns = tree(heard(lines, then=then)).user_turns()
    assert len(turns) == kept, why
    assert all(turn.role == "user" and turn.reply.ids == (8, 9) for turn in turns)


def test_user_turns_are_the_models_own_and_one_a_place():
    assert tree(games("#CLARIFY Which kind?", GOOD)).user_turns() == [], "a scripted user's have no ids"
    played = heard(lambda view: "Film!" if view.turn == 1 else "Brandt")
    assert len(tree(played * 3, played).user_turns()) == 2


def test_costs_of_a_plane_all_get_choices():
    cells = np.array(CostPlane().train())
    chosen = tree(*(games(first, then) for first, then in PLAYED)).choices(cells)
    assert len(chosen) == len(cells) and all(choices[0].history == () for choices in chosen)


def test_an_intent_for_which_a_message_was_not_played_counts_as_the_mean_of_the_others():
    grown = tree(games(LIST), games("#ANSWER Brandt", intents=(0, 2)))
    # Of the film (0.5) and the bridge (0.2) the guess serves the first.
    assert grown.value(np.array([(0.9, 0.1)])) == pytest.approx(0.5 / 0.7 - 0.1)
