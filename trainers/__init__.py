"""Training and evaluation: one command per file, and the library of all commands."""

from importlib.util import find_spec

# Another distribution (openai-agents) also installs a package `agents`; name it in the error.
if find_spec("agents.selfplay") is None:
    raise ImportError(
        "the package 'agents' found is not clarify-env's: uninstall openai-agents or use another environment"
    )
