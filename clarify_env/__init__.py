"""The environment: games about when to ask, when to list and when to guess."""

from typing import TYPE_CHECKING, Any

from clarify_env.costs import CostPlane, Costs
from clarify_env.registration import offer_environments
from clarify_env.tasks.registry import make_task

if TYPE_CHECKING:
    from clarify_env.aec import env, raw_env
    from clarify_env.evaluation.evaluate import evaluate

__all__ = ["CostPlane", "Costs", "__version__", "env", "evaluate", "make_task", "raw_env"]
__version__ = "0.1.0"

offer_environments()


def __getattr__(name: str) -> Any:
    """Imports the environments of PettingZoo and the evaluation at first use: commands and games need neither."""
    if name in ("env", "raw_env"):
        from clarify_env import aec

        return getattr(aec, name)
    if name == "evaluate":
        from clarify_env.evaluation.evaluate import evaluate

        return evaluate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
