"""Rollouts: groups of games played on training episodes."""
