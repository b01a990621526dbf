"""The self-play engine, by the name under which agents are played with it."""

from clarify_env.selfplay import Start, play, trajectory, turn_seed

__all__ = ["Start", "play", "trajectory", "turn_seed"]
