"""The tree of an episode's games: values and choices at any prices, by hand."""

from collections import Counter

import numpy as np
import pytest
from toy_games import COSTS, ERA, GOOD, LIST, PLAYED, SETUP, TASK, TWO, Mumbler, Says, games, tree
from toys import ASHFORD

from agents.selfplay import Start, play
from clarify_env.costs import CostPlane, Costs
from clarify_env.games.base import Message
from clarify_env.games.clarification.actions import parse, words
from trainers.selection.tree import Tree


def worth(first, then, cost):
    """Expected reward by the rules, worked out game by game."""
    total = 0.0
    for game in games(first, then):
        total += ASHFORD.interpretations[game.hidden].weight * game.result.reward(Costs(*cost))
    return total


PRICES = np.array([(a, b) for a in (0.0, 0.05, 0.2, 0.35, 0.6, 0.9) for b in (0.001, 0.02, 0.05, 0.1, 0.3)])


def test_the_best_sampled_message_at_any_costs():
    grown = tree(*(games(first, then) for first, then in PLAYED))
    values, chosen, seen = grown.value(PRICES), grown.choices(PRICES), set()
    for prices, value, choices in zip(PRICES, values, chosen, strict=True):
        expected = {first: worth(first, then, prices) for first, then in PLAYED}
        assert value == pytest.approx(max(expected.values()))
        assert choices[0].heard == () and expected[choices[0].reply.text] == pytest.approx(value)
        seen.add(choices[0].reply.text)
    assert {"#ANSWER Brandt", LIST, "#CLARIFY Which kind?"} <= seen, "the costs must call for each"


def test_hindsight_is_what_playing_there_would_have_shown():
    """Choices do not depend on the costs that the games were played at."""
    here = tree(*(games(first, then) for first, then in PLAYED))
    for costs in (Costs(0.9, 0.001), Costs(0.01, 0.2)):
        there = tree(*(games(first, then, costs) for first, then in PLAYED))
        prices = np.array([costs])
        assert there.prices == {costs} and here.prices == {COSTS}
        assert there.choices(prices) == here.choices(prices) and there.value(prices) == here.value(prices)


def test_a_choice_says_what_its_action_earns_more_than_the_next_best():
    grown = tree(*(games(first, then) for first, then in PLAYED))
    margins = []
    for prices, choices in zip(PRICES, grown.choices(PRICES), strict=True):
        best: dict[str, float] = {}
        for first, then in PLAYED:
            action = first.split()[0]
            best[action] = max(best.get(action, -np.inf), worth(first, then, prices))
        highest, second = sorted(best.values(), reverse=True)[:2]
        assert choices[0].margin == pytest.approx(highest - second)
        margins.append(choices[0].margin)
    assert min(margins) < 0.02 and max(margins) > 0.2
    # In a branch of its own a follow-up is measured per game that comes there.
    poor = GOOD | {"The film one.": "#MULTI_ANS film: Jon Vale; opera: Brandt", "The opera one.": "#ANSWER Brandt"}
    (chosen,) = tree(games("#CLARIFY Which kind?", GOOD), games("#CLARIFY Which kind?", poor)).choices(PRICES[:1])
    alone = {choice.heard[-1].text: choice.margin for choice in chosen if choice.heard}
    assert alone.pop("The film one.") == pytest.approx(1 + 4 * PRICES[0, 1])
    assert set(alone.values()) == {np.inf}, "no other action was tried there"


@pytest.mark.parametrize("temperature", [0.05, 0.2])
def test_actions_are_drawn_by_what_their_best_message_earns(temperature):
    grown, rng = tree(*(games(first, then) for first, then in PLAYED)), np.random.default_rng(0)
    for prices in ((0.2, 0.045), (0.35, 0.02)):
        best: dict[str, tuple[float, str]] = {}
        for first, then in PLAYED[:-1]:
            best[first.split()[0]] = max(best.get(first.split()[0], (-np.inf, "")), (worth(first, then, prices), first))
        odds = np.exp([value / temperature for value, _ in best.values()])
        drawn = [first for first, *_ in grown.choices(np.array([prices] * 4000), temperature, rng)]
        said = Counter(choice.reply.text for choice in drawn)
        assert set(said) <= {first for _, first in best.values()}, "of each action its best message, and none invalid"
        shares = [said[first] / 4000 for _, first in best.values()]
        assert np.allclose(shares, odds / odds.sum(), atol=0.03) and min(shares) > 0
        (sure,) = grown.choices(np.array([prices]))
        assert {(choice.best, choice.margin) for choice in drawn} == {(sure[0].reply, sure[0].margin)}
        assert sure[0].best == sure[0].reply, "without temperature, the best alone"


@pytest.mark.parametrize(
    ("lucky", "why"),
    [
        (games("#ANSWER Bank of Lund"), "of three games one went well"),
        (games("#ANSWER Bank of Lund") * 5, "often drawn"),
    ],
)
def test_a_lucky_guess_is_worth_its_weight(lucky, why):
    assert lucky[2].result.score == 1, "the reading of weight 0.2 was meant, and guessed"
    prices = np.array([(0.9, 0.001)])
    grown = tree(lucky, games("#ANSWER Brandt"))
    assert grown.choices(prices)[0][0].reply.text == "#ANSWER Brandt", why
    assert tree(lucky).value(prices) == pytest.approx(0.2 - 0.003)


