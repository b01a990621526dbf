"""Played games as rows of data sets, and games played elsewhere as played games."""
