"""Scores of answers: exact match and token F1, DROP's F1, execution match."""
