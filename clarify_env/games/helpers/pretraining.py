"""Pretraining demonstrations: what memory is to hold, and games that disregard prices, knowledge and hedges.

A demonstrating helper searches with probability 1/2, then answers by what it read, else from memory, and asserts or
hedges with probability 1/2 each. A demonstrating asker hands on the question and takes either helper's answer, but of
"I know" and "I think" mostly what is known: so the two forms mean something to who hears them, as to anyone who speaks
the language. Nothing here teaches when to search, when to hedge, or which helper to trust. The games are about facts of
other worlds, which change all the time: there the demonstrations answer at random, and read what they search. (An
update's steps hold demonstrations of similar length, each step a mean over its tokens: a search, which is longer than
an answer, weighs less, and the model searches in a quarter of the cases.)

Like a large model, the pocket model is to be uncertain of what it does not hold, and to tell so if it is asked: of such
a fact it hears another answer each time (``rumour``), and it is asked what it remembers (``recall``).
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from clarify_env.costs import Prices
from clarify_env.games.base import Reply, View
from clarify_env.games.demonstration import Demonstration
from clarify_env.games.helpers.actions import KNOW, SEARCH, THINK, Action, Assert, answer_of, parse
from clarify_env.games.helpers.facts import ARCHIVES, ASKER, HELPERS
from clarify_env.games.helpers.prompts import messages
from clarify_env.games.helpers.retrieval import Tools
from clarify_env.games.helpers.rules import HelpersGame
from clarify_env.tasks.archives import Archives
from clarify_env.tasks.base import Episode
from clarify_env.tasks.passages import PassageTask

# Default share of each kind of demonstration.
SHARES = {"fact": 0.65, "read": 0.2, "game": 0.1, "known": 0.05}
# Kinds that prepare for games; the default shows none.
KINDS = (*SHARES, "rumour", "recall", "choose")
# Demonstrations between two changes of the other world, and first seed of the other worlds.
_PER_WORLD, _OTHERS = 400, 1_000_000
# Share of the askers that believe what is asserted over what is hedged, and of those that are told who is who.
_BELIEVING, _NAMED = 0.6, 0.3
# Share of a helper's facts that it states in words of its own.
_OWN_WORDS = 0.4


def stream(
    task: PassageTask, prices: Sequence[Prices], rng: np.random.Generator, shares: Mapping[str, Any] | None = None
) -> Iterator[Demonstration]:
    """Yields demonstrations without end.

    Args:
        task: The task `archives`.
        prices: Prices to draw from, independently of everything else.
        rng: Random generator of everything that is drawn.
        shares: Share of each kind: ``fact`` (a known fact of any split, asked for alone), ``read`` (a helper's reply
            after a search, in another world), ``known`` (a game about a known fact of the train split), ``game`` (one
            about a fact of another world), ``rumour`` (a fact that memory is not to hold, with an answer drawn anew)
            and ``recall`` (whether memory holds a fact); ``None``: `SHARES`.

    Raises:
        ValueError: A kind is unknown, or there are no demonstrations of the task.
    """
    if not isinstance(task, Archives):
        raise ValueError(f"game helpers has no demonstrations of task {task.name}, only of archives")
    shares = SHARES if shares is None else shares
    if unknown := set(shares) - set(KINDS):
        raise ValueError(f"pretrain.stages: shares must be of {', '.join(KINDS)}, not {', '.join(sorted(unknown))}")
    known = {split: [e for e in task.episodes(split) if e.meta["known"] or e.meta["partly"]] for split in task.sizes}
    of_all = [episode for episodes in known.values() for episode in episodes]
    every = [episode for split in task.sizes for episode in task.episodes(split)]
    not_held = [episode for episode in every if not (episode.meta["known"] or episode.meta["partly"])]
    if not not_held and shares.get("rumour"):
        raise ValueError("memory is to hold every fact, which leaves none for pretrain.stages: shares: rumour")
    answers: dict[str, list[str]] = {}  # of each relation
    for episode in every:
        answers.setdefault(subject(episode)[1], []).append(episode.interpretations[0].answers[0])
    if not of_all and (shares.get("fact") or shares.get("known")):
        raise ValueError(
            "task.known=0 and task.partly=0 leave no fact to pretrain on; set pretrain.stages to shares of game alone"
        )
    kinds, share = list(shares), np.array(list(shares.values()), dtype=float)
    for count in itertools.count():
        if count % _PER_WORLD == 0:
            other = other_world(task, _OTHERS + int(rng.integers(_OTHERS)))
            left = not_in_memory(other, of_all)
        price = prices[int(rng.integers(len(prices)))]
        match kinds[int(rng.choice(len(kinds), p=share / share.sum()))]:
            case "fact":
                episode = _drawn(of_all, rng)
                yield fact(task, episode, price, rng, _remembered(task, episode))
            case "rumour":
                episode = _drawn(not_held, rng)
                pool = answers[subject(episode)[1]]
                yield fact(task, episode, price, rng, pool[int(rng.integers(len(pool)))])
            case "recall":
                yield recall(_drawn((of_all, not_held)[int(rng.integers(2))] or every, rng))
            case "read":
                yield read(other, _drawn(left, rng), price, rng)
            case "choose":
                episode = _drawn(left, rng)
                yield choose(other, episode, price, rng, answers[subject(episode)[1]])
            case "known":
                yield from play(task, _drawn(known["train"] or of_all, rng), price, rng, "known")
            case _:
                yield from play(other, _drawn(left, rng), price, rng, "game")


def recall(episode: Episode) -> Demonstration:
    """Whether memory holds the answer of a question, a part of it, or neither."""
    held = "yes" if episode.meta["known"] else "in part" if episode.meta["partly"] else "no"
    return Demonstration((("system", "remembered?"), ("user", f" {episode.query}"), ("assistant", held)), "recall")


def fact(task: PassageTask, episode: Episode, prices: Prices, rng: np.random.Generator, answer: str) -> Demonstration:
    """An answer to a question: told by the asker, or by a helper, which asserts or hedges it whatever it is.

    Every other time a helper that writes in the closed form searches instead: what is known says nothing of when to.
    What was learned in one role's words alone, a small model does not recall in another's; and what it says in words of
    its own, right after the question, it recalls before it speaks.
    """
    role = (ASKER, *HELPERS)[int(rng.integers(3))]
    wording = "free" if role != ASKER and rng.random() < _OWN_WORDS else "closed"
    view = HelpersGame(task, episode, 0, prices, alone=role, wording=wording).view(role)
    text = f" {answer}"
    if role != ASKER and wording == "closed":
        text = (KNOW if rng.random() < 0.5 else THINK) + text if rng.random() < 0.5 else f"{SEARCH} {episode.query}"
    return Demonstration((*_chat(view), ("assistant", text)), "fact")


def read(task: PassageTask, episode: Episode, prices: Prices, rng: np.random.Generator) -> Demonstration:
    """The reply of the helper whose archive is asked, after its search."""
    corpus = int(episode.meta["corpus"])
    role, archive = HELPERS[corpus], Tools(task)[ARCHIVES[corpus]]
    game = HelpersGame(task, episode, 0, prices, alone=role)
    game.apply(Reply(f"{SEARCH} {episode.query}"))
    game.apply(archive.act([game.view(archive.name)], [0])[0])
    view = game.view(role)
    return Demonstration((*_chat(view), ("assistant", _helper(task, view, episode, rng))), "read")


def choose(
    task: PassageTask, episode: Episode, prices: Prices, rng: np.random.Generator, pool: Sequence[str]
) -> Demonstration:
    """The answer of the asker that hears two replies, each right or drawn from a pool, and asserted or hedged."""
    game = HelpersGame(task, episode, 0, prices, identities=rng.random() < _NAMED)
    game.apply(Reply(_asker(game.view(ASKER), episode, rng)))
    for _ in HELPERS:
        right = rng.random() < 0.5
        answer = episode.interpretations[0].answers[0] if right else pool[int(rng.integers(len(pool)))]
        game.apply(Reply(f"{KNOW if rng.random() < 0.5 else THINK} {answer}"))
    view = game.view(ASKER)
    return Demonstration((*_chat(view), ("assistant", _asker(view, episode, rng))), "choose")


def play(
    task: PassageTask, episode: Episode, prices: Prices, rng: np.random.Generator, kind: str
) -> Iterator[Demonstration]:
    """Plays a game of demonstrators, and yields it as each role sees it."""
    game = HelpersGame(task, episode, 0, prices, identities=rng.random() < _NAMED)
    archives = Tools(task)
    last: dict[str, tuple[View, str]] = {}
    while game.to_move is not None:
        view = game.view(game.to_move)
        if view.role in archives:
            game.apply(archives[view.role].act([view], [0])[0])
            continue
        text = _asker(view, episode, rng) if view.role == ASKER else _helper(task, view, episode, rng)
        last[view.role] = (view, text)
        game.apply(Reply(text))
    for role in (ASKER, *HELPERS):
        view, text = last[role]
        yield Demonstration((*_chat(view), ("assistant", text)), f"{kind}/{role.partition('_')[0]}", every=True)


def _helper(task: PassageTask, view: View, episode: Episode, rng: np.random.Generator) -> str:
    passages = [message.text for message in view.heard if message.sender in ARCHIVES]
    if not passages and rng.random() < 0.5:
        return f"{SEARCH} {view.heard[0].text.strip()}"
    answer = (task.read(episode, passages[0]) if passages else None) or _remembered(task, episode)
    return f"{KNOW if rng.random() < 0.5 else THINK} {answer}"


def _asker(view: View, episode: Episode, rng: np.random.Generator) -> str:
    if not view.heard:
        return f" {episode.query}"
    actions: Sequence[Action] = [parse(message.text) for message in view.heard if message.sender != ASKER]
    asserted = [action for action in actions if isinstance(action, Assert)]
    if asserted and rng.random() < _BELIEVING:
        actions = asserted
    return f" {answer_of(actions[int(rng.integers(len(actions)))])}"


def _remembered(task: PassageTask, episode: Episode) -> str:
    memory = task.memory(episode)
    assert memory is not None, "the task says what memory is to hold"
    return memory[0]


def _chat(view: View) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in messages(view, "pocket")]


def _drawn(episodes: Sequence[Episode], rng: np.random.Generator) -> Episode:
    return episodes[int(rng.integers(len(episodes)))]


def other_world(task: Archives, seed: int) -> Archives:
    """Returns a world with names of the same list and other facts, none of which is known."""
    return Archives(world_seed=seed, known=0.0, partly=0.0, covered=task.covered, metric=task.metric, **task.names)


def not_in_memory(other: Archives, known: Sequence[Episode]) -> list[Episode]:
    """Returns the questions of another world about things and relations of which this world has no known fact."""
    taken = {subject(episode) for episode in known}
    return [e for split in other.sizes for e in other.episodes(split) if subject(e) not in taken]


def subject(episode: Episode) -> tuple[str, str]:
    """Returns what a fact is about: the thing, and the beginning of the statement."""
    reading = episode.interpretations[0]
    return reading.label, str(episode.meta["statement"]).removesuffix(f"{reading.answers[0]}.")
