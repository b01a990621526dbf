"""SkyRL-gym: one role of a game as a text environment; `clarify_env.gym.RoleEnv` steps the game.

Run with skyrl-gym 0.4.0 (extra ``[skyrl]``). Importing this module registers the environment as ``clarify``.
"""

from collections.abc import Mapping
from typing import Any

from clarify_env.extras import extra
from clarify_env.games.description import Messages
from clarify_env.gym import RoleEnv
from clarify_env.options import whole_number

with extra("clarify_env.adapters.skyrl", "skyrl"):
    from omegaconf import OmegaConf
    from skyrl_gym.envs.base_text_env import BaseTextEnv, BaseTextEnvStepOutput
    from skyrl_gym.envs.registration import register

NAME = "clarify"


class ClarifyTextEnv(BaseTextEnv):
    """A role of a game. Rows of a data set with the same seed and options are dealt the same game.

    SkyRL adds messages to the end of a prompt, so the style of the chat must do the same from turn to turn, as those
    of the clarification game do.

    Args:
        env_config: Arguments of `clarify_env.gym.RoleEnv` by name, such as ``task``, ``costs`` and ``max_questions``;
            the default is the assistant's role of the clarification game on the task ``almanac``.
        extras: The row of the data set: ``seed``, and if given ``options``, those of `RoleEnv.reset`.

    Raises:
        ValueError: The row has no seed, or an argument is wrong.
    """

    def __init__(self, env_config: Any = None, extras: Mapping[str, Any] | None = None):
        super().__init__()
        settings: Any = OmegaConf.to_container(OmegaConf.create(env_config or {}))
        if not isinstance(settings, dict):
            raise ValueError(f"env_config must be a mapping of arguments, not {settings!r}")
        arguments: dict[str, Any] = {"task": "almanac", "role": "assistant"} | settings
        self.env = RoleEnv(**arguments)
        row = extras or {}
        if "seed" not in row:
            raise ValueError(f"a row of the data set of {NAME} must have a seed, an integer of at least 0")
        self._seed, self._options = whole_number("seed of a row", row["seed"], least=0), row.get("options")
        self._chat: Messages = []
        self._metrics: dict[str, float] = {}

    def init(self, prompt: Any = None) -> tuple[Messages, dict[str, Any]]:
        """Deals the game.

        Args:
            prompt: The prompt of the row, which the game's own replaces.

        Returns:
            The role's chat, and the info of `RoleEnv.reset`.
        """
        _, info = self.env.reset(seed=self._seed, options=self._options)
        self.turns, self._chat, self._metrics = 0, info["messages"], {}
        return self._chat, info

    def step(self, action: str) -> BaseTextEnvStepOutput:
        """Plays a message and those of all others until the role is to move again.

        Returns:
            ``observations``, the messages that follow the role's own (none once the game is over); ``reward``;
            ``done``; ``metadata``, the info of `RoleEnv.step`.

        Raises:
            ValueError: The game is over, or its chat does not continue the last one.
        """
        _, reward, done, _, info = self.env.step(action)
        self.turns += 1
        last, self._chat = self._chat, info["messages"]
        if done:
            self._metrics = {name: float(value) for name, value in info["outcome"].items()} | {"reward": reward}
        elif self._chat[: len(last)] != last or self._chat[len(last)]["role"] != "assistant":
            raise ValueError("this style of the chat changes earlier messages; SkyRL adds messages to the end alone")
        new = [] if done else self._chat[len(last) + 1 :]
        return BaseTextEnvStepOutput(observations=new, reward=reward, done=done, metadata=info)

    def get_metrics(self) -> dict[str, float]:
        """The measures of the finished game and its reward."""
        return self._metrics


register(id=NAME, entry_point="clarify_env.adapters.skyrl:ClarifyTextEnv")


def rows(seeds: range, env_config: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Rows of a data set for SkyRL: prompt, environment and seed of each game.

    Args:
        seeds: One seed a game.
        env_config: As in `ClarifyTextEnv`.
    """
    made = []
    for seed in seeds:
        env = ClarifyTextEnv(env_config, {"seed": seed})
        made.append({"data_source": NAME, "prompt": env.init()[0], "env_class": NAME, "seed": seed})
    return made
