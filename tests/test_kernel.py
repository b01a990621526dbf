"""The kernel, by a game that is none of ours: a dealer whispers a number, two players bid in turn."""

import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint, EntryPoints
from types import SimpleNamespace

import numpy as np
import pytest

from clarify_env import games
from clarify_env.costs import Costs, FixedPrices
from clarify_env.games import find_game, game_names
from clarify_env.games.agents import Agent
from clarify_env.games.base import Game, Message, Reply, Result, Trajectory, Turn, View, reward
from clarify_env.games.description import Description, indented

EPISODE = SimpleNamespace(id="train/0", limits=(3, 5))


class WhisperGame(Game):
    """The dealer whispers a hint to one player; both then bid. Who bids the hidden limit exactly scores 1."""

    name = "whisper"
    roles = ("dealer", "left", "right")

    def __init__(self, task, episode, hidden=0, prices=(), *, hints=1):
        super().__init__(task, episode, hidden, prices, hints=hints)
        self.hints = hints
        self.to_move = "dealer"

    def facts(self, role, prices):
        if role not in self.roles:
            raise ValueError(f"the whisper game has no role {role!r}")
        return self.episode.limits[self.hidden] if role == "dealer" else (role, prices)

    def move(self, role, text):
        if role == "dealer":
            self.say(role, text, ("left",))
            self.hints -= 1
            self.to_move = "left" if self.hints == 0 else "dealer"
            return "hint"
        self.say(role, text)
        self.to_move = "right"
        if role == "right":
            limit = str(self.episode.limits[self.hidden])
            scores = {turn.role: float(turn.reply.text == limit) for turn in self.turns} | {role: float(text == limit)}
            usage = {"words": len((text or "").split())}
            own = {bidder: Result(scores[bidder], usage) for bidder in ("left", "right")}
            self.result = Result(max(own["left"].score, own["right"].score), usage, {"won": True}, own)
        return None


@dataclass(frozen=True)
class WhisperOptions:
    hints: int = 1


class Whisper(Description):
    name = "whisper"
    game = WhisperGame
    options = WhisperOptions
    usage = ("words",)

    def weights(self, episode):
        return (0.5, 0.5)


class Plain(Description):
    """No more than a name and a game."""

    name = "plain"
    game = WhisperGame


def dealt(*texts, hidden=0, **options):
    game = WhisperGame(SimpleNamespace(name="numbers"), EPISODE, hidden, (0.25,), **options)
    for text in texts:
        game.apply(Reply(text))
    return game


# Rewards.


@pytest.mark.parametrize(
    ("score", "usage", "prices", "expected"),
    [
        (1.0, (), (), 1.0),
        (1.0, (2, 3), (0.25, 0.03), 0.41),
        (0.0, (1,), (5.0,), -5.0),
        (np.ones((2, 3)), (np.arange(3),), (0.5,), [[1, 0.5, 0], [1, 0.5, 0]]),
        (
            np.ones(2)[:, None],
            ([np.arange(2)[:, None]][0], 1),
            (np.array([0.1, 0.2, 0.3]), 1.0),
            [[0] * 3, [-0.1, -0.2, -0.3]],
        ),
    ],
)
def test_the_reward_is_the_score_less_what_was_used(score, usage, prices, expected):
    np.testing.assert_allclose(reward(score, usage, prices), expected)


@pytest.mark.parametrize(("usage", "prices"), [((1,), ()), ((), (1,)), ((1, 2), (1,))])
def test_each_usage_has_its_price(usage, prices):
    with pytest.raises(ValueError, match="zip"):
        reward(1.0, usage, prices)
    with pytest.raises(ValueError, match="zip"):
        Result(1.0, dict(enumerate(usage))).reward(prices)


