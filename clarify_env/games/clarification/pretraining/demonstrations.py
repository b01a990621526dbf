"""Pretraining demonstrations: games played without regard to the costs, and their facts (docs/design.md).

Both roles of each game become chats, so a model pretrained on them can play the user as well.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from clarify_env.costs import Costs
from clarify_env.games.base import Reply, View
from clarify_env.games.clarification.actions import kind
from clarify_env.games.clarification.plans import list_message, shortest_answer, shortest_label
from clarify_env.games.clarification.pretraining.arithmetic import calculations, derived, sums
from clarify_env.games.clarification.pretraining.demonstrator import turns
from clarify_env.games.clarification.pretraining.numeracy import price, worth
from clarify_env.games.clarification.prompts import messages
from clarify_env.games.clarification.rules import ClarificationGame
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.games.demonstration import Demonstration
from clarify_env.tasks.base import ENDLESS, Episode, Task
from clarify_env.words import count_words

# Number of episodes of an endless split that are drawn at a time.
_AHEAD = 1000
# Largest number of facts in one chat.
_FACTS = 5
# Number of times that a context is read out in one chat.
_ALOUD = 3
_NUMBERS = dict(enumerate("one two three four five six seven eight nine ten".split(), 1))


def play(task: Task, episode: Episode, costs: Costs, rng: np.random.Generator) -> Iterator[Demonstration]:
    """Plays one demonstration game and yields each turn of both roles as a chat."""
    played = turns(task, episode, costs, rng)
    first = kind(played[0].action)
    for turn in played:
        text = turn.reply.text
        assert text is not None, "scripted players always write"
        yield _last_message(turn.view, text, f"{turn.role}/{first}")


def page(task: Task, episode: Episode, rng: np.random.Generator) -> Demonstration:
    """States all facts about a query: number of readings, their weights, lengths of the answers, and the answers.

    It replies to the query alone, and the order of its parts is drawn, so that a model has all facts available at the
    end of the query, where it chooses an action in a game.
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
    summary = ", ".join(outline[i] for i in rng.permutation(len(outline)))
    items = "; ".join(f"{shortest_label(task, episode, i)}: {answer}" for i, answer in enumerate(answers))
    return _fact("page", episode, episode.query, f"{summary}. {items}")


def _keys(task: Task, episode: Episode) -> list[str]:
    """Attributes in which all readings differ; empty if there is only one reading."""
    several = len(readings := episode.interpretations) > 1
    return [
        name
        for name in task.attributes
        if several and len({dict(r.attributes).get(name) for r in readings}) == len(readings)
    ]


def card(task: Task, episode: Episode, rng: np.random.Generator) -> Demonstration:
    """States the answer to one reading, which is given by its label or by its text."""
    i = int(rng.integers(len(episode.interpretations)))
    queries = f"{episode.query} {shortest_label(task, episode, i)}", episode.interpretations[i].text
    return _fact("card", episode, queries[rng.integers(2)], shortest_answer(task, episode, i))


def facts(task: Task, episode: Episode, rng: np.random.Generator) -> Demonstration:
    """A chat about several facts of an episode.

    If facts stand in a context, most tokens of a chat are context: five facts of one context take a third of the tokens
    of five contexts with one fact each, and teach more.
    """
    pairs = task.facts(episode)
    context = [("system", episode.context)] if episode.context else []
    chat = []
    for i in rng.permutation(len(pairs))[:_FACTS]:
        query, answer = pairs[i]
        chat += [("user", query), ("assistant", task.statement.format(answer))]
    return Demonstration((*context, *chat), "facts", every=True)


def aloud(task: Task, episode: Episode, rng: np.random.Generator) -> Demonstration:
    """Reads a context out several times, each time in another order, so that each next entry must be looked up.

    This asks for all entries of a context in few tokens, and so teaches a small model to look them up.
    """
    chat = [m for _ in range(_ALOUD) for m in (("user", "Read it out."), ("assistant", task.read_out(episode, rng)))]
    return Demonstration((("system", episode.context), *chat), "aloud", every=True)


def likeliest(task: Task, episode: Episode, rng: np.random.Generator) -> Demonstration:
    """States the answer to the likeliest reading; ties are broken at random.

    Guesses follow the weights, and there are few per query, which alone does not teach the likeliest reading
    (docs/results.md, "Pretraining").
    """
    weights = np.array([reading.weight for reading in episode.interpretations])
    first = int(rng.choice(np.flatnonzero(weights == weights.max())))
    return _fact("likeliest", episode, f"{episode.query} Most likely?", shortest_answer(task, episode, first))


def apart(task: Task, episode: Episode) -> Demonstration:
    """Names the attributes that separate all readings.

    The demonstrator asks about any attribute that helps, and a fifth of its questions leave several readings. A policy
    learns the better questions for the names that it is trained on; for other names it must know these attributes.
    """
    return _fact("apart", episode, f"{episode.query} Told apart by?", " ".join(_keys(task, episode)) or "nothing")


