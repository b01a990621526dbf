"""The plugin ``clarify-verifiers`` of verifiers: `clarify_env.adapters.verifiers` by a name that it can import."""

from clarify_env.adapters.verifiers import ClarifyEnv, ClarifyHarness, ClarifyTaskset

__all__ = ["ClarifyEnv", "ClarifyHarness", "ClarifyTaskset"]
