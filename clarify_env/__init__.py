"""The environment: games about when to ask, when to list and when to guess."""

import gymnasium

from clarify_env.aec import env, raw_env
from clarify_env.costs import CostPlane, Costs
from clarify_env.evaluation.evaluate import evaluate
from clarify_env.tasks import make_task

__all__ = ["CostPlane", "Costs", "__version__", "env", "evaluate", "make_task", "raw_env"]
__version__ = "0.1.0"

gymnasium.register(id="clarify_env/Assistant-v0", entry_point="clarify_env.gym:AssistantEnv")
gymnasium.register(id="clarify_env/Role-v0", entry_point="clarify_env.gym:RoleEnv")
