"""Pretraining demonstrations: games of the name game that disregard the prices, and exercises in comparing records."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from clarify_env.costs import Prices
from clarify_env.games.base import Reply
from clarify_env.games.demonstration import Demonstration
from clarify_env.games.ping.facts import END, talking
from clarify_env.games.ping.prompts import messages
from clarify_env.games.ping.protocols.names import Probing
from clarify_env.games.ping.rules import PingGame
from clarify_env.tasks.base import ENDLESS, Episode
from clarify_env.tasks.ping_names import PingNames, Record, agreeing, rows
from clarify_env.tasks.private import PLAYERS, PrivateTask

SHARES = {"game": 1.0, "table": 0.0, "check": 0.0, "find": 0.0, "aloud": 0.0}
# Exercises on tables of a few records, which are learned first.
SMALL = {"check_small": "check", "find_small": "find", "aloud_small": "aloud"}
KINDS = (*SHARES, *SMALL)
_FEW = 3
# Turns and budget of demonstrated games, and how often each is shown; the first is that of `game=ping`.
_FORMS = (((8, 16), 0.7), ((16, 16), 0.1), ((4, 16), 0.1), ((8, 32), 0.1))
# Share of games in which the players may end the talk at any turn, and the probability of it at each.
_HASTY, _HAZARD = 0.35, 0.3
# Share of games that are played with probes of all fields but one.
_SHORT = 0.2
# Records of an exercise.
_CHECKED = 10


def stream(
    task: PrivateTask, prices: Sequence[Prices], rng: np.random.Generator, shares: Mapping[str, Any] | None = None
) -> Iterator[Demonstration]:
    """Yields demonstrations of the name game's training tables without end.

    Args:
        task: The name game.
        prices: Prices to draw from, independently of everything else.
        rng: Random generator of everything that is drawn.
        shares: Share of each kind: ``game`` (a game as each player sees it, in style ``pocket``), ``table`` (the same
            in style ``pocket_table``), and exercises that prepare for that: ``check`` (whether records are in a table),
            ``find`` (the same, the nearest record stated first) and ``aloud`` (a table read out), which are also
            ``_small``, of tables of a few records; ``None``: `SHARES`.

    Raises:
        ValueError: A kind is unknown, or there are no demonstrations of the task.
    """
    if not isinstance(task, PingNames):
        raise ValueError(f"game ping has no demonstrations of task {task.name}, only of ping_names")
    shares = SHARES if shares is None else shares
    if unknown := set(shares) - set(KINDS):
        raise ValueError(f"pretrain.stages: shares must be of {', '.join(KINDS)}, not {', '.join(sorted(unknown))}")
    kinds, share = list(shares), np.array(list(shares.values())) / sum(shares.values())
    small = PingNames(_FEW, task.fields, task.values, task.world_seed + 1)
    while True:
        kind = kinds[rng.choice(len(kinds), p=share)]
        of = small if kind in SMALL else task
        episode = of.episode("train", int(rng.integers(ENDLESS)))
        match SMALL.get(kind, kind):
            case "game" | "table" as asked:
                style = "pocket" if asked == "game" else "pocket_table"
                yield from play(task, episode, prices[int(rng.integers(len(prices)))], rng, style)
            case "check" | "find" as asked:
                yield check(of, episode, rng, asked == "find")
            case _:
                yield aloud(of, episode, rng)


def play(
    task: PingNames, episode: Episode, prices: Prices, rng: np.random.Generator, style: str = "pocket"
) -> Iterator[Demonstration]:
    """Plays a game that disregards the prices, and yields it as each player sees it."""
    turns, budget = _form(rng)
    hidden = int(rng.integers(len(episode.interpretations)))
    probing = Probing(task.fields - 1 if rng.random() < _SHORT else task.fields)
    hazard = _HAZARD if rng.random() < _HASTY else 0.0
    game = PingGame(task, episode, hidden, prices, budget=budget, turns=turns)
    last = {}
    while game.to_move is not None:
        view = game.view(game.to_move)
        hasty = talking(view) and rng.random() < hazard
        text = END if hasty else probing.say(view)
        last[view.role] = (view, text)
        game.apply(Reply(text))
    for role, (view, text) in last.items():
        chat = tuple((message["role"], message["content"]) for message in messages(view, style))
        yield Demonstration((*chat, ("assistant", text)), f"game/{role}", every=True)


def check(task: PingNames, episode: Episode, rng: np.random.Generator, shown: bool = False) -> Demonstration:
    """Asks of records whether they are in a table; half are, the others differ from one of its records in a field.

    Args:
        task: The name game.
        episode: The episode.
        rng: Draws the records.
        shown: Whether the reply states the record of the table before it says so.
    """
    text = _told(task, episode, rng)
    own, chat = rows(text), [("system", text)]
    for i in rng.integers(len(own), size=_CHECKED).tolist():
        within = rng.random() < 0.5
        record = own[i] if within else _other(task, own[i], own, rng)
        reply = "yes" if within else "no"
        chat += [("user", " ".join(record)), ("assistant", f"{' '.join(own[i])} {reply}" if shown else reply)]
    return Demonstration(tuple(chat), "find" if shown else "check", every=True)


def aloud(task: PingNames, episode: Episode, rng: np.random.Generator) -> Demonstration:
    """Reads a table out, which asks for all of its entries, from some record on."""
    text = _told(task, episode, rng)
    lines = text.splitlines()
    first = int(rng.integers(len(lines)))
    chat = (
        ("system", text),
        ("user", lines[first]),
        ("assistant", "\n".join([*lines[first + 1 :], *lines[: first + 1]])),
    )
    return Demonstration(chat, "aloud", every=True)


def _told(task: PingNames, episode: Episode, rng: np.random.Generator) -> str:
    hidden = int(rng.integers(len(episode.interpretations)))
    return task.told(episode, hidden, PLAYERS[int(rng.integers(2))])


def _form(rng: np.random.Generator) -> tuple[int, int]:
    turns, budget = _FORMS[rng.choice(len(_FORMS), p=[weight for _, weight in _FORMS])][0]
    return turns, budget


def _other(task: PingNames, record: Record, own: Sequence[Record], rng: np.random.Generator) -> Record:
    """Returns a record that differs from one in a single field, and from all others in more."""
    while True:
        field = int(rng.integers(len(record)))
        other = (*record[:field], str(rng.choice(task.words()[field])), *record[field + 1 :])
        near = [row for row in own if agreeing(row, other) >= len(record) - 1]
        if near == [record] and other != record:
            return other
