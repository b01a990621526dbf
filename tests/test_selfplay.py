import numpy as np
import pytest
from toys import ASHFORD, DUNLEY, Toy

from agents.hf import HFAgent
from agents.kinds import Policy, make_players
from agents.models import Models
from agents.options import HF, Self
from agents.sample import LocalSampler
from agents.selfplay import Start, play, turn_seed
from clarify_env.costs import Costs
from clarify_env.games import find_game
from clarify_env.games.base import Reply
from clarify_env.games.clarification.strategies import ScriptedAssistant
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.games.setup import Setup
from trainers.runs.store import replay

COSTS = Costs(0.25, 0.03)


class Player:
    """Says what its table says of the number of messages so far, and notes what it was asked."""

    def __init__(self, lines, name="player"):
        self.lines, self.name, self.calls = lines, name, []

    def act(self, views, seeds, openings=None):
        self.calls.append((views, seeds, openings))
        return [Reply(self.lines[view.turn] if isinstance(self.lines, list) else self.lines(view)) for view in views]


def starts(n=9, **more):
    return [Start(ASHFORD, i % 3, COSTS, 100 + i, **more) for i in range(n)]


def games(starts, assistant, user=None, **options):
    return list(play(starts, {"assistant": assistant, "user": user or ScriptedUser(Toy())}, task=Toy(), **options))


def test_trajectories_come_in_order_with_all_they_need():
    begun = starts()
    played = games(begun, Player(["#CLARIFY Which kind?", None, "#ANSWER Jon Vale"]), first_id=40)
    assert [game.id for game in played] == list(range(40, 49))
    for start, game in zip(begun, played, strict=True):
        assert (game.hidden, game.seed, game.prices, game.episode_id) == (start.intent, start.seed, COSTS, "train/0")
        assert (game.game, game.task, game.split) == ("clarification", "toy", "train")
        assert game.agents == {"assistant": "player", "user": "scripted"}
        assert [turn.role for turn in game.turns] == ["assistant", "user"] * 2
        assert game.result.usage["questions"] == 1 and game.result.score == (start.intent == 1)
        assert game.turns[1].reply.text == f"The {ASHFORD.interpretations[start.intent].label} one."


@pytest.mark.parametrize("strategy", ["guess", "list", "ask", "threshold", "oracle"])
def test_the_size_of_a_chunk_does_not_change_scripted_games(strategy):
    begun = [*starts(), Start(DUNLEY, 0, COSTS, 7)]
    whole = games(begun, ScriptedAssistant(Toy(), strategy))
    for chunk in (1, 4, 10):
        assert games(begun, ScriptedAssistant(Toy(), strategy), chunk=chunk) == whole


def test_games_that_wait_for_one_agent_are_answered_in_one_batch():
    def say(view):
        return "#CLARIFY Which kind?" if not view.heard and view.facts.costs.alpha < 0.5 else "#ANSWER Jon Vale"

    assistant, user = Player(say), Player(lambda view: "The film one." if view.turn == 1 else "Jon Vale", "user")
    begun = [start._replace(costs=Costs(0.1 * (i + 1), 0.03)) for i, start in enumerate(starts(9))]
    games(begun, assistant, user)
    assert [len(views) for views, _, _ in assistant.calls] == [9, 4], "those who asked come again, the others are done"
    assert [len(views) for views, _, _ in user.calls] == [9, 4]
    assert all({view.role for view in views} == {"assistant"} for views, _, _ in assistant.calls)
    assistant.calls, user.calls = [], []
    games(begun, assistant, user, chunk=3)
    assert [len(views) for views, _, _ in assistant.calls] == [3, 3, 3, 1, 3]


def test_a_game_is_not_held_up_by_another(monkeypatch):
    assert list(play([], {"assistant": Player([]), "user": Player([])}, task=Toy())) == [], "no games, no calls"
    only_invalid = Player(["no tag"])
    user = Player([])
    assert all(game.result.flags["invalid"] and len(game.turns) == 1 for game in games(starts(), only_invalid, user))
    assert user.calls == [], "an agent for whom nobody waits is not called"


def test_an_opening_is_played_as_it_is():
    opening = Reply("#CLARIFY Which kind?", (1, 2), (3, 4), (-0.5, -0.25), 1)
    assistant = Player(lambda view: "#ANSWER Jon Vale")
    played = games(starts(3, opening=opening), assistant)
    assert all(game.turns[0].reply is opening for game in played)
    assert [len(views) for views, _, _ in assistant.calls] == [3], "the assistant speaks for the first time afterwards"
    done = games(starts(3, opening=Reply("#ANSWER Jon Vale")), assistant)
    assert len(assistant.calls) == 1 and all(len(game.turns) == 2 for game in done), "an opening may end the game"


