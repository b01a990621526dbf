"""Pretraining data of the pocket model: games played without regard to the costs, facts, prices and sums."""
