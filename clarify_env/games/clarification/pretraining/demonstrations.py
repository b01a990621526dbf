"""Demonstrations to pretrain on: games played without regard to the costs, and their facts (DESIGN section 5).

Both sides of each game become a chat, so that a model pretrained on them can play the user as well.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from clarify_env.costs import Costs
from clarify_env.games.base import Reply, View
from clarify_env.games.clarification.actions import Clarify, kind, parse
from clarify_env.games.clarification.plans import list_message, shortest_answer, shortest_label
from clarify_env.games.clarification.pretraining.arithmetic import sums
from clarify_env.games.clarification.pretraining.chats import Demonstration
from clarify_env.games.clarification.pretraining.numeracy import price, worth
from clarify_env.games.clarification.prompts import messages
from clarify_env.games.clarification.rules import ClarificationGame
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.tasks.base import ENDLESS, Episode, Task
from clarify_env.words import count_words

# Share of a demonstrator's lists that name every reading still possible; the rest stop after the likeliest few.
_LIST_ALL = 0.6
# Episodes of an endless split drawn at a time.
_AHEAD = 1000
# Most facts asked for in one chat.
_FACTS = 5
# Times a context is read out in one chat.
_ALOUD = 3
_NUMBERS = dict(enumerate("one two three four five six seven eight nine ten".split(), 1))


class Demonstrator:
    """Plays the assistant, all three actions a third each, whatever they cost.

    Guesses follow the readings' weights; questions are such as tell readings apart, where any does.

    Args:
        task: Whose facts it knows.
        rng: Draws its actions.
    """

    name = "demonstrator"

    def __init__(self, task: Task, rng: np.random.Generator):
        self.task, self.rng = task, rng

    def say(self, view: View) -> str:
        """The demonstrator's message at ``view``."""
        episode = self.task.lookup(view.episode_id)
        asked, left = self._consistent(view, episode)
        act = int(self.rng.integers(3))
        if asked and len(left) == 1:
            act = 1
        questions = self._helpful([q for q in self.task.questions(episode) if q not in asked], left, episode)
        if act == 0 and len(asked) < 2 and questions:
            return f"#CLARIFY {questions[self.rng.integers(len(questions))]}"
        weights = np.array([episode.interpretations[i].weight for i in left])
        if act == 2:
            size = len(left) if self.rng.random() < _LIST_ALL else int(self.rng.integers(1, len(left) + 1))
            return list_message(
                (shortest_label(self.task, episode, i), shortest_answer(self.task, episode, i)) for i in left[:size]
            )
        guessed = left[self.rng.choice(len(left), p=weights / weights.sum())]
        return f"#ANSWER {shortest_answer(self.task, episode, guessed)}"

    def _helpful(self, questions: list[str], left: list[int], episode: Episode) -> list[str]:
        """Those to which users who mean different readings of ``left`` reply differently; all, where none is such."""
        return [q for q in questions if len({self.task.reply(q, i, episode) for i in left}) > 1] or questions

    def _consistent(self, view: View, episode: Episode) -> tuple[list[str], list[int]]:
        """Questions asked so far, and the readings whose users would have replied as this one did."""
        asked, left = [], list(range(len(episode.interpretations)))
        for (_, said), (_, replied) in zip(view.history[::2], view.history[1::2], strict=True):
            action = parse(said)
            assert isinstance(action, Clarify)
            asked.append(action.question)
            left = [i for i in left if self.task.reply(action.question, i, episode) == replied]
        return asked, left


def play(task: Task, episode: Episode, costs: Costs, rng: np.random.Generator) -> Iterator[Demonstration]:
    """Plays one demonstration game and yields each turn, the assistant's and the user's, as a chat."""
    weights = [reading.weight for reading in episode.interpretations]
    game = ClarificationGame(task, episode, int(rng.choice(len(weights), p=weights)), costs)
    user = ScriptedUser(task)
    players = {"assistant": Demonstrator(task, rng).say, "user": lambda view: user.say(view, int(rng.integers(2**31)))}
    while game.to_move:
        game.apply(Reply(players[game.to_move](game.view(game.to_move))))
    first = kind(game.turns[0].action)
    for turn in game.turns:
        yield _said(turn.view, turn.reply.text, f"{turn.role}/{first}")


