"""Estimates of a mean rating by two raters, a cheap one that errs and a strong one, for the least money (2506.07949).

Numpy and scipy only: no episodes, games, models or files. Raters, commands and files are in `trainers.evaluation`.
"""
