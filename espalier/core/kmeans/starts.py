"""Where the rounds start: drawn, settled on a sample and swapped, or, for very many clusters, drawn in batches.

The draws are in seeding.py and batches.py, the swaps in swaps.py, the rounds in lloyd.py.
"""

from __future__ import annotations

import numpy as np

from espalier.core.kmeans.batches import draw_in_batches
from espalier.core.kmeans.lloyd import Lloyd
from espalier.core.kmeans.pruned import STRETCH, nearest_pruned
from espalier.core.kmeans.rows import row_cosine
from espalier.core.kmeans.seeding import fixed_point, kmeans_plusplus
from espalier.core.kmeans.sums import ClusterSums
from espalier.core.kmeans.swaps import improve, swap

DRAW_ROWS, DRAW_ROWS_PER_CLUSTER = 4_000, 20
SETTLE_ROWS, SETTLE_ROWS_PER_CLUSTER = 10_000, 30
SETTLE_ROUNDS, SETTLE_TOL = 10, 1e-4
SWAP_ROUNDS = 8
WINDOW, ORDER_ROUNDS = 256, 3


def sample_rows(rows: np.ndarray, count: int | None, rng: np.random.Generator) -> np.ndarray:
    """Draw ``count`` rows without repetition, in row order; all of them (no copy) when None or too many."""
    if count is None or count >= len(rows):
        return rows
    return rows[np.sort(rng.choice(len(rows), count, replace=False))]


def drawn_start(rows: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Draw centroids from a sample, settle them on a larger one, and swap those that are misplaced.

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
    ndarray of shape (k, d), float32
        Fewer than k when there are fewer distinct rows.
    """
    sample = sample_rows(rows, max(SETTLE_ROWS, SETTLE_ROWS_PER_CLUSTER * k), rng)
    few = sample_rows(sample, max(DRAW_ROWS, DRAW_ROWS_PER_CLUSTER * k), rng)
    drawn = few[kmeans_plusplus(fixed_point(few), k, rng)]
    return improve(sample, drawn, rounds=SWAP_ROUNDS, max_iter=SETTLE_ROUNDS, tol=SETTLE_TOL)


def batched_start(rows: np.ndarray, k: int, rng: np.random.Generator) -> Lloyd:
    """Start for very many clusters: draw in batches, swap once, assign by pruned search.

    Costs one assignment, O(n k d), and a part of a second one.

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
        Ready for rounds.
    """
    chosen, near = draw_in_batches(rows, k, rng)
    sums = ClusterSums(len(chosen), rows.shape[1])
    sums.add(rows, np.arange(len(rows)), near)
    centroids = sums.directions(sums.norms(), rows[chosen])
    order = _like_next_to_like(centroids, rng)
    assignment = np.argsort(order).astype(np.int32)[near]
    sums.total, sums.size = sums.total[order], sums.size[order]
    centroids, place = swap(rows, centroids[order], assignment, sums, WINDOW)
    known = row_cosine(rows, centroids, assignment)
    centroids = centroids[np.argsort(place, kind="stable")]
    return Lloyd(rows, centroids, nearest_pruned(rows, centroids, known))


def _like_next_to_like(centroids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Order centroids by rough groups of about 64."""
    rough = Lloyd(centroids, sample_rows(centroids, -(-len(centroids) // STRETCH), rng))
    rough.run(ORDER_ROUNDS, SETTLE_TOL)
    return np.argsort(rough.assignment, kind="stable")