def page(task: Task, episode: Episode, rng: np.random.Generator) -> Demonstration:
    """All there is to know about a question: how many readings, how likely, how long their answers, and the answers.

    It is said to the bare question, and what it opens with is drawn, so that a model has all of it at hand at the end
    of a question, where in a game it will choose what to do.
    """
    readings = episode.interpretations
    answers = [shortest_answer(task, episode, i) for i in range(len(readings))]
    lengths = [count_words(answer) for answer in answers]
    outline = [
        f"{_NUMBERS.get(len(readings), len(readings))} reading{'s' * (len(readings) > 1)}",
        " ".join(f"{round(100 * reading.weight)}%" for reading in readings),
        " ".join(map(str, lengths if len(set(lengths)) > 1 else lengths[:1]))
        + (" word" if lengths == [1] else " words"),
    ]
    if keys := _keys(task, episode):
        outline.append(f"by {' '.join(keys)}")
    said = ", ".join(outline[i] for i in rng.permutation(len(outline)))
    items = "; ".join(f"{shortest_label(task, episode, i)}: {answer}" for i, answer in enumerate(answers))
    return _fact("page", episode, episode.query, f"{said}. {items}")


def _keys(task: Task, episode: Episode) -> list[str]:
    """The attributes in which all readings differ, where there are several."""
    several = len(readings := episode.interpretations) > 1
    return [
        name
        for name in task.attributes
        if several and len({dict(r.attributes).get(name) for r in readings}) == len(readings)
    ]


def card(task: Task, episode: Episode, rng: np.random.Generator) -> Demonstration:
    """The answer to one reading, named by its label or spelled out."""
    i = int(rng.integers(len(episode.interpretations)))
    asked = f"{episode.query} {shortest_label(task, episode, i)}", episode.interpretations[i].text
    return _fact("card", episode, asked[rng.integers(2)], shortest_answer(task, episode, i))


def facts(task: Task, episode: Episode, rng: np.random.Generator) -> Demonstration:
    """Some of the facts about an episode, asked one after another.

    Where facts stand in a context, reading is what has to be learned, and most of a demonstration is what is read: five
    answers to one context teach more than five contexts of one answer each, in a third of the tokens.
    """
    known = task.facts(episode)
    read = [("system", episode.context)] if episode.context else []
    said = [m for i in rng.permutation(len(known))[:_FACTS] for m in zip(("user", "assistant"), known[i], strict=True)]
    return Demonstration((*read, *said), "facts", every=True)


def aloud(task: Task, episode: Episode, rng: np.random.Generator) -> Demonstration:
    """A context read out several times, in another order each: what comes next must be looked up, again and again.

    In few tokens this asks for all that stands in a context, and so teaches a small model to look things up there.
    """
    read = [m for _ in range(_ALOUD) for m in (("user", "Read it out."), ("assistant", task.read_out(episode, rng)))]
    return Demonstration((("system", episode.context), *read), "aloud", every=True)


def likeliest(task: Task, episode: Episode, rng: np.random.Generator) -> Demonstration:
    """The answer to the likeliest reading, one of those where several are.

    Guesses follow the weights, and so few are shown of each question that which reading is likeliest would be known
    for three questions in four.
    """
    weights = np.array([reading.weight for reading in episode.interpretations])
    first = int(rng.choice(np.flatnonzero(weights == weights.max())))
    return _fact("likeliest", episode, f"{episode.query} Most likely?", shortest_answer(task, episode, first))


def apart(task: Task, episode: Episode) -> Demonstration:
    """By which attributes all readings are told apart.

    The demonstrator asks for any attribute that helps, and one in five of its questions leaves several readings. A
    policy learns to ask the better ones from the names that it is trained on; of others it has to know which they are.
    """
    return _fact("apart", episode, f"{episode.query} Told apart by?", " ".join(_keys(task, episode)) or "nothing")


def told(task: Task, episode: Episode, costs: Costs, rng: np.random.Generator) -> Demonstration:
    """The answer to a reading that a clarifying question has singled out, where one does.

    What comes after a question is the rarest of the demonstrator's moves, and the one that asking is worth nothing
    without.
    """
    intent = int(rng.integers(len(episode.interpretations)))
    questions = task.questions(episode)
    for index in rng.permutation(len(questions)):
        question = questions[index]
        reply = task.reply(question, intent, episode)
        if [i for i in range(len(episode.interpretations)) if task.reply(question, i, episode) == reply] == [intent]:
            break
    game = ClarificationGame(task, episode, intent, costs)
    game.apply(Reply(f"#CLARIFY {question}"))
    game.apply(Reply(reply))
    return _said(game.view("assistant"), f"#ANSWER {shortest_answer(task, episode, intent)}", "told")


def picked(task: Task, episode: Episode, costs: Costs, rng: np.random.Generator) -> Demonstration:
    """What a user takes from a list of some readings in any order: the item that is meant, if it is there."""
    readings = len(episode.interpretations)
    listed = rng.permutation(readings)[: int(rng.integers(1, readings + 1))]
    game = ClarificationGame(task, episode, int(rng.integers(readings)), costs)
    items = ((shortest_label(task, episode, i), shortest_answer(task, episode, i)) for i in listed.tolist())
    game.apply(Reply(list_message(items)))
    view = game.view("user")
    return _said(view, ScriptedUser(task).say(view, 0), "picked")


