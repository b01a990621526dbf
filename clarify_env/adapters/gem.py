"""GEM: one role of a game as a text environment; `clarify_env.gym.RoleEnv` steps the game.

Run with gem-llm 0.1.0 (extra ``[gem]``), in an environment without the extra [train] (docs/adapters.md). Importing this
module registers the environment as ``clarify:Role-v0``.
"""

import copy
from typing import Any

from clarify_env.extras import extra
from clarify_env.games.description import Messages
from clarify_env.gym import RoleEnv
from clarify_env.options import whole_number

with extra("clarify_env.adapters.gem", "gem"):
    import gem

NAME = "clarify:Role-v0"


class ClarifyGemEnv(gem.Env):
    """A role of a game. Observations are text: at first the whole prompt, later the messages that are new to the role.

    Each info holds the role's chat as ``messages`` and, once the game is over, its measures as ``outcome``. No global
    random state is touched: other than GEM's own environments, ``reset(seed)`` seeds this environment alone.

    Args:
        task: A task, its name, or where its class is, as in `make_task`.
        role: The role to play.
        seed: Seed of the first `reset` that is given none; ``None``: none.
        **settings: Further arguments of `clarify_env.gym.RoleEnv`.

    Raises:
        ValueError: An argument is wrong.
    """

    def __init__(self, task: Any = "almanac", role: str = "assistant", seed: int | None = None, **settings: Any):
        super().__init__()
        self._arguments = {"task": task, "role": role, "seed": seed} | settings
        self.env = RoleEnv(task, role, **settings)
        self._seed = None if seed is None else whole_number("seed", seed, least=0)
        self._chat: Messages = []

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Deals a game; the options are those of `RoleEnv.reset`."""
        first, self._seed = self._seed, None
        _, info = self.env.reset(seed=first if seed is None else seed, options=options)
        self._chat = info["messages"]
        return _text(self._chat), info

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Plays a message and those of all others until the role is to move again.

        Returns:
            Observation, reward, terminated, truncated (never), info.

        Raises:
            ValueError: The game is over.
        """
        _, reward, terminated, truncated, info = self.env.step(action)
        last, self._chat = self._chat, info["messages"]
        return _text(self._chat[len(last) + 1 :]), reward, terminated, truncated, info

    def sample_random_action(self) -> str:
        """Draws a text that mostly begins with one of the game's openings."""
        return self.env.action_space.sample()

    def spawn(self, same_state: bool = False, **kwargs: Any) -> "ClarifyGemEnv":
        """Makes another environment with the same arguments but those given, and if asked the same game so far."""
        other = type(self)(**self._arguments | kwargs)
        if same_state:
            other._seed, other._chat = self._seed, self._chat
            if self._chat:  # a game has been dealt
                other.env.game = self.env.game.fork(self.env.game.hidden)
            other.env.np_random = copy.deepcopy(self.env.np_random)
        return other


def _text(messages: Messages) -> str:
    return "\n\n".join(message["content"] for message in messages)


gem.register(NAME, "clarify_env.adapters.gem:ClarifyGemEnv")
