"""Where the rounds start: drawn, settled on a sample and swapped, or, for huge k, built group by group.

The draws are in seeding.py, the swaps in swaps.py, the rounds in lloyd.py; this file decides what is used
when.
"""

from __future__ import annotations

import numpy as np

from espalier.cluster.grouped import nearest_by_group
from espalier.cluster.lloyd import Lloyd
from espalier.cluster.seeding import fixed_point, kmeans_plusplus
from espalier.cluster.swaps import improve
from espalier.quota import largest_remainder

DRAW_ROWS, DRAW_ROWS_PER_CLUSTER = 4_000, 20
SETTLE_ROWS, SETTLE_ROWS_PER_CLUSTER = 10_000, 30
SETTLE_ROUNDS, SETTLE_TOL = 10, 1e-4
SWAP_ROUNDS = 8
GROUPS, GROUP_ROUNDS = 3, 5


def sample_rows(rows: np.ndarray, count: int | None, rng: np.random.Generator) -> np.ndarray:
    """Draw ``count`` rows without repetition, in row order; all of them (no copy) when None or too many."""
    if count is None or count >= len(rows):
        return rows
    return rows[np.sort(rng.choice(len(rows), count, replace=False))]


def drawn_start(rows: np.ndarray, k: int, rng: np.random.Generator, *, swap: bool = True) -> np.ndarray:
    """Draw centroids from a sample, settle them on a larger one, and swap those that are misplaced.

    Parameters
    ----------
    rows : ndarray of shape (n, d), float32
        Unit rows.
    k : int
        At most n.
    rng : numpy.random.Generator
        Source of the draws.
    swap : bool, default True
        False leaves out the swaps, for groups that need not be perfect.

    Returns
    -------
    ndarray of shape (k, d), float32
        Fewer than k when there are fewer distinct rows.
    """
    sample = sample_rows(rows, max(SETTLE_ROWS, SETTLE_ROWS_PER_CLUSTER * k), rng)
    few = sample_rows(sample, max(DRAW_ROWS, DRAW_ROWS_PER_CLUSTER * k), rng)
    drawn = few[kmeans_plusplus(fixed_point(few), k, rng)]
    rounds = SWAP_ROUNDS if swap else 0
    return improve(sample, drawn, rounds=rounds, max_iter=SETTLE_ROUNDS, tol=SETTLE_TOL)


def grouped_start(rows: np.ndarray, k: int, rng: np.random.Generator) -> Lloyd:
    """Start for huge k in two levels: 3 sqrt(k) groups, k-means inside each, one exact assignment.

    A group gets centroids in proportion to the summed distance of its rows to its middle. Costs
    O(n sqrt(k) d) for the levels, and at most O(n k d) for the assignment.

    Parameters
    ----------
    rows : ndarray of shape (n, d), float32
        Unit rows.
    k : int
        At most n.
    rng : numpy.random.Generator
        Source of the draws.

    Returns
    -------
    Lloyd
        Ready for rounds over all centroids.
    """
    groups = Lloyd(rows, drawn_start(rows, int(GROUPS * np.sqrt(k)), rng, swap=False))
    groups.repair()
    size = groups.sums.size
    total_cosine = groups.sums.norms()
    quota = largest_remainder(np.maximum(size - total_cosine, 0.0), k, np.minimum(size, 1), size)
    order = np.argsort(groups.assignment, kind="stable")
    end = np.cumsum(size)
    known = np.empty(len(rows), np.float32)
    centroids, middles = [], []
    for group in np.flatnonzero(size):
        members = order[end[group] - size[group] : end[group]]
        inside = rows[members]
        drawn = kmeans_plusplus(fixed_point(inside), int(quota[group]), rng)
        fine = Lloyd(inside, inside[drawn])
        fine.run(GROUP_ROUNDS, SETTLE_TOL)
        known[members] = fine.own
        centroids.append(fine.centroids)
        middles.append(groups.centroids[group])
    first = np.cumsum([0, *map(len, centroids)])
    together = np.concatenate(centroids)
    return Lloyd(rows, together, nearest_by_group(rows, together, np.stack(middles), first, known))
