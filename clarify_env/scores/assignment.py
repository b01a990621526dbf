"""The assignment problem: pairs rows and columns one to one, with the largest sum (Hungarian method, Kuhn 1955)."""

import numpy as np


def largest_sum(scores: np.ndarray) -> float:
    """Largest sum of the entries of a matrix of which no two share a row or a column.

    Args:
        scores: Shape [n, m], finite, both sizes at least 1. min(n, m) entries are chosen. The time is
            O(min(n, m)^2 max(n, m)).
    """
    if 1 in scores.shape:
        return float(scores.max())
    costs = -(scores if scores.shape[0] <= scores.shape[1] else scores.T)
    n, m = costs.shape
    # Row and column 0 are virtual: a path that assigns row i begins at column 0. row_of: the row assigned to a column.
    row_price, column_price = np.zeros(n + 1), np.zeros(m + 1)
    row_of = np.zeros(m + 1, dtype=int)
    for row in range(1, n + 1):
        row_of[0], column = row, 0
        least, previous = np.full(m + 1, np.inf), np.zeros(m + 1, dtype=int)
        visited = np.zeros(m + 1, dtype=bool)
        while row_of[column]:
            visited[column] = True
            reached = row_of[column]
            slack = costs[reached - 1] - row_price[reached] - column_price[1:]
            better = ~visited[1:] & (slack < least[1:])
            least[1:][better], previous[1:][better] = slack[better], column
            column = 1 + int(np.where(visited[1:], np.inf, least[1:]).argmin())
            step = least[column]
            row_price[row_of[visited]] += step
            column_price[visited] -= step
            least[~visited] -= step
        while column:  # the assignments along the path move on by one column
            row_of[column], column = row_of[previous[column]], previous[column]
    columns = np.flatnonzero(row_of[1:])
    order = columns[np.argsort(row_of[1:][columns])]
    return float(-costs[np.arange(n), order].sum())
