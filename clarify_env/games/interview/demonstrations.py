"""What a pocket model of the interview is pretrained on: games played without regard to the costs, and their facts.

Kinds: ``game`` (a whole game of a demonstrator who asks with probability 1/2 as long as a question parts the cases, and
answers by the posterior), ``aloud`` and ``pair`` (the cause that stands behind a value in a list of all values, with or
without the value before it), ``row`` (the causes that a page lists with a fact), ``page`` (the likeliest answer and the
most telling question after some facts of a case, for several cases of one page), ``note`` (the same as the facts of one
case come in), ``price`` (which of two prices is larger) and ``user`` (the user's turns). None shows which action is
worth its costs.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from clarify_env.costs import Costs, Prices
from clarify_env.games.base import Reply, Turn, View
from clarify_env.games.demonstration import Demonstration
from clarify_env.games.interview.actions import ANSWER, ASK
from clarify_env.games.interview.oracle import Group, Question, Solved
from clarify_env.games.interview.prompts import costs_line, messages
from clarify_env.games.interview.rules import MAX_QUESTIONS, InterviewGame
from clarify_env.games.interview.users import ScriptedUser
from clarify_env.tasks.base import ENDLESS, Task
from clarify_env.tasks.workshop import HEADER
from clarify_env.tasks.workshop_words import CAUSES, FINDINGS

KINDS = ("game", "aloud", "pair", "row", "page", "note", "price", "user")
SHARES = {"game": 0.3, "row": 0.1, "page": 0.25, "note": 0.25, "price": 0.07, "user": 0.03}
# Share of the queries of pairs and rows that are answered aloud, the value before each cause.
_ALOUD = 0.5
# Number of queries of a page and of a chat on prices.
QUERIES, COMPARISONS = 10, 4
# Probabilities of 0, 1, … facts in a query of a page.
FACTS = (0.15, 0.5, 0.2, 0.15)
# Probabilities in chats are rounded to this many in 100.
_STEP = 5
# Demonstrations of an episode that follow each other: to solve it takes longer than to make one.
_REPEATS = 4
# An entry of a page: a value of a finding, a cause of which it is listed, and the cause's share.
_ENTRY = re.compile(r"[a-z]+ [a-z]+ \d+(?=[,.])")


class Demonstrator:
    """Plays the assistant: asks with probability 1/2, whatever the costs; answers are drawn by the posterior.

    Questions are those that part the remaining cases, if any does; else it answers.

    Args:
        solved: The episode, solved.
        rng: Draws its actions.
    """

    def __init__(self, solved: Solved, rng: np.random.Generator):
        self.solved, self.rng = solved, rng

    def say(self, view: View) -> str:
        """Returns the demonstrator's message at ``view``."""
        solved, rng, group = self.solved, self.rng, self.solved.everyone
        for question, reply in zip(view.heard[::2], view.heard[1::2], strict=True):
            group = solved.after(group, question.text.removeprefix("#ASK "), reply.text)
        parting = [question for question in solved.questions if len(solved.parts(question, group)) > 1]
        if parting and len(view.heard) // 2 < solved.max_questions and rng.random() < 0.5:
            return f"#ASK {parting[rng.integers(len(parting))].text}"
        weights = solved.weights[list(group)]
        case = group[rng.choice(len(group), p=weights / weights.sum())]
        return f"#ANSWER {solved.episode.interpretations[case].answers[0]}"


def turns(solved: Solved, costs: Costs, rng: np.random.Generator, **options: Any) -> list[Turn]:
    """Plays one demonstration game with the scripted user, and returns its turns.

    Args:
        solved: The episode, solved; its case is drawn by weight.
        costs: Costs that the assistant sees, and disregards.
        rng: Draws everything.
        **options: The game's own options.
    """
    task = solved.task
    game = InterviewGame(task, solved.episode, int(rng.choice(len(solved.weights), p=solved.weights)), costs, **options)
    players = {"assistant": Demonstrator(solved, rng).say, "user": ScriptedUser(task).say}
    while game.to_move:
        game.apply(Reply(players[game.to_move](game.view(game.to_move))))
    return game.turns


