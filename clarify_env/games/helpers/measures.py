"""Measures of the game: score and calls, calls beside what memory knows, and how well hedges tell right from wrong."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from clarify_env.games.base import Game, Trajectory
from clarify_env.games.helpers.actions import Action, Assert, Hedge, Invalid, Search, answer_of
from clarify_env.games.helpers.facts import ASKER, HELPERS, HelperFacts
from clarify_env.games.helpers.plans import Plans, solve
from clarify_env.scores.answers import exact_match
from clarify_env.scores.calibration import auroc, calibration_error, held_out_isotonic, reliability
from clarify_env.tasks.base import Episode
from clarify_env.tasks.passages import PassageTask


def measures(task: PassageTask, episode: Episode, game: Game | Trajectory) -> dict[str, float]:
    """Measures of one finished game.

    Returns:
        ``score``, ``f1``, ``em`` (of the final answer) and ``calls``; ``any_right``: whether a helper's answer is an
        exact match; ``invalid``: whether a message is one that the asker does not hear; of each helper ``i``
        ``called_i``, ``asserted_i``, ``hedged_i``, and ``right_i``: whether its answer is an exact match. If the task
        knows what memory holds, ``known`` and ``partly``: whether that is right, or only in part; ``decisions``: to
        call or not, one for each helper that plays; and ``optimal_decisions``: those of the best joint plan that agrees
        with most of them.
    """
    result = game.result
    assert result is not None, "only a finished game is measured"
    gold, form = episode.interpretations[0].answers, task.normal_form(episode)
    last = {turn.role: turn for turn in game.turns}
    answer = last[ASKER].reply.text if ASKER in last else ""
    entry: dict[str, float] = {"calls": result.usage["calls"], "invalid": 0.0, "any_right": 0.0}
    for i, helper in enumerate(HELPERS):
        actions: list[Action] = [turn.action for turn in game.turns if turn.role == helper]
        reply = answer_of(actions[-1]) if actions else ""
        right = exact_match(reply, gold, form)
        entry |= {
            f"called_{i}": float(any(isinstance(action, Search) for action in actions)),
            f"asserted_{i}": float(bool(actions) and isinstance(actions[-1], Assert)),
            f"hedged_{i}": float(bool(actions) and isinstance(actions[-1], Hedge)),
            f"right_{i}": right,
        }
        entry["invalid"] = max(entry["invalid"], float(any(isinstance(action, Invalid) for action in actions)))
        entry["any_right"] = max(entry["any_right"], right)
        if ASKER not in last and actions:
            answer = reply
    final = {
        "score": result.score,
        "f1": task.f1(answer or "", 0, episode),
        "em": exact_match(answer or "", gold, form),
    }
    memory = task.memory(episode)
    if memory is not None:
        entry["known"] = float(exact_match(memory[0], gold, form))
        entry["partly"] = float(not entry["known"] and task.f1(memory[0], 0, episode) > 0)
        calls = {i: bool(entry[f"called_{i}"]) for i, helper in enumerate(HELPERS) if helper in last}
        entry |= {"decisions": len(calls), "optimal_decisions": _optimal(task, episode, game, calls)}
    return {**final, **entry}


def _optimal(task: PassageTask, episode: Episode, game: Game | Trajectory, calls: Mapping[int, bool]) -> int:
    """Returns how many decisions to call or not are those of a best plan of the helpers that play."""
    if not calls:
        return 0
    facts = next(turn.view.facts for turn in game.turns if turn.role in HELPERS)
    assert isinstance(facts, HelperFacts), "a helper has a helper's facts"
    alone = HELPERS[next(iter(calls))] if len(calls) == 1 else "none"
    plans = _plans(task, episode.id, facts.calls, facts.results, alone).best(game.prices[0])
    return max(sum(called == (plan == f"call_{i}") for i, called in calls.items()) for plan in plans)


@lru_cache(maxsize=4096)
def _plans(task: PassageTask, episode_id: str, calls: int, results: int, alone: str) -> Plans:
    """Plans of an episode; a task is the same as long as it lives."""
    solved = solve(task, [task.lookup(episode_id)], calls, results, alone)
    assert solved is not None, "the task knows what memory holds"
    return solved[0]


def summary(values: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Figures over all games that are no mean of a measure.

    Args:
        values: Each measure at C prices, shape [E, C].

    Returns:
        ``asserted_accuracy``, ``hedged_accuracy``: share of the helpers' answers that are right, of those that are
        asserted or hedged; ``hedge_auroc``: of asserting, for right answers; ``hedge_ece``: calibration error of the
        rate of asserting after isotonic regression on the other half of the episodes; ``trust``: share of the games in
        which a helper is right that end with a right answer. If the task knows what memory holds: ``calls_known``,
        ``calls_partly``, ``calls_unknown``: calls a question where memory is right, in part, and not at all;
        ``call_auroc``: of calls, of questions where it is not at all against those where it is right;
        ``asserted_known``, ``asserted_unknown``: share of the helpers' answers that are asserted where memory is right,
        and elsewhere; and ``plan``: whom the policy has search, in the words of `equilibria`, by its calls a question
        rounded to whole ones. ``None`` where nothing is to be counted. Lists are for figures: ``reliability``, the bins
        (calibrated rate of asserting, share that is right, weight) of the hedges, and ``f1_by_calls``, the calls a
        question and the F1 at each price, by calls.
    """
    asserted, hedged = (_both(values, name) for name in ("asserted", "hedged"))
    right, replied = _both(values, "right"), asserted + hedged
    episodes = np.broadcast_to(np.arange(asserted.shape[1])[:, None], asserted.shape[1:])
    groups = np.stack([episodes, episodes]).ravel()
    counted = replied > 0
    rate = np.divide(asserted, replied, out=np.zeros_like(asserted), where=counted)
    flat = rate.ravel(), right.ravel(), replied.ravel()
    calibrated = held_out_isotonic(flat[0], flat[1], groups, flat[2])
    entry: dict[str, Any] = {
        "asserted_accuracy": _ratio(asserted * right, asserted),
        "hedged_accuracy": _ratio(hedged * right, hedged),
        "hedge_auroc": auroc(*flat),
        "hedge_ece": None if calibrated is None else calibration_error(calibrated, *flat[1:]),
        "trust": _ratio(values["em"] * values["any_right"], values["any_right"]),
        "reliability": [] if calibrated is None else [list(one) for one in reliability(calibrated, *flat[1:])],
        "f1_by_calls": sorted(zip(*(values[name].mean(0).tolist() for name in ("calls", "f1")), strict=True)),
    }
    if "known" in values:
        known, partly, calls = values["known"], values["partly"], values["calls"]
        unknown = 1 - known - partly
        entry |= {
            "calls_known": _ratio(calls * known, known),
            "calls_partly": _ratio(calls * partly, partly),
            "calls_unknown": _ratio(calls * unknown, unknown),
            "call_auroc": auroc(calls.ravel(), unknown.ravel(), (known + unknown).ravel()),
            "asserted_known": _ratio(asserted * known, replied * known),
            "asserted_unknown": _ratio(asserted * (1 - known), replied * (1 - known)),
        }
        entry["plan"] = _plan(entry["calls_known"], entry["calls_unknown"])
    return entry


def _plan(known: float | None, unknown: float | None) -> str | None:
    """Returns who searches, by the calls a question where memory is right and where it is wrong."""
    if known is None or unknown is None:
        return None
    names = ("nobody searches", "one searches", "both search")
    where_right, where_wrong = names[round(known)], names[round(unknown)]
    if where_right == where_wrong:
        return f"{where_wrong} always" if round(unknown) else where_wrong
    return f"{where_wrong} where memory is wrong" + (f", {where_right} elsewhere" if round(known) else "")


def _both(values: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Returns a measure of both helpers, shape [2, E, C]."""
    return np.stack([values[f"{name}_{i}"] for i in range(len(HELPERS))])


def _ratio(part: np.ndarray, whole: np.ndarray) -> float | None:
    return float(part.sum() / whole.sum()) if whole.sum() > 0 else None
