"""Refuses former names of options and choices, and states the present name."""

from collections.abc import Iterable

RENAMED = {
    "sample": "rollouts",
    "selfplay.max_questions": "game.max_questions",
    "selfplay.redact_leaks": "game.leaks",
    "game.redact_leaks": "game.leaks",
    "selfplay.reasoning": "game.reasoning",
    "budget.questions": "budget.episodes",
    "curve_questions": "curve_episodes",
    "comparison": "size",
    "rest.dearest": "rest.corner",
}
_VALUES = {
    ("rollouts", "branching"): "all_readings",
    ("costs", "default"): "clarification",
    ("game.leaks", "true"): "redact",
    ("game.leaks", "false"): "count",
}


def refuse_renamed(overrides: Iterable[str]) -> None:
    """Checks the overrides of a command line for former names of options and choices.

    Raises:
        ValueError: An override has a former name; the message states the present one.
    """
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        old = next((old for old in RENAMED if key == old or key.startswith(f"{old}.")), None)
        now = RENAMED[old] + key[len(old) :] if old else key
        value = _VALUES.get((now, value), value)
        if (now, value) != (key, override.partition("=")[2]):
            raise ValueError(f"{override} is an old name: write {now}={value}")
