"""Evaluation of a policy."""
