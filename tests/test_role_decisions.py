"""The best decision of each role, and games in which each role's openings are forced in turn."""

from collections import Counter
from types import SimpleNamespace

import pytest
from configs import arguments_of
from helping import GAME, TASK, TOOLS, pick, players

from clarify_env.games.base import Reply
from clarify_env.games.helpers.facts import ARCHIVES, HELPERS
from clarify_env.games.setup import Setup
from clarify_env.selfplay import trajectory
from trainers import rest
from trainers.rollouts.groups import Group, most_games, play_groups, was_played
from trainers.runs.options import RolloutOptions
from trainers.selection.decisions import answers, best_decisions
from trainers.selection.keep import keep_games, rule
from trainers.selection.returns import earned

SETUP = Setup(GAME, TASK)
EPISODE = pick(known=False, partly=False, covered=True, corpus=0)
GOLD = EPISODE.interpretations[0].answers[0]
WRONG, LUCKY = ["I think: zzz"], [f"I know: {GOLD}"]
FOUND, MISREAD = ["#SEARCH a", f"I know: {GOLD}"], ["#SEARCH a", "I think: zzz"]


def played(number, helper_0, helper_1, answer, forced=(), price=0.2):
    """A game of given messages; the first message of each forced role counts as begun with a given opening."""
    game, left = GAME.deal(TASK, EPISODE, 0, (price,)), {HELPERS[0]: list(helper_0), HELPERS[1]: list(helper_1)}
    first, asker = set(HELPERS), ["who?", answer]
    while (role := game.to_move) is not None:
        if role in ARCHIVES:
            game.apply(TOOLS[role].act([game.view(role)], [0])[0])
            continue
        given = int(role in forced and role in first)
        first.discard(role)
        game.apply(Reply((left[role] if role in HELPERS else asker).pop(0), ids=(1, 2), forced=given))
    return trajectory(number, number, game, {})


def by_point(games, price=0.2):
    return {
        (choice.turn.role, len(choice.turn.view.heard)): choice
        for choice in best_decisions(SETUP, games, (price,), GAME.learns)
    }


def test_a_lucky_answer_does_not_make_guessing_the_best_decision():
    games = [played(0, LUCKY, WRONG, GOLD), *(played(i, WRONG, WRONG, "zzz") for i in (1, 2, 3))]
    games += [played(i, FOUND, WRONG, GOLD) for i in (4, 5)] + [played(6, MISREAD, WRONG, "zzz")]
    best = keep_games(
        [earned(SETUP, [game], (0.2,), GAME.learns) for game in games],
        rule("best", k=1, threshold=[0.5], percentile=75, iteration=1),
    )
    assert LUCKY[0] in {message.reply.text for message in best}, "the best game is the lucky one"
    chosen = by_point(games)
    first, second = chosen["helper_0", 1], chosen["helper_0", 3]
    assert first.turn.reply.text == "#SEARCH a" and first.worth
    assert first.margin == pytest.approx(2 / 3 - 0.2 - 1 / 4)
    assert second.turn.reply.text == f"I know: {GOLD}" and second.margin == pytest.approx(1)
    assert ("helper_1", 1) not in chosen, "it has tried one action alone"
    expensive = by_point(games, 0.6)
    assert expensive["helper_0", 1].turn.reply.text == LUCKY[0], "a search is worth less than its price"
    assert ("helper_0", 3) not in expensive, "play does not come there"


def test_words_of_a_wrong_answer_are_not_learned():
    games = [played(0, WRONG, WRONG, "zzz"), played(1, FOUND, WRONG, "zzz"), played(2, ["I know: zzz"], WRONG, "zzz")]
    assert not by_point(games)["helper_0", 1].worth
    experiment = SimpleNamespace(setup=SETUP, by_reward=GAME.learns)
    renderer = SimpleNamespace(encode=lambda view: (0,), leading=lambda ids, length: 1)
    for replies, rows in (("each", [(1,), (1,)]), ("once", [(1,), (1,)])):
        options = rest.RestOptions(rule="by_role", replies=replies, margin=0.4)
        examples = rest.by_role(experiment, options, renderer, games, ((0.2,), (0.4,)))
        assert [example.ids for example in examples] == rows, "its tag alone"
        assert [example.first_weights for example in examples] == [(pytest.approx(0.5),), (1.0,)]
    games = [played(0, WRONG, WRONG, "zzz"), played(1, FOUND, WRONG, GOLD), played(2, FOUND, WRONG, GOLD)]
    for replies, whole in (("each", 2), ("once", 1)):
        options = rest.RestOptions(rule="by_role", replies=replies)
        examples = rest.by_role(experiment, options, renderer, games, ((0.2,), (0.4,)))
        lengths = Counter(len(example.ids) for example in examples)
        assert (lengths[2], lengths[1]) == (whole + 2, 2 - whole), "two whole messages are the asker's"