def test_prices_are_taken_in_the_order_of_the_usage_and_subtracted_one_after_another():
    score, questions, words, alpha, beta = 0.3, 2, 7, 0.1, 0.07
    result = Result(score, {"questions": questions, "words": words})
    assert result.reward(Costs(alpha, beta)) == score - alpha * questions - beta * words, "to the last bit"
    assert isinstance(Result(np.float64(1.0)).reward(()), float)


def test_a_role_may_have_a_result_of_its_own():
    own = Result(0.25, {"words": 4})
    result = Result(1.0, {"words": 1}, {"won": True}, {"left": own})
    assert result.of("left") is own and result.of("right") is result and result.of(None) is result
    assert [result.reward((0.5,), role) for role in (None, "left", "right")] == [0.5, -1.75, 0.5]
    assert Result(1.0).of("left") == Result(1.0)
    assert result.to_json() == {
        "score": 1.0,
        "usage": {"words": 1},
        "flags": {"won": True},
        "by_role": {"left": {"score": 0.25, "usage": {"words": 4}, "flags": {}}},
    }


# Messages and views.


def test_a_private_message_is_heard_by_whom_it_is_for():
    game = dealt("three", "3")
    whisper, bid = Message("dealer", "three", ("left",)), Message("left", "3")
    assert game.heard("dealer") == game.heard("left") == (whisper, bid), "by its sender too"
    assert game.heard("right") == (bid,)
    assert game.view("right") == View("right", (bid,), ("right", (0.25,)), 2), "moves are counted, unheard ones too"
    assert "three" not in str(game.view("right"))
    with pytest.raises(ValueError, match="no role 'judge'"):
        game.view("judge")


def test_what_is_no_text_is_heard_as_an_empty_one_and_kept_as_it_was():
    game = dealt(None, 7)
    assert [message.text for message in game.heard("left")] == ["", ""]
    assert [turn.reply.text for turn in game.turns] == [None, 7]


def test_a_view_is_new_after_every_message():
    game = dealt()
    first = game.view("left")
    assert game.view("left") is first
    game.apply(Reply("three"))
    assert game.view("left").heard == (Message("dealer", "three", ("left",)),) and first.heard == ()
    game.say("tool", "more")
    assert game.view("left").heard[-1] == Message("tool", "more"), "whenever it is said"


def test_view_at_states_other_messages_at_other_prices():
    game = dealt("three", "3")
    view = game.view("left")
    assert game.view_at("left", view.heard, game.prices) == view
    assert game.view_at("left", view.heard[:1], (0.5,)) == View("left", view.heard[:1], ("left", (0.5,)), 1)
    assert game.view("left") == view, "and leaves the game as it is"
    assert game.view_at("right", game.heard("right"), game.prices).turn == 1, (
        "what a role has not heard it cannot count"
    )


def test_turns_hold_the_view_before_the_move():
    game = dealt("three", "3", "4")
    assert [turn.role for turn in game.turns] == ["dealer", "left", "right"]
    assert [turn.view.turn for turn in game.turns] == [0, 1, 2]
    assert [turn.action for turn in game.turns] == ["hint", None, None]
    assert game.turns[1].view.heard == (Message("dealer", "three", ("left",)),)
    assert isinstance(game.turns[0], Turn) and game.to_move is None and game.result.of("left").score == 1
    with pytest.raises(ValueError, match="the game is over"):
        game.apply(Reply("5"))


def test_a_fork_is_the_same_game_had_another_possibility_been_dealt():
    game = dealt("five", "5", hints=1)
    fork = game.fork(1)
    assert (fork.hidden, fork.prices, fork.options) == (1, game.prices, {"hints": 1})
    assert fork.heard("right") == game.heard("right") and fork.view("dealer").facts == 5
    assert all(mine.reply is theirs.reply for mine, theirs in zip(game.turns, fork.turns, strict=True))
    for each in (game, fork):
        each.apply(Reply("6"))
    assert (game.result.score, fork.result.score) == (0, 1) and game.fork(1).result == fork.result
    assert dealt("a", hints=2).fork(1).to_move == "dealer", "options go along"


