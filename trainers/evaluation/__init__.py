"""How a policy is measured."""
