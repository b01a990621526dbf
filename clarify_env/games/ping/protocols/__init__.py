"""Scripted protocols of each task, which use rounds well: what rounds are worth, and what a policy may reach."""