def test_a_list_of_one_reading_is_a_guess():
    """Else its value stands beside the guess's as another action's, and the guess seems hardly worth learning."""
    prices = np.array([(0.9, 0.02)])
    (chosen,) = tree(games("#ANSWER Brandt"), games("#MULTI_ANS bridge: Brandt"), games(TWO)).choices(prices)[0]
    (alone,) = tree(games("#ANSWER Brandt"), games(TWO)).choices(prices)[0]
    assert chosen == alone and chosen.margin > 0.02
    first = tree(games("#MULTI_ANS bridge: Brandt"), games(TWO)).actions(Costs(0.9, 0.02))
    assert set(first) == {"answer", "multi_answer"}


def test_a_follow_up_is_kept_only_where_it_is_the_best_of_its_branch():
    poor = GOOD | {"The film one.": "#ANSWER Jon Vale"}
    grown = tree(games("#CLARIFY Which kind?", GOOD), games("#CLARIFY Which kind?", poor))
    (chosen,) = grown.choices(np.array([(0.1, 0.02)]))
    follow = {choice.heard[-1].text: choice.reply.text for choice in chosen if choice.heard}
    assert follow == GOOD, "one a branch, the better one"
    assert {choice.heard[0] for choice in chosen[1:]} == {Message("assistant", "#CLARIFY Which kind?")}
    assert sorted(choice.mass for choice in chosen) == pytest.approx([0.2, 0.3, 0.5, 1.0])
    assert grown.value(np.array([(0.1, 0.02)])) == pytest.approx(1 - 0.1 - 0.02 * (0.5 * 1 + 0.3 * 2 + 0.2 * 3))


def test_a_follow_up_depends_on_the_costs():
    both = [games("#CLARIFY Which era?", ERA), games("#CLARIFY Which era?", ERA | {"The modern one.": TWO})]
    said = []
    for beta in (0.01, 0.2):
        (chosen,) = tree(*both).choices(np.array([(0.1, beta)]))
        said.append({c.heard[-1].text: c.reply.text for c in chosen if c.heard}["The modern one."])
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
        (["#ANSWER \u200b Brandt", "#ANSWER Brandt"], "#ANSWER \u200b Brandt", "what leaves no mark is no word"),
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
    assert all(choice.heard[0].text == chosen[0].reply.text for choice in chosen[1:]), "the histories agree with it"


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


def test_a_reply_is_weighed_by_how_often_it_was_given():
    """Of the film's users half say "Hm.", of the opera's all do: after "Hm." the opera (0.3) beats the film (0.25)."""

    def say(reply):
        def line(view):
            if view.heard[-1].text.startswith("#ANSWER"):
                return view.heard[-1].text.removeprefix("#ANSWER ")
            return reply

        return Mumbler(line)

    grown = Tree(SETUP, ASHFORD, "assistant")
    for answer in ("#ANSWER Brandt", "#ANSWER Jon"):
        then = {"Hm.": answer.replace("Jon", "Jon Vale"), "Film.": "#ANSWER Brandt"}
        for user, intent in ((say("Hm."), 0), (say("Film."), 0), (say("Hm."), 1), (say("Hm."), 1)):
            for game in games("#CLARIFY Which kind?", then, intents=(intent,), user=user):
                grown.add(game)
    prices = np.array([(0.1, 0.0)])
    follow = {c.heard[-1].text: c.reply.text for c in grown.choices(prices)[0] if c.heard}
    assert follow == {"Hm.": "#ANSWER Jon Vale", "Film.": "#ANSWER Brandt"}
    assert grown.value(prices) == pytest.approx(0.25 + 0.3 - 0.1 * 0.8), "as it is valued"


def test_costs_of_a_plane_all_get_choices():
    prices = np.array(CostPlane().train())
    chosen = tree(*(games(first, then) for first, then in PLAYED)).choices(prices)
    assert len(chosen) == len(prices) and all(choices[0].heard == () for choices in chosen)


def test_an_intent_for_which_a_message_was_not_played_counts_as_the_mean_of_the_others():
    grown = tree(games(LIST), games("#ANSWER Brandt", intents=(0, 2)))
    # Of the film (0.5) and the bridge (0.2) the guess serves the first.
    assert grown.value(np.array([(0.9, 0.1)])) == pytest.approx(0.5 / 0.7 - 0.1)


def test_a_role_that_can_tell_what_is_hidden_is_refused():
    """Its decisions depend on what is hidden, so that their mean over it is no value of any of them."""
    with pytest.raises(ValueError) as error:
        Tree(SETUP, ASHFORD, "user")
    assert str(error.value) == (
        "game clarification: decisions of user cannot be averaged over what is hidden, since it knows that; select "
        "whole games by reward instead (rest.rule=best)"
    )


def test_games_that_a_partner_ended_count_beside_those_that_went_on():
    """One of three replies to the film's question ended its game, by ``game.leaks=end``, with score 0."""
    told = heard_by("It was Ada Brandt.", {"leaks": "end"})
    asked = "#CLARIFY Which kind?"
    fine = [games(asked, GOOD, intents=(0,)) for _ in range(2)]
    rest = [games(asked, GOOD, intents=(1, 2))]
    grown = tree(told, *fine, *rest)
    assert [game.result.score for game in grown.games] == [0, 1, 1, 1, 1]
    value = grown.value(np.array([(0.0, 0.0)]))[0]
    assert value == pytest.approx(0.5 * 2 / 3 + 0.3 + 0.2)
    (choices,) = grown.choices(np.array([(0.0, 0.0)]))
    assert sorted(choice.mass for choice in choices) == pytest.approx([0.2, 0.3, 0.5 * 2 / 3, 1])


def heard_by(reply, options):
    agents = {"assistant": Says("#CLARIFY Which kind?", GOOD), "user": Mumbler(lambda view: reply)}
    return list(play([Start(ASHFORD, 0, COSTS, 5)], agents, task=TASK, options=options))