def told(task: Task, episode: Episode, costs: Costs, rng: np.random.Generator) -> Demonstration:
    """Answers after a clarifying question whose reply leaves one reading, if there is such a question.

    Answers after a question are the rarest of the demonstrator's moves, and asking is useless without them.
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
    return _last_message(game.view("assistant"), f"#ANSWER {shortest_answer(task, episode, intent)}", "told")


def picked(task: Task, episode: Episode, costs: Costs, rng: np.random.Generator) -> Demonstration:
    """Picks, as the user, the intended item from a list of a random subset of the readings in random order."""
    count = len(episode.interpretations)
    readings_listed = rng.permutation(count)[: int(rng.integers(1, count + 1))]
    game = ClarificationGame(task, episode, int(rng.integers(count)), costs)
    items = ((shortest_label(task, episode, i), shortest_answer(task, episode, i)) for i in readings_listed.tolist())
    game.apply(Reply(list_message(items)))
    view = game.view("user")
    return _last_message(view, ScriptedUser(task).say(view, 0), "picked")


def _last_message(view: View, text: str, kind_shown: str) -> Demonstration:
    chat = [(m["role"], m["content"]) for m in messages(view, "pocket")]
    return Demonstration((*chat, ("assistant", text)), kind_shown)


def _fact(kind_shown: str, episode: Episode, query: str, answer: str) -> Demonstration:
    context = (("system", episode.context),) if episode.context else ()
    return Demonstration((*context, ("user", query), ("assistant", answer)), kind_shown)


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
    "derived",
    "calculations",
)

# Default shares of the kinds of demonstrations. Pages state the most facts per token, but facts learned from pages
# alone are not used in games, so all other kinds are present from the start.
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
    """Yields demonstrations without end; each pass over the split's episodes has a new order.

    Args:
        task: Any task.
        split: Split of the episodes; from an endless split, episodes are drawn.
        rng: Random generator of everything that is drawn.
        costs: Cost pairs to draw from, independently of everything else.
        shares: Share of each kind of demonstration; ``None``: `SHARES`. ``assistant`` and ``user`` are the turns of one
            role in a whole game, the other kinds are the functions of this module. For a mix of tasks (`Task.parts`):
            shares of the kinds for all tasks, or such shares by the name of the task. The splits of each task are
            those in `Task.pretraining`.

    Raises:
        ValueError: A kind is unknown.
    """
    if task.parts:
        yield from _of_parts(task, rng, costs, shares)
    shares = SHARES if shares is None else shares
    size = task.split_size(split)
    if unknown := set(shares) - set(KINDS):
        raise ValueError(f"pretrain.stages: shares must be of {', '.join(KINDS)}, not {', '.join(sorted(unknown))}")
    kinds, share = list(shares), np.array(list(shares.values())) / sum(shares.values())
    while True:
        kind_indices = rng.choice(len(kinds), size=size or _AHEAD, p=share)
        order = rng.permutation(size) if size else rng.integers(ENDLESS, size=_AHEAD)
        for index, kind_index in zip(order, kind_indices, strict=True):
            episode, pair = task.episode(split, int(index)), costs[int(rng.integers(len(costs)))]
            match kinds[kind_index]:
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
                    yield told(task, episode, pair, rng)
                case "picked":
                    yield picked(task, episode, pair, rng)
                case "price":
                    yield price(pair, rng)
                case "worth":
                    yield worth(pair, rng)
                case "sums":
                    yield sums(rng)
                case "derived":
                    yield derived(rng)
                case "calculations":
                    yield calculations(rng)
                case role:
                    yield from (d for d in play(task, episode, pair, rng) if d.kind.startswith(role))


def _of_parts(
    task: Task, rng: np.random.Generator, costs: Sequence[Costs], shares: Mapping[str, Any] | None
) -> Iterator[Demonstration]:
    """Yields demonstrations of the tasks of a mix, drawn by the share of each task."""
    shares_by_task, task_shares = dict.fromkeys(task.parts, shares), np.ones(len(task.parts))
    if shares and not set(shares).isdisjoint(task.parts):
        if unknown := set(shares) ^ set(task.parts):
            raise ValueError(
                f"pretrain.stages: shares by task must name each of {', '.join(task.parts)}, and no "
                f"other; {', '.join(sorted(unknown))} is wrong or missing"
            )
        shares_by_task = dict(shares)
        task_shares = np.array([sum(shares_by_task[name].values()) for name in task.parts])
    streams = [stream(part, rng, costs, shares_by_task[name]) for name, part in task.parts.items()]
    while True:
        for index in rng.choice(len(streams), size=_AHEAD, p=task_shares / task_shares.sum()):
            yield next(streams[index])


def stream(
    task: Task, rng: np.random.Generator, costs: Sequence[Costs], shares: Mapping[str, Any] | None = None
) -> Iterator[Demonstration]:
    """Yields demonstrations without end from all splits that may be pretrained on, in proportion to their sizes."""
    splits = task.pretraining or tuple(task.sizes)
    sizes = np.array([task.split_size(split) or ENDLESS for split in splits], dtype=float)
    streams = [demonstrations(task, split, rng, costs, shares) for split in splits]
    while True:
        for index in rng.choice(len(streams), size=_AHEAD, p=sizes / sizes.sum()):
            yield next(streams[index])