def _played(turn: Turn, kind: str) -> Demonstration:
    chat = [(message["role"], message["content"]) for message in messages(turn.view, "pocket")]
    return Demonstration((*chat, ("assistant", turn.reply.text or "")), kind, every=True)


def pairs(rng: np.random.Generator, aloud: float) -> Demonstration:
    """States the cause that stands behind each value in a list of all values, which is no page of the task.

    Each value has a cause drawn at random, so that nothing else tells it: not the other values, not earlier replies.
    ``aloud``: share of the queries that are answered aloud.
    """
    values = [(name, value) for name, both in FINDINGS.items() for value in both]
    listed = [values[i] for i in rng.permutation(len(values))]
    shares = {cause: 10 * int(rng.integers(1, 10)) for cause in CAUSES}
    entries = [(value, cause := CAUSES[rng.integers(len(CAUSES))], shares[cause]) for _, value in listed]
    chat = [("system", f"{HEADER}\n{', '.join(' '.join(map(str, entry)) for entry in entries)}.")]
    for i in rng.permutation(len(listed)):
        chat += _read(" ".join(listed[i]), entries[i : i + 1], aloud, rng)
    return Demonstration(tuple(chat), "aloud" if aloud == 1 else "pair", every=True)


def row(solved: Solved, rng: np.random.Generator) -> Demonstration:
    """Reads a page: the causes that are listed with each fact, with their shares."""
    chat = _opened(solved)
    entries = [tuple(entry.split()) for entry in _ENTRY.findall(solved.episode.context)]
    facts = list(dict.fromkeys(fact for case in solved.episode.interpretations for fact in case.attributes))
    for index in rng.permutation(len(facts)):
        name, value = facts[index]
        if listed := [entry for entry in entries if entry[0] == value]:
            chat += _read(f"{name} {value}", listed, _ALOUD, rng)
    return Demonstration(tuple(chat), "row", every=True)


def _read(
    fact: str, entries: Sequence[tuple[Any, ...]], aloud: float, rng: np.random.Generator
) -> list[tuple[str, str]]:
    """A query and its reply: cause and share of each entry, after its value if it is answered aloud."""
    loud = rng.random() < aloud
    reply = ", ".join(" ".join(map(str, entry if loud else entry[1:])) for entry in entries)
    return [("user", f"{'Read' if loud else 'If'} {fact}."), ("assistant", f"{ANSWER} {reply}")]


def page(solved: Solved, rng: np.random.Generator) -> Demonstration:
    """States what some facts of a case tell, for several cases of one page; see `_told`. No query is repeated."""
    chat, known = _opened(solved), set()
    most = len(solved.questions)
    for _ in range(QUERIES):
        case = _case(solved, rng)
        count = min(int(rng.choice(len(FACTS), p=FACTS)), most)
        facts, group = [], solved.everyone
        for index in rng.permutation(most)[:count]:
            fact, group = _next(solved, solved.questions[index], group, case)
            facts.append(fact)
        if frozenset(facts) not in known:
            known.add(frozenset(facts))
            chat += [("user", " ".join(["If", *facts])), ("assistant", _told(solved, group, rng))]
    return Demonstration(tuple(chat), "page", every=True)


def note(solved: Solved, rng: np.random.Generator) -> Demonstration:
    """States what the facts of a case tell as they come in one by one; see `_told`."""
    case, group = _case(solved, rng), solved.everyone
    chat = [*_opened(solved), ("user", solved.episode.query), ("assistant", _told(solved, group, rng))]
    for index in rng.permutation(len(solved.questions)):
        fact, group = _next(solved, solved.questions[index], group, case)
        chat += [("user", fact), ("assistant", _told(solved, group, rng))]
    return Demonstration(tuple(chat), "note", every=True)


def _opened(solved: Solved) -> list[tuple[str, str]]:
    context = solved.episode.context
    return [("system", context)] if context else []


def _case(solved: Solved, rng: np.random.Generator) -> int:
    return int(rng.choice(len(solved.weights), p=solved.weights))


