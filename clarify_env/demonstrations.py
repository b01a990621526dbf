"""Demonstrations to pretrain on: games played without regard to the costs, and their facts (DESIGN section 5).

Both sides of each game become a chat, so that a model pretrained on them can play the user as well.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from clarify_env.actions import Clarify, kind, parse
from clarify_env.costs import Costs
from clarify_env.games.base import Reply, View
from clarify_env.games.clarification import ClarificationGame
from clarify_env.plans import list_message, shortest_answer, shortest_label
from clarify_env.prompts import messages
from clarify_env.tasks.base import Demonstration, Episode, Task
from clarify_env.users import ScriptedUser

# Share of a demonstrator's lists that name every reading still possible; the rest stop after the likeliest few.
_LIST_ALL = 0.6
# Share of all demonstrations that compare two numbers. A large model knows that 0.7 is more than 0.4 before it meets a
# cost; a small one must be told, or the digits of costs beyond those it was trained on mean nothing to it.
_NUMBERS = 0.08


class Demonstrator:
    """Plays the assistant, all three actions a third each, whatever they cost; guesses follow the readings' weights.

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
        questions = [question for question in self.task.questions(episode) if question not in asked]
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
        chat = [(m["role"], m["content"]) for m in messages(turn.view, "pocket")]
        yield Demonstration((*chat, ("assistant", turn.reply.text)), f"{turn.role}/{first}")


def facts(task: Task, episode: Episode) -> Iterator[Demonstration]:
    """What there is to know about an episode, without a game around it: a page of all readings, and each one asked for.

    A page holds every reading's share and answer in few tokens, which makes it the cheapest way to repeat them.
    """
    readings = episode.interpretations
    page = "; ".join(
        f"{shortest_label(task, episode, i)} {round(100 * reading.weight)}% {shortest_answer(task, episode, i)}"
        for i, reading in enumerate(readings)
    )
    yield _fact(f"Readings: {episode.query}", page)
    for i, reading in enumerate(readings):
        yield _fact(f"{episode.query} {shortest_label(task, episode, i)}", shortest_answer(task, episode, i))
        yield _fact(reading.text, shortest_answer(task, episode, i))


def told_apart(task: Task, episode: Episode, costs: Costs, rng: np.random.Generator) -> Demonstration:
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
    chat = [(m["role"], m["content"]) for m in messages(game.view("assistant"), "pocket")]
    return Demonstration((*chat, ("assistant", f"#ANSWER {shortest_answer(task, episode, intent)}")), "fact")


def sizes(task: Task, episode: Episode, costs: Costs, rng: np.random.Generator) -> Demonstration:
    """Asks for one quantity that a choice could rest on: readings, shares, words, or a question's worth in words.

    A large prompted model can say how ambiguous a question is and which of two prices is higher, though it may not
    act on it; the small one is taught the same. No action is shown, so nothing here says when to ask, list or guess.
    """
    readings = episode.interpretations
    lengths = [len(shortest_answer(task, episode, i).split()) for i in range(len(readings))]
    labels = [len(shortest_label(task, episode, i).split()) for i in range(len(readings))]
    n = int(rng.integers(1, 30))
    asked, said = [
        (f"{episode.query} How many readings?", str(len(readings))),
        (f"{episode.query} How likely is the likeliest?", f"{round(100 * max(r.weight for r in readings))}%"),
        (f"{episode.query} How many words is an answer?", str(lengths[0])),
        (f"{episode.query} How many words is a list?", str(sum(lengths) + sum(labels))),
        (f"Which costs more, a question or {n} words?", "a question" if costs.alpha > n * costs.beta else f"{n} words"),
    ][rng.integers(5)]
    view = View("assistant", asked, "", None, (), costs, 0, episode.id)
    chat = [(m["role"], m["content"]) for m in messages(view, "pocket")]
    return Demonstration((*chat, ("assistant", said)), "fact")


def comparison(rng: np.random.Generator, costs: Sequence[Costs]) -> Demonstration:
    """Asks which of two numbers is more, or less.

    They are written like costs, from zero to twice the largest; inside the trained range only trained values appear,
    so that values held out from training stay unseen.
    """
    axis, places = (("alpha", 2), ("beta", 3))[rng.integers(2)]
    trained = {getattr(cell, axis) for cell in costs}
    low, high = min(trained), max(trained)
    numbers: list[float] = []
    while len(numbers) < 2:
        drawn = round(float(rng.uniform(0, 2 * high)), places)
        if drawn not in numbers and (drawn in trained or not low <= drawn <= high):
            numbers.append(drawn)
    more = rng.random() < 0.5
    asked = f"Which is {'more' if more else 'less'}, {numbers[0]:.{places}f} or {numbers[1]:.{places}f}?"
    return _fact(asked, f"{(max if more else min)(numbers):.{places}f}")


def _fact(asked: str, said: str) -> Demonstration:
    return Demonstration((("user", asked), ("assistant", said)), "fact")


def demonstrations(task: Task, split: str, rng: np.random.Generator, costs: Sequence[Costs],
                   fact_share: float = 0.5, pages: float = 0.6, told: float = 0.0,
                   sized: float = 0.0) -> Iterator[Demonstration]:  # fmt: skip
    """Yields demonstrations without end, going through the split's episodes in a new order each time.

    Args:
        task: Any finite task.
        split: Whose episodes; pretraining uses every split, since facts of all entities may be known.
        rng: Draws everything.
        costs: Cells to draw costs from, independently of all else.
        fact_share: Share of facts among what is yielded.
        pages: Share of the facts that are whole pages.
        sized: Share of the facts that say how many, how likely, how long or how dear; see `sizes`.
        told: Share of the facts that are answers after a question has been answered; see `told_apart`.
    """
    size = task.sizes[split]
    if size is None:
        raise ValueError(f"task {task.name}: split {split} is endless, so its facts cannot be learned by heart")
    while True:
        for index in rng.permutation(size):
            while rng.random() < _NUMBERS:
                yield comparison(rng, costs)
            episode = task.episode(split, int(index))
            chats = list(play(task, episode, costs[int(rng.integers(len(costs)))], rng))
            page, *cards = facts(task, episode)
            yield from chats
            for _ in range(round(len(chats) * fact_share / (1 - fact_share))):
                if sized and rng.random() < sized:
                    yield sizes(task, episode, costs[int(rng.integers(len(costs)))], rng)
                elif told and rng.random() < told:
                    yield told_apart(task, episode, costs[int(rng.integers(len(costs)))], rng)
                else:
                    yield page if rng.random() < pages else cards[rng.integers(len(cards))]
