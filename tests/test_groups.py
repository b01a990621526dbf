"""The games of a group: every action tried, every hidden possibility played, or neither."""

from collections import Counter, defaultdict

import pytest
from toys import ASHFORD, Toy

from agents.selfplay import turn_seed
from clarify_env.costs import Costs
from clarify_env.games import find_game
from clarify_env.games.base import Reply
from clarify_env.games.clarification.actions import TAGS
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.games.setup import Setup
from trainers.rollouts.groups import Group, forced_openings, play_groups
from trainers.rollouts.grow import generated_tokens
from trainers.runs.options import RolloutOptions

TASK, COSTS = Toy(), Costs(0.25, 0.03)
SETUP = Setup(find_game("clarification"), TASK)
GROUPS = (Group(ASHFORD, COSTS, 7),)
TEXT_OF = {
    TAGS[0]: "#CLARIFY Which kind?",
    TAGS[1]: "#ANSWER Brandt",
    TAGS[2]: "#MULTI_ANS film: Brandt; opera: Jon Vale",
}


class Echo:
    """Begins with its opening, else guesses; after a question it answers with the user's reply."""

    name = "echo"

    def __init__(self):
        self.seeds, self.openings = defaultdict(list), defaultdict(list)

    def act(self, views, seeds, openings=None):
        openings = openings or [""] * len(views)
        for view, seed, opening in zip(views, seeds, openings, strict=True):
            self.seeds[view.turn].append(seed)
            self.openings[view.turn].append(opening)
        texts = [
            f"#ANSWER {view.heard[-1].text}" if view.heard else TEXT_OF[opening or TAGS[1]]
            for view, opening in zip(views, openings, strict=True)
        ]
        return [
            Reply(text, ids=(len(opening), 1, 2), logprobs=(0.0, -1.0, -1.0), forced=bool(opening))
            for text, opening in zip(texts, openings, strict=True)
        ]


def played(setup=SETUP, groups=GROUPS, spent=lambda tokens: None, most=None, **options):
    defaults = {"free": 2, "forced": 4, "actions": ["clarify", "answer", "multi_answer"], "follow_ups": 3}
    agents = {"assistant": Echo(), "user": ScriptedUser(TASK)}
    games = play_groups(setup, RolloutOptions(**defaults | options), groups, agents, 100, most, spent)
    return games, agents["assistant"]


def test_each_distinct_message_is_played_for_each_reading():
    games, _ = played()
    first = Counter((game.turns[0].reply.text, game.hidden) for game in games)
    assert set(first) == {(text, intent) for text in TEXT_OF.values() for intent in range(3)}
    assert {count for (text, _), count in first.items() if text == TEXT_OF[TAGS[0]]} == {3}, "follow-ups"
    assert {count for (text, _), count in first.items() if text != TEXT_OF[TAGS[0]]} == {1}
    assert [game.id for game in games] == list(range(100, 115)) and {game.prices for game in games} == {COSTS}


@pytest.mark.parametrize("actions", [["clarify"], ["clarify", "answer", "multi_answer"]])
def test_the_follow_ups_of_a_branch_differ_in_their_seeds(actions):
    """Equal seeds would play the same follow-up again, which passes for three samples."""
    games, assistant = played(actions=actions, follow_ups=5)
    branches = defaultdict(list)
    for game in games:
        if len(game.turns) > 2:
            branches[game.turns[0].reply.text, game.hidden].append(game)
    assert len(branches) == 3 and {len(branch) for branch in branches.values()} == {5}
    for branch in branches.values():
        assert len({game.seed for game in branch}) == 5
        assert len({turn_seed(game.seed, turn) for game in branch for turn in (1, 2)}) == 10
    # What the agent itself was given: five seeds a reading, and none of those its first messages were drawn with.
    assert len(set(assistant.seeds[2])) == 5 and set(Counter(assistant.seeds[2]).values()) == {3}
    first_seeds = set(assistant.seeds[0])
    assert not first_seeds & set(assistant.seeds[2]) and not first_seeds & {game.seed for game in games}
    assert len(set(assistant.seeds[0])) == len(assistant.seeds[0]), "nor are two first messages drawn with one seed"
    readings = defaultdict(set)
    for (_, hidden), branch in branches.items():
        readings[tuple(game.seed for game in branch)].add(hidden)
    assert list(readings.values()) == [{0, 1, 2}], "follow-up k has the same seed for every reading"