def test_a_game_must_say_its_facts_and_moves():
    bare = Game(None, EPISODE)
    assert (bare.turns, bare.result, bare.heard("anyone"), bare.prices) == ([], None, (), ())
    for method in (lambda: bare.facts("left", ()), lambda: bare.move("left", "x")):
        with pytest.raises(NotImplementedError):
            method()


def test_a_trajectory_becomes_json():
    game = dealt("three", "3", "4")
    agents = {"dealer": "a", "left": "b", "right": "b"}
    played = Trajectory(
        7, "whisper", "numbers", "train", "train/0", 0, (0.25,), 11, agents, tuple(game.turns), game.result
    )
    assert played.reward() == played.reward("left") == 0.75 and played.reward("right") == -0.25
    assert (played.costs, played.outcome) == (played.prices, played.result), "as the README calls them"
    assert [turn.reply.text for turn in played.moves(("left", "dealer"))] == ["three", "3"]
    record = played.to_json()
    assert record["prices"] == [0.25] and record["agents"] == agents and record["result"] == game.result.to_json()
    assert record["turns"][0] == {
        "role": "dealer",
        "player": "a",
        "text": "three",
        "prompt_ids": None,
        "ids": None,
        "logprobs": None,
        "forced": 0,
    }


def test_an_agent_is_what_acts():
    assert isinstance(SimpleNamespace(name="x", act=lambda views, seeds, openings=None: []), Agent)
    assert not isinstance(SimpleNamespace(act=print), Agent)


# Descriptions.


def test_what_a_description_leaves_out_has_a_default():
    plain, game = Plain(), dealt("three\nsix", "3", "4")
    assert plain.roles == ("dealer", "left", "right") and plain.weights(EPISODE) == (1.0,)
    assert (plain.learns, plain.usage, plain.priced, plain.blind, plain.openings) == ((), (), (), (), {})
    assert plain.deal(None, EPISODE).to_move == "dealer" and plain.plane() == FixedPrices(())
    assert plain.tools(None) == {} and plain.solve(None, [EPISODE]) is None
    assert plain.kind(game.turns[0]) == "message" and plain.decision(None, EPISODE, " A  b\n") == ("message", "a b")
    assert plain.measures(None, EPISODE, game) == {"score": 1.0, "words": 1, "won": 1.0}
    assert plain.spectator(game) == "dealer: three\n  six\nleft: 3\nright: 4"
    with pytest.raises(ValueError, match="game plain has no scripted player for left"):
        plain.player("left", None, "bold")


def test_the_default_transcript_and_chat_say_facts_then_messages():
    plain, game = Plain(), dealt("three\nleft: 9", "3")
    assert plain.transcript(game.view("left")) == "system: ('left', (0.25,))\ndealer: three\n  left: 9\nleft: 3"
    assert plain.chat(game.view("left")) == [
        {"role": "system", "content": "('left', (0.25,))"},
        {"role": "user", "content": "dealer: three\nleft: 9"},
        {"role": "assistant", "content": "3"},
        {"role": "user", "content": "Your turn, left."},
    ]
    assert plain.chat(dealt().view("dealer"))[-1] == {"role": "user", "content": "Your turn, dealer."}
    assert plain.chat(game.view("right"))[-1] == {"role": "user", "content": "left: 3"}
    nothing = View("left", (), None, 0)
    assert plain.transcript(nothing) == plain.preamble(nothing) == ""
    with pytest.raises(ValueError, match=r"prompts\.style must be one of plain, not 'shouting'"):
        plain.chat(nothing, "shouting")


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\u2028b", "a\x85b", "a\x1cb"])
def test_no_line_of_a_message_can_pass_for_anothers(text):
    assert indented(text) == "a\n  b"