@pytest.mark.parametrize(
    ("opening", "prefixes", "why"),
    [
        (None, ["#ANSWER", ""], "its first message, not its second"),
        (Reply("#CLARIFY Which era?"), ["#ANSWER"], "after an opening, the first that it makes itself"),
    ],
)
def test_a_prefix_is_for_the_first_message_the_assistant_makes(opening, prefixes, why):
    assistant = Player(["#CLARIFY Which kind?", None, "#ANSWER Jon Vale"])
    user = Player(lambda view: "The film one.", "user")
    games(starts(1, opening=opening, prefixes={"assistant": "#ANSWER"}), assistant, user)
    assert [given for _, _, (given,) in assistant.calls] == prefixes, why
    assert all(given == [""] for _, _, given in user.calls), "never for the user"


def test_seeds_differ_by_turn_and_follow_from_the_games():
    assistant, user = Player(["#CLARIFY Which kind?", None, "#ANSWER x"]), Player([None, "The film one.", None, "x"])
    games(starts(4), assistant, user)
    first, third = (seeds for _, seeds, _ in assistant.calls)
    second, fourth = (seeds for _, seeds, _ in user.calls)
    assert first == [turn_seed(100 + i, 0) for i in range(4)]
    assert len({*first, *second, *third, *fourth}) == 16, "no two turns share one"
    alone = Player(["#CLARIFY Which kind?", None, "#ANSWER x"])
    games(starts(4)[2:3], alone, user)
    assert [seeds for _, seeds, _ in alone.calls] == [[first[2]], [third[2]]], "whoever else is playing"
    assert all(0 <= turn_seed(seed, 3) < 2**63 for seed in (0, 2**62, 2**63 - 1))


def test_progress_counts_games():
    counted = []
    games(starts(9), ScriptedAssistant(Toy(), "guess"), chunk=4, progress=counted.append)
    assert counted == [4, 4, 1]


def test_options_of_the_game_are_the_callers():
    played = games(starts(), Player(["#CLARIFY Which?"]), options={"max_questions": 0})
    assert all(game.result.flags["invalid"] for game in played)
    with pytest.raises(ValueError, match="game clarification has no option lives; known: leaks, max_questions"):
        games(starts(), Player([]), options={"lives": 3})


@pytest.fixture
def both(tiny):
    """A model that plays either role."""
    agent = HFAgent(*tiny, style="pocket", max_new_tokens=16)
    return {"assistant": agent, "user": agent}


def model_starts(almanac):
    rng = np.random.default_rng(0)
    return [
        Start(almanac.episode("train", i % 4), 0, COSTS, int(rng.integers(2**62)), prefixes={"assistant": prefix})
        for i, prefix in enumerate(["#CLARIFY Which", "#ANSWER", "#MULTI_ANS", ""] * 6)
    ]


def test_a_model_on_both_sides(both, almanac):
    """Self-play: seeded, and the same whatever the chunk."""
    begun = model_starts(almanac)
    whole = list(play(begun, both, task=almanac))
    assert sum(len(game.turns) > 2 for game in whole) >= 4, "some must ask"

    def words(played):
        return [(game.result, [(t.reply.text, t.reply.ids) for t in game.turns]) for game in played]

    assert words(play(begun, both, task=almanac, chunk=5)) == words(whole)
    assert list(play(begun, both, task=almanac)) == whole
    for game in whole:
        assert all(turn.reply.prompt_ids == both[turn.role].renderer.encode(turn.view) for turn in game.turns)


def test_what_a_model_wrote_down_is_enough_to_play_it_again(both, almanac):
    for game in play(model_starts(almanac), both, task=almanac):
        assert replay(game.to_json(), Setup(find_game("clarification"), almanac)) == game


@pytest.mark.parametrize(("temperature", "calls"), [(1.0, [9, 9, 5]), (0.5, [4, 9, 5, 5])])
def test_both_sides_of_one_model_are_answered_in_one_batch(almanac, tiny, monkeypatch, temperature, calls):
    blocks = {"assistant": HF("a", style="pocket", max_new_tokens=12), "user": Self(temperature=temperature)}
    policy = Policy(*tiny, temperature=1.0, roles=("assistant",))
    players = make_players(blocks, find_game("clarification"), almanac, models=Models(), policy=policy)
    episode, asked = almanac.episode("train", 0), Reply("#CLARIFY Which kind?")
    # Half of the games wait for the assistant, half for the user; the replies to the user's come next.
    begun = [Start(episode, 0, COSTS, i, None if i % 2 else asked, {"assistant": "#ANSWER Ada"}) for i in range(9)]
    rows = []
    sample = LocalSampler.sample

    def counted(self, prompts, openings, seeds, limits=()):
        rows.append(len(prompts))
        return sample(self, prompts, openings, seeds, limits)

    monkeypatch.setattr(LocalSampler, "sample", counted)
    played = list(play(begun, players, task=almanac))
    assert rows == calls, "at one temperature rows of both roles share a call"
    for number, (start, game) in enumerate(zip(begun, played, strict=True)):
        (alone,) = play([start], players, task=almanac, first_id=number)
        assert [turn.reply.ids for turn in alone.turns] == [turn.reply.ids for turn in game.turns], "as if alone"
