"""Measures that the interview reports besides the reward."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from clarify_env.costs import Prices
from clarify_env.games.base import Game, Trajectory
from clarify_env.games.interview.actions import Answer, Ask
from clarify_env.games.interview.oracle import MARGIN, Best, Group, Solved
from clarify_env.tasks.base import Episode, Task
from clarify_env.words import count_words

# Games that end after this many questions or more are counted together.
MOST_COUNTED = 3


def measures(task: Task, episode: Episode, game: Game | Trajectory) -> dict[str, Any]:
    """Measures of one finished game.

    Returns:
        ``accuracy``, ``questions``, ``words`` charged, the flags ``invalid`` and ``leak``; for n = 0 to `MOST_COUNTED`
        ``ended_n`` (whether the game ended after n questions, the last one: or more) and ``right_n`` (the accuracy if
        it did); and, if the task has an oracle, the entries of `beside_oracle`.
    """
    result = game.result
    assert result is not None, "only a finished game is measured"
    invalid = result.flags["invalid"]
    questions = result.usage["questions"] - invalid
    entry: dict[str, Any] = {
        "accuracy": result.score,
        "questions": questions,
        "words": result.usage["words"],
        "invalid": invalid,
        "leak": result.flags["leak"],
    }
    for n in range(MOST_COUNTED + 1):
        ended = min(questions, MOST_COUNTED) == n
        entry |= {f"ended_{n}": float(ended), f"right_{n}": result.score * ended}
    return entry | (beside_oracle(task, game, episode.id) if task.known_odds else {})


# Games of one episode at one price vector are measured together.
@lru_cache(maxsize=512)
def _solved(task: Task, episode_id: str, prices: Prices) -> tuple[Solved, np.ndarray]:
    solved = Solved(task, task.lookup(episode_id), 0)
    solved.max_questions = len(solved.questions)  # as many as are useful
    return solved, np.array([prices])


def beside_oracle(task: Task, game: Game | Trajectory, episode_id: str) -> dict[str, float]:
    """Compares the decisions of a finished game with the oracle's, who may ask as often as the game allows.

    Returns:
        ``decisions``: valid messages; ``optimal_decisions``: those whose effect is worth as much as the oracle's best;
        ``early``: answers although a question is worth its price; ``late``: questions although an answer is worth more;
        ``worth``: sum over the questions of their worth, the oracle's value after the question minus that before it:
        its price if it is the best thing to do, 0 if it tells nothing; ``paid``: sum of the questions' prices;
        ``oracle_questions``: expected number of questions of the oracle.
    """
    solved, costs = _solved(task, episode_id, tuple(game.prices))
    facts: Any = game.turns[0].view.facts
    most = facts.max_questions
    group, left = solved.everyone, min(most, solved.max_questions)
    oracle = solved.best(costs, group, left)
    counts = dict.fromkeys(("decisions", "optimal_decisions", "early", "late", "worth", "paid"), 0.0)
    turns = game.turns
    for index, turn in enumerate(turns):
        if turn.role != "assistant" or not isinstance(turn.action, Ask | Answer):
            continue
        best, mass = solved.best(costs, group, left), solved.weights[list(group)].sum()
        counts["decisions"] += 1
        if isinstance(turn.action, Answer):
            counts["optimal_decisions"] += (
                _answer_value(solved, turn.action.text, costs, group) >= best.value[0] - MARGIN
            )
            counts["early"] += bool(best.ask[0] > best.stop[0] + MARGIN)
            continue
        most -= 1
        left = min(most, solved.max_questions)
        after, price = _after(solved, turn.action.question, costs, group, left)
        counts["optimal_decisions"] += after - price * mass >= best.value[0] - MARGIN
        counts["late"] += bool(best.ask[0] <= best.stop[0] + MARGIN)
        counts["worth"] += (after - best.value[0]) / mass
        counts["paid"] += price
        reply = turns[index + 1].reply.text if index + 1 < len(turns) else None
        group = solved.after(group, turn.action.question, reply or "")
    return {name: float(count) for name, count in counts.items()} | {"oracle_questions": float(oracle.questions[0])}


def _answer_value(solved: Solved, text: str, costs: np.ndarray, group: Group) -> float:
    """Expected reward of an answer, its words charged as they are, times the weight of the state."""
    rows = list(group)
    weights = solved.weights[rows]
    scores = [solved.task.score(text, i, solved.episode) if text else 0.0 for i in rows]
    return float(weights @ scores - costs[0, 1] * count_words(text) * weights.sum())


def _after(solved: Solved, text: str, costs: np.ndarray, group: Group, left: int) -> tuple[float, float]:
    """Returns the oracle's value after a question, times the weight of the state, and the question's price."""
    parts: dict[str, list[int]] = {}
    for i in group:
        parts.setdefault(solved.task.reply(text, i, solved.episode), []).append(i)
    below: list[Best] = [solved.best(costs, tuple(part), left) for part in parts.values()]
    return float(sum(best.value[0] for best in below)), float(costs[0, 0] + costs[0, 1] * count_words(text))


def summary(episodes: Sequence[Episode], values: Mapping[str, np.ndarray], first: np.ndarray) -> dict[str, Any]:
    """Aggregates over all games other than the means of the measures.

    Args:
        episodes: E episodes.
        values: Each measure, shape [E, C].
        first: Kind of the first message, shape [E, C].

    Returns:
        ``accuracy_n``: accuracy of the games that ended after n questions, ``None`` if none did; and, with an oracle,
        ``stopped_early`` and ``asked_late`` (shares of all decisions), ``question_worth`` (mean worth of a question)
        and ``worth_paid`` (worth of all questions over their prices: 1 if each was the best thing to do); the last two
        ``None`` if none was asked.
    """
    entry = {f"accuracy_{n}": _ratio(values[f"right_{n}"], values[f"ended_{n}"]) for n in range(MOST_COUNTED + 1)}
    if "decisions" not in values:
        return entry
    of_all = {"stopped_early": "early", "asked_late": "late"}
    entry |= {name: _ratio(values[count], values["decisions"]) for name, count in of_all.items()}
    worth = values["worth"]
    return entry | {"question_worth": _ratio(worth, values["questions"]), "worth_paid": _ratio(worth, values["paid"])}


def _ratio(part: np.ndarray, whole: np.ndarray) -> float | None:
    return float(part.sum() / whole.sum()) if whole.sum() > 0 else None