def test_options_and_prices_that_are_not_there_are_refused():
    game = Whisper()
    assert game.deal(None, EPISODE, 1, (0.5,), hints=2).hints == 2
    with pytest.raises(ValueError, match=r"^game whisper has no option color, size; known: hints$"):
        game.deal(None, EPISODE, size=1, color=2)
    with pytest.raises(ValueError, match=r"^game plain has no option hints; known: none$"):
        Plain().deal(None, EPISODE, hints=1)
    assert game.check_prices([0.5]) == (0.5,) and game.check_prices((np.float64(0),)) == (0,)
    for wrong in (0.5, "5", (), (1, 2), {"words": 1}, None):
        with pytest.raises(ValueError, match=r"costs must hold a price for each of: words \(game whisper\), not"):
            game.check_prices(wrong)
    for wrong in ("1", -0.1, float("nan"), float("inf"), None):
        with pytest.raises(ValueError, match="costs: the price of words must be a finite number of at least 0, not"):
            game.check_prices((wrong,))


def test_the_default_plane_is_one_price_vector():
    assert Whisper().plane() == FixedPrices((0.0,))
    plane = Whisper().plane(words=0.5)
    rng = np.random.default_rng(0)
    state = rng.bit_generator.state
    assert plane.train() == plane.draw(9, rng, corner=0.5) == ((0.5,),) and plane.sets() == {"fixed": ((0.5,),)}
    assert plane.grid(8) == () and rng.bit_generator.state == state, "nothing is drawn"
    with pytest.raises(ValueError, match="costs: game whisper has no price of calls"):
        Whisper().plane(calls=1)
    with pytest.raises(ValueError, match="costs: the price of words must be"):
        Whisper().plane(words=-1)


# The registry.

BUILT_IN = tuple(games._BUILT_IN)
OFFERS = {"theirs": "test_kernel:Whisper", "made": "test_kernel:MADE", "rules": "test_kernel:WhisperGame"}
MADE = Whisper()


@pytest.fixture
def offered(monkeypatch):
    points = EntryPoints([EntryPoint(name, target, "clarify_env.games") for name, target in OFFERS.items()])
    monkeypatch.setattr(games, "entry_points", lambda group: points.select(group=group))
    monkeypatch.setattr(games, "_LOADED", {})


def test_another_package_offers_a_game_by_entry_point(offered):
    assert game_names() == sorted({*BUILT_IN, "made", "rules", "theirs"})
    assert find_game("made") is MADE is find_game(MADE), "a description is returned as it is"
    theirs = find_game("theirs")
    assert isinstance(theirs, Whisper) and find_game("theirs") is theirs, "a class is made once"


def test_games_that_are_not_there(offered):
    with pytest.raises(ValueError, match=r"^unknown game 'chess'; known: (\w+, )*made, .*rules, .*theirs$"):
        find_game("chess")
    with pytest.raises(ValueError, match=r"^game 'rules': the entry point offers .*WhisperGame.*, which is no Descr"):
        find_game("rules")


def test_nobody_takes_the_place_of_a_built_in_game(monkeypatch):
    point = EntryPoint("clarification", "test_kernel:MADE", "clarify_env.games")
    monkeypatch.setattr(games, "entry_points", lambda group: EntryPoints([point]))
    monkeypatch.setattr(games, "_LOADED", {})
    assert find_game("clarification").game.name == "clarification" and game_names() == sorted(BUILT_IN)


@pytest.mark.parametrize("source", ["def (", "raise RuntimeError('no')", "import nowhere_at_all", "x = 1"])
def test_a_plugin_that_cannot_be_loaded_is_named_whatever_it_raises(monkeypatch, tmp_path, source):
    (tmp_path / "broken_plugin.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_plugin", raising=False)
    point = EntryPoint("broken", "broken_plugin:GAME", "clarify_env.games")
    monkeypatch.setattr(games, "entry_points", lambda group: EntryPoints([point]))
    with pytest.raises(ValueError, match=r"game 'broken': its entry point broken_plugin:GAME cannot be loaded: ."):
        games.find_game("broken")
