"""Evaluation of agents beside the oracle and the fixed strategies, exact over what is hidden."""
