"""The scripted user of the clarification game, by the name under which the README's code imports it."""

from clarify_env.games.clarification.users import ScriptedUser

__all__ = ["ScriptedUser"]