def _said(view: View, text: str, shows: str) -> Demonstration:
    chat = [(m["role"], m["content"]) for m in messages(view, "pocket")]
    return Demonstration((*chat, ("assistant", text)), shows)


def _fact(shows: str, episode: Episode, asked: str, said: str) -> Demonstration:
    read = (("system", episode.context),) if episode.context else ()
    return Demonstration((*read, ("user", asked), ("assistant", said)), shows)


KINDS = (
    "page",
    "card",
    "facts",
    "aloud",
    "likeliest",
    "apart",
    "assistant",
    "user",
    "told",
    "picked",
    "price",
    "worth",
    "sums",
)

# What a stream shows of each episode, by share. Pages repeat most facts in fewest tokens, but what is known from pages
# alone is not at hand in a game, so every other form is there from the start.
SHARES = {
    "page": 0.12,
    "card": 0.20,
    "assistant": 0.22,
    "user": 0.04,
    "told": 0.14,
    "picked": 0.13,
    "price": 0.08,
    "worth": 0.07,
}


def demonstrations(
    task: Task, split: str, rng: np.random.Generator, costs: Sequence[Costs], shares: Mapping[str, Any] | None = None
) -> Iterator[Demonstration]:
    """Yields demonstrations without end, going through the split's episodes in a new order each time.

    Args:
        task: Any task.
        split: Whose episodes; of an endless one, any.
        rng: Draws everything.
        costs: Cells to draw costs from, independently of all else.
        shares: How often each kind is shown: ``assistant`` and ``user`` are one side's turns of a whole game, the rest
            the functions of this module; ``None``: `SHARES`. Of a mix of tasks (`Task.parts`) the same for each, or by
            name of a task the kinds' shares of all that is shown; each task is shown from the splits it allows.

    Raises:
        ValueError: A kind is unknown.
    """
    if task.parts:
        yield from _of_parts(task, rng, costs, shares)
    shares = SHARES if shares is None else shares
    size = task.sizes[split]
    if unknown := set(shares) - set(KINDS):
        raise ValueError(f"pretrain.stages: shares must be of {', '.join(KINDS)}, not {', '.join(sorted(unknown))}")
    kinds, share = list(shares), np.array(list(shares.values())) / sum(shares.values())
    while True:
        drawn = rng.choice(len(kinds), size=size or _AHEAD, p=share)
        order = rng.permutation(size) if size else rng.integers(ENDLESS, size=_AHEAD)
        for index, shown in zip(order, drawn, strict=True):
            episode, cell = task.episode(split, int(index)), costs[int(rng.integers(len(costs)))]
            match kinds[shown]:
                case "page":
                    yield page(task, episode, rng)
                case "card":
                    yield card(task, episode, rng)
                case "facts":
                    yield facts(task, episode, rng)
                case "aloud":
                    yield aloud(task, episode, rng)
                case "likeliest":
                    yield likeliest(task, episode, rng)
                case "apart":
                    yield apart(task, episode)
                case "told":
                    yield told(task, episode, cell, rng)
                case "picked":
                    yield picked(task, episode, cell, rng)
                case "price":
                    yield price(cell, rng)
                case "worth":
                    yield worth(cell, rng)
                case "sums":
                    yield sums(rng)
                case role:
                    yield from (d for d in play(task, episode, cell, rng) if d.kind.startswith(role))


def _of_parts(
    task: Task, rng: np.random.Generator, costs: Sequence[Costs], shares: Mapping[str, Any] | None
) -> Iterator[Demonstration]:
    """Demonstrations of all tasks of a mix, drawn by their share."""
    own, often = dict.fromkeys(task.parts, shares), np.ones(len(task.parts))
    if shares and not set(shares).isdisjoint(task.parts):
        if unknown := set(shares) ^ set(task.parts):
            raise ValueError(
                f"pretrain.stages: shares by task must name each of {', '.join(task.parts)}, and no "
                f"other; {', '.join(sorted(unknown))} is wrong or missing"
            )
        own = dict(shares)
        often = np.array([sum(own[name].values()) for name in task.parts])
    streams = [stream(part, rng, costs, own[name]) for name, part in task.parts.items()]
    while True:
        for turn in rng.choice(len(streams), size=_AHEAD, p=often / often.sum()):
            yield next(streams[turn])


def stream(
    task: Task, rng: np.random.Generator, costs: Sequence[Costs], shares: Mapping[str, Any] | None = None
) -> Iterator[Demonstration]:
    """Demonstrations of the splits that may be pretrained on, in proportion to their sizes, without end."""
    splits = task.pretraining or tuple(task.sizes)
    sizes = np.array([task.sizes[split] or ENDLESS for split in splits], dtype=float)
    streams = [demonstrations(task, split, rng, costs, shares) for split in splits]
    while True:
        for index in rng.choice(len(streams), size=_AHEAD, p=sizes / sizes.sum()):
            yield next(streams[index])