def _next(solved: Solved, question: Question, group: Group, case: int) -> tuple[str, Group]:
    """Returns the user's reply to a question, and the possibilities that it leaves."""
    reply = question.replies[case]
    return reply, tuple(i for i in group if question.replies[i] == reply)


def _told(solved: Solved, group: Group, rng: np.random.Generator) -> str:
    """The likeliest answer and the most telling question, after their tags.

    Each has a number, in 100 and rounded: the probability that the answer is right, and how much more often it is right
    after the question.
    """
    return f"{ANSWER} {_likeliest(solved, group, rng)}\n{ASK} {_most_telling(solved, group)}"


def _in_100(share: float) -> int:
    return _STEP * round(100 * share / _STEP)


def _likeliest(solved: Solved, group: Group, rng: np.random.Generator) -> str:
    rows = list(group)
    right = (
        np.array([solved.weights[rows] @ guess.score[rows] for guess in solved.guesses]) / solved.weights[rows].sum()
    )
    best = rng.choice(np.flatnonzero(right > right.max() - 1e-9))
    return f"{solved.guesses[best].text} {_in_100(right[best])}"


def _most_telling(solved: Solved, group: Group) -> str:
    question = solved.most_telling(group)
    if question is None:
        return "nothing"
    gain = (solved.right_after(question, group) - solved.right(group)) / solved.weights[list(group)].sum()
    return f"{question.text} {_in_100(gain)}" if gain > 1e-9 else "nothing"


def price(costs: Costs, rng: np.random.Generator) -> Demonstration:
    """Compares the price of a question of one word with numbers near it, in 100."""
    exact = 100 * (costs.alpha + costs.beta)
    chat = []
    for number in range(COMPARISONS):
        other = _STEP * round(exact * float(np.exp(rng.uniform(-0.7, 0.7))) / _STEP)
        chat.append(("user", f"{'' if number else costs_line(costs, 'pocket') + ' '}More than {other}?"))
        chat.append(("assistant", "yes" if exact > other else "no"))
    return Demonstration(tuple(chat), "price", every=True)


def demonstrations(
    task: Task, split: str, rng: np.random.Generator, prices: Sequence[Prices], shares: Mapping[str, Any] | None = None
) -> Iterator[Demonstration]:
    """Yields demonstrations without end; see `clarify_env.games.description.Description.pretraining`."""
    shares = SHARES if shares is None else shares
    if unknown := set(shares) - set(KINDS):
        raise ValueError(f"pretrain.stages: shares must be of {', '.join(KINDS)}, not {', '.join(sorted(unknown))}")
    kinds, share = list(shares), np.array(list(shares.values()), dtype=float)
    size = task.split_size(split)
    while True:
        solved = Solved(task, task.episode(split, int(rng.integers(size or ENDLESS))), MAX_QUESTIONS)
        for drawn in rng.choice(len(kinds), size=_REPEATS, p=share / share.sum()):
            costs, kind = Costs(*prices[int(rng.integers(len(prices)))]), kinds[drawn]
            if kind == "price":
                yield price(costs, rng)
            elif kind in ("aloud", "pair"):
                yield pairs(rng, 1.0 if kind == "aloud" else _ALOUD)
            elif kind == "row":
                yield row(solved, rng)
            elif kind == "page":
                yield page(solved, rng)
            elif kind == "note":
                yield note(solved, rng)
            else:
                role = "assistant" if kind == "game" else "user"
                if played := [turn for turn in turns(solved, costs, rng) if turn.role == role]:
                    yield _played(played[-1], kind)


def stream(
    task: Task, rng: np.random.Generator, prices: Sequence[Prices], shares: Mapping[str, Any] | None = None
) -> Iterator[Demonstration]:
    """Yields demonstrations without end from the splits that may be pretrained on, each as often as the others."""
    streams = [demonstrations(task, split, rng, prices, shares) for split in task.pretraining or tuple(task.sizes)]
    while True:
        for of_split in streams:
            yield next(of_split)
