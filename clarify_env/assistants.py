"""The scripted assistants of the clarification game, by the name under which the README's code imports them."""

from clarify_env.games.clarification.strategies import STRATEGIES, ScriptedAssistant

__all__ = ["STRATEGIES", "ScriptedAssistant"]
