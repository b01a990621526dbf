"""The environments' names in Gymnasium, registered when Gymnasium is imported.

Gymnasium takes longer to import than all that games and commands need of this package. So ``import clarify_env`` does
not import it: it registers at once where Gymnasium is there already, and else as soon as someone imports it.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

# The environments' ids, each with where its class is.
ENVIRONMENTS = {
    "clarify_env/Assistant-v0": "clarify_env.gym:AssistantEnv",
    "clarify_env/Role-v0": "clarify_env.gym:RoleEnv",
}


def offer_environments() -> None:
    """Makes ``gymnasium.make`` know `ENVIRONMENTS`, whether Gymnasium is imported before or after this call."""
    if "gymnasium" in sys.modules:
        _register()
    else:
        sys.meta_path.insert(0, _AfterImport())


def _register() -> None:
    from gymnasium.envs.registration import register

    for name, entry_point in ENVIRONMENTS.items():
        register(id=name, entry_point=entry_point)


class _AfterImport(MetaPathFinder):
    """Finds Gymnasium as any import would, and registers the environments once its code has run."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "gymnasium":
            return None
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def run_and_register(module: ModuleType) -> None:
                run(module)
                _register()

            spec.loader.exec_module = run_and_register  # type: ignore[method-assign]
        return spec
