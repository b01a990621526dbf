"""Demonstrated games: an assistant that knows every action and disregards the costs, and lessons on other facts."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from clarify_env.costs import Costs
from clarify_env.games.base import Reply, Turn, View
from clarify_env.games.clarification.actions import Clarify, parse
from clarify_env.games.clarification.facts import assistant_facts
from clarify_env.games.clarification.plans import list_message, shortest_answer, shortest_label
from clarify_env.games.clarification.rules import ClarificationGame
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.tasks.base import Episode, Interpretation, Task

# Share of the demonstrator's lists that contain every possible reading; the others contain the first few only.
_LIST_ALL = 0.6


class Demonstrator:
    """Plays the assistant; each of the three actions has probability 1/3, whatever the costs.

    Guesses follow the readings' weights. Questions separate readings, if any question does.

    Args:
        task: The task whose facts it uses.
        rng: Random generator of its actions.
    """

    name = "demonstrator"

    def __init__(self, task: Task, rng: np.random.Generator):
        self.task, self.rng = task, rng

    def say(self, view: View) -> str:
        """Returns the demonstrator's message at ``view``."""
        episode = self.task.lookup(assistant_facts(view).episode_id)
        past, possible = self._consistent(view, episode)
        action = int(self.rng.integers(3))
        if past and len(possible) == 1:
            action = 1
        questions = self._helpful([q for q in self.task.questions(episode) if q not in past], possible, episode)
        if action == 0 and len(past) < 2 and questions:
            return f"#CLARIFY {questions[self.rng.integers(len(questions))]}"
        weights = np.array([episode.interpretations[i].weight for i in possible])
        if action == 2:
            size = len(possible) if self.rng.random() < _LIST_ALL else int(self.rng.integers(1, len(possible) + 1))
            return list_message(
                (shortest_label(self.task, episode, i), _answer(self.task, episode, i)) for i in possible[:size]
            )
        reading = possible[self.rng.choice(len(possible), p=weights / weights.sum())]
        return f"#ANSWER {_answer(self.task, episode, reading)}"

    def _helpful(self, questions: list[str], remaining: list[int], episode: Episode) -> list[str]:
        """Questions whose replies differ between the ``remaining`` readings; all questions if there are none."""
        return [q for q in questions if len({self.task.reply(q, i, episode) for i in remaining}) > 1] or questions

    def _consistent(self, view: View, episode: Episode) -> tuple[list[str], list[int]]:
        """Questions asked so far, and the readings that are consistent with all replies."""
        questions_asked, remaining = [], list(range(len(episode.interpretations)))
        for question, answer in zip(view.heard[::2], view.heard[1::2], strict=True):
            action = parse(question.text)
            assert isinstance(action, Clarify)
            questions_asked.append(action.question)
            remaining = [i for i in remaining if self.task.reply(action.question, i, episode) == answer.text]
        return questions_asked, remaining


def _answer(task: Task, episode: Episode, reading: int) -> str:
    """The task's own choice of a right answer to demonstrate, or the shortest one."""
    own_task, own_episode = task.own(episode)
    return own_task.demonstrated(reading, own_episode) or shortest_answer(task, episode, reading)


def turns(task: Task, episode: Episode, costs: Costs, rng: np.random.Generator, **options: Any) -> list[Turn]:
    """Plays one demonstration game, with the scripted user, and returns the turns of both roles.

    Args:
        task: The task.
        episode: The episode; its intent is drawn by weight.
        costs: Costs that the assistant sees, and disregards.
        rng: Random generator of everything that is drawn.
        **options: The game's own options.
    """
    weights = [reading.weight for reading in episode.interpretations]
    game = ClarificationGame(task, episode, int(rng.choice(len(weights), p=weights)), costs, **options)
    user = ScriptedUser(task)
    players = {"assistant": Demonstrator(task, rng).say, "user": lambda view: user.say(view, int(rng.integers(2**31)))}
    while game.to_move:
        game.apply(Reply(players[game.to_move](game.view(game.to_move))))
    return game.turns


def lessons(
    task: Task, episode: Episode, costs: Sequence[Costs], rng: np.random.Generator, **options: Any
) -> list[list[Turn]]:
    """Asks for facts of an episode's context without ambiguity, and answers them; returns the turns of each game.

    A game teaches one figure of a context, and its lessons teach the others while the context is read once
    (``update.packed``).

    Args:
        task: The task, whose `Task.lessons` are asked for.
        episode: The episode.
        costs: Costs that the assistant sees in each lesson, and disregards.
        rng: Draws the facts, without replacement; an episode with fewer facts has fewer lessons.
        **options: The game's own options.
    """
    own_task, own_episode = task.own(episode)
    games = []
    for vector, (query, answer) in zip(costs, own_task.lessons(own_episode, rng), strict=False):
        reading = Interpretation(label="only", text=query, answers=(answer,), weight=1.0, attributes=())
        game = ClarificationGame(task, episode._replace(query=query, interpretations=(reading,)), 0, vector, **options)
        game.apply(Reply(f"#ANSWER {answer}"))
        games.append(game.turns)
    return games
