"""Runs: configuration, run directory, stored files and processes."""