def test_the_first_follow_up_alone_is_forced_to_answer():
    _, assistant = played(follow_ups=3)
    assert Counter(assistant.openings[2]) == {TAGS[1]: 3, "": 6}


def test_plain_sampling_plays_one_game_a_message_for_an_intent_drawn_by_weight():
    games, assistant = played(free=3000, forced=0, marginal=False)
    assert len(games) == 3000 and {game.turns[0].reply.text for game in games} == {TEXT_OF[TAGS[1]]}
    shares = Counter(game.hidden for game in games)
    for intent, reading in enumerate(ASHFORD.interpretations):
        assert shares[intent] / 3000 == pytest.approx(reading.weight, abs=0.03)
    games, assistant = played(free=1, forced=1, marginal=False)
    assert [game.turns[0].reply.text for game in games] == [TEXT_OF[TAGS[1]], *TEXT_OF.values()], "in no other way"
    seeds = [seed for turn in assistant.seeds.values() for seed in turn]
    assert len(set(seeds)) == len(seeds), "no seed is used twice"


def test_every_token_that_was_sampled_counts_once():
    spent = []
    games, assistant = played(free=2, forced=2, spent=spent.append)
    # Two free first messages of three tokens and six of which one token is forced, though three are played; after the
    # question three replies for each reading, one of them forced, whose texts and tokens are otherwise the same.
    first, after = 2 * 3 + 6 * 2, 3 * (2 + 3 + 3)
    assert spent == [first] and generated_tokens(games, first) == first + after
    assert len(games) == 3 * 3 + 2 * 3 and len(assistant.seeds[2]) == 9
    games, _ = played(free=2, forced=1, marginal=False, spent=spent.append, most=3)
    assert (games, spent) == ([], [first, 2 * 3 + 3 * 2]), "those of a group that does not fit were sampled too"
    assert generated_tokens(games, spent[-1]) == 2 * 3 + 3 * 2


def test_first_messages_that_are_sampled_in_the_games_count_there():
    spent = []
    games, _ = played(free=2, forced=1, marginal=False, each_role=True, spent=spent.append)
    firsts, later = [g.turns[0].reply for g in games], [t.reply for g in games for t in g.turns[1:] if t.reply.ids]
    assert spent == [] and len(firsts) == 5 and len(later) == 1
    assert generated_tokens(games) == sum(len(reply.ids) - reply.forced for reply in firsts + later)


def test_games_may_be_begun_with_some_tags_alone():
    games, _ = played(free=0, forced=5, actions=["clarify"], marginal=False, follow_ups=1)
    assert [game.turns[0].reply.text for game in games] == [TEXT_OF[TAGS[0]]] * 5


def test_an_action_that_cannot_be_forced_is_refused():
    rollouts = RolloutOptions(free=2, forced=1, actions=["answer", "shout"])
    with pytest.raises(
        ValueError, match=r"rollouts\.actions: shout cannot be forced in game clarification; its first "
    ):
        forced_openings(SETUP, rollouts, "assistant")
    with pytest.raises(ValueError, match="its first mover has no openings"):
        forced_openings(SETUP, rollouts, "user")
    free = RolloutOptions(free=2, forced=0, actions=["shout"])
    assert forced_openings(SETUP, free, "assistant") == ["", ""]


def test_groups_of_a_chunk_do_not_mix():
    both = (Group(ASHFORD, COSTS, 7), Group(ASHFORD, Costs(0.5, 0.01), 8_000_000))
    together, _ = played(groups=both)
    apart = [game for group in both for game in played(groups=(group,))[0]]
    assert [game._replace(id=0) for game in together] == [game._replace(id=0) for game in apart]


def test_the_games_options_hold_in_a_groups_games():
    options = {"reasoning": "free", "max_questions": 0}
    games, _ = played(SETUP._replace(options=options))
    questions = [game for game in games if game.turns[0].reply.text == TEXT_OF[TAGS[0]]]
    assert questions and all(len(game.turns) == 1 and game.result.flags["invalid"] for game in questions)