def test_games_in_which_another_role_was_forced_tell_nothing():
    free = [played(0, FOUND, WRONG, GOLD), played(1, WRONG, WRONG, "zzz")]
    other = [played(i, WRONG, LUCKY, GOLD, forced={HELPERS[1]}) for i in (2, 3, 4)]
    assert by_point(free + other, 0.4)["helper_0", 1].turn.reply.text == "#SEARCH a"
    own = [played(i, WRONG, LUCKY, GOLD, forced={HELPERS[0]}) for i in (2, 3, 4)]
    assert by_point(free + own, 0.4)["helper_0", 1].turn.reply.text == WRONG[0], "its own opening may be forced"
    assert {game.id for game, _ in answers(free + other, ["asker"])} == {0}
    assert answers([*other, free[1]], ["asker"]) == []


class Opened:
    """A helper that says what it is told to begin with, else hedges."""

    name = "opened"

    def act(self, views, seeds, openings=None):
        return [
            Reply(f"{opening or 'I think:'} x", ids=(1, 2), forced=int(bool(opening)))
            for opening in openings or [""] * len(views)
        ]


def test_openings_of_each_role_are_forced_in_turn():
    rollouts = RolloutOptions(
        free=2, forced=2, actions=["search", "assert"], marginal=False, each_role=True, follow_ups=1
    )
    groups = [Group(EPISODE, (0.2,), 0), Group(EPISODE, (0.4,), 10**7)]
    agents = players("memory") | dict.fromkeys(HELPERS, Opened()) | dict(TOOLS)
    games = play_groups(SETUP, rollouts, groups, agents)
    assert len(games) == 2 * 10 == 2 * most_games(SETUP, rollouts, groups[0])
    for group, own in zip(groups, (games[:10], games[10:]), strict=True):
        assert was_played(rollouts, group, own)
        forced = Counter(
            tuple((turn.role, turn.reply.text.split()[0]) for turn in game.turns if turn.reply.forced) for game in own
        )
        assert forced.pop(()) == 2
        assert forced == {((role, text),): 2 for role in HELPERS for text in ("#SEARCH", "I")}
    assert len({game.seed for game in games}) == 20


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            ["rollouts.each_role=true", "rollouts.forced=1", "rollouts.marginal=true"],
            r"rollouts\.each_role needs rollouts\.marginal=false",
        ),
        (
            ["rollouts.each_role=true", "rollouts.forced=0", "rollouts.marginal=false"],
            r"rollouts\.each_role forces openings of each role, and rollouts\.forced=0 forces none",
        ),
        (
            ["rollouts.each_role=true", "rollouts.forced=1", "rollouts.actions=[ask]"],
            r"rollouts\.actions: ask cannot be forced in game helpers; its roles have search, assert, hedge",
        ),
        (["game.alone=asker", "learn=[asker]", "rest.rule=by_role"], r"rest\.rule=by_role: no learning role"),
        (["game=clarification", "rest.rule=by_role"], r"rest\.rule=by_role needs rollouts\.marginal=false"),
        (["rest.temperature=0.1"], r"rest\.temperature has no effect with rest\.rule=best: it is of rest\.rule=action"),
        (["rest.k=2"], r"rest\.k has no effect with rest\.rule=best: it is of rest\.rule=top_k"),
        (["rest.threshold=[0.5]"], r"rest\.threshold has no effect with rest\.rule=best"),
        (["rest.percentile=50"], r"rest\.percentile has no effect with rest\.rule=best"),
    ],
)
def test_what_cannot_be_forced_or_selected_is_said_before_any_game(overrides, sentence):
    game = [] if any(word.startswith("game=") for word in overrides) else ["game=helpers"]
    with pytest.raises(ValueError, match=sentence):
        arguments_of("rest", *game, *overrides)
