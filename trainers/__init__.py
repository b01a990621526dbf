"""How it learns: one command, one file."""

from importlib.util import find_spec

# Another distribution (openai-agents) installs a package `agents` too; say so rather than fail oddly.
if find_spec("agents.selfplay") is None:
    raise ImportError(
        "the package 'agents' found is not clarify-env's: uninstall openai-agents or use another environment"
    )
