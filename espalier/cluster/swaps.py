"""Swaps: take a centroid from where two share one group and give it to a cluster that holds two groups.

Lloyd's rounds never move a centroid across empty space, so a start that puts two centroids into one group
and one centroid between two groups stays so. After the rounds settle, the pairs whose union costs least are
merged and the clusters whose halving gains most are split, as long as the gain exceeds the cost; then the
rounds go on. The idea is that of Muhr and Granitzer 2009 and Fritzke's breathing k-means (arXiv 2006.15666),
with costs and gains taken from the sums of the clusters. Used on the start only (seeding.py draws it); the
rounds are in lloyd.py.
"""

from __future__ import annotations

import numpy as np

from espalier.cluster.lloyd import Lloyd
from espalier.cluster.rows import own_cosine
from espalier.cluster.seeding import fixed_point
from espalier.cluster.sums import ClusterSums

MARGIN = 1.2  # a gain must exceed the cost by so much: halving pure noise gains a little, too
HALVING_ROUNDS = 3


def improve(vectors: np.ndarray, centroids: np.ndarray, *, rounds: int, max_iter: int, tol: float) -> np.ndarray:
    """Alternate Lloyd's rounds and swaps while the mean cosine grows.

    Parameters
    ----------
    vectors : ndarray of shape (m, d), float32
        Unit rows, usually a sample.
    centroids : ndarray of shape (k, d), float32
        Where to start.
    rounds : int
        Most times that swaps are tried.
    max_iter, tol
        Of the rounds after each swap, as in `fit_kmeans`.

    Returns
    -------
    ndarray of shape (k, d), float32
        The best centroids met.
    """
    state = Lloyd(vectors, centroids)
    state.run(max_iter, tol)
    best, best_total = state.centroids, state.sums.norms().sum()
    for _ in range(rounds):
        swapped = _swap(state)
        if swapped is None:
            break
        state.jump(swapped)
        state.run(max_iter, tol)
        total = state.sums.norms().sum()
        if total <= best_total + tol * len(vectors):
            break
        best, best_total = state.centroids, total
    return best


def _swap(state: Lloyd) -> np.ndarray | None:
    """Return the centroids after all swaps that pay, or None when none does."""
    norms = state.sums.norms()
    merged, heir, cost = _merges(state, norms)
    split, gain, halves = _splits(state, norms)
    centroids = state.centroids.copy()
    taken: set[int] = set()
    next_split, n_swaps = 0, 0
    for one, other, price in zip(merged.tolist(), heir.tolist(), cost.tolist(), strict=True):
        if one in taken or other in taken:
            continue
        while next_split < len(split) and (int(split[next_split]) in taken or int(split[next_split]) in (one, other)):
            next_split += 1
        if next_split == len(split) or gain[next_split] <= MARGIN * price:
            break
        torn = int(split[next_split])
        taken.update((one, other, torn))
        union = state.sums.total[one] + state.sums.total[other]
        centroids[other] = union / np.sqrt(np.square(union).sum())
        centroids[one], centroids[torn] = halves[2 * torn], halves[2 * torn + 1]
        n_swaps += 1
    return centroids if n_swaps else None


def _merges(state: Lloyd, norms: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each centroid with its nearest other, and what their union costs in summed cosine; cheapest first."""
    rows = fixed_point(state.centroids)
    cosine = rows @ rows.T
    np.fill_diagonal(cosine, -np.inf)
    heir = cosine.argmax(axis=1)
    union = state.sums.total + state.sums.total[heir]
    cost = norms + norms[heir] - state.sums.lengths(union)
    order = np.argsort(cost, kind="stable")
    return order, heir[order], cost[order]


def _splits(state: Lloyd, norms: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Halve every cluster by two-means; clusters by falling gain, the gains, and the halves (2k, d), in pairs."""
    k, d = state.centroids.shape
    everyone = np.arange(len(state.vectors))
    first = _farthest(state, state.centroids)
    second = _farthest(state, state.vectors[first])
    halves = state.vectors[np.stack([first, second], axis=1).ravel()]
    for _ in range(HALVING_ROUNDS):
        lean = own_cosine(state.vectors, halves[1::2] - halves[::2], state.assignment)
        sums = ClusterSums(2 * k, d)
        sums.add(state.vectors, everyone, 2 * state.assignment + (lean > 0))
        lengths = sums.norms()
        halves = sums.directions(lengths, halves)
    gain = lengths.reshape(k, 2).sum(axis=1) - norms
    order = np.argsort(-gain, kind="stable")
    return order, gain[order], halves


def _farthest(state: Lloyd, points: np.ndarray) -> np.ndarray:
    """Return the row of each cluster that lies farthest from the cluster's point, (k,) int64; 0 for an empty one."""
    cosine = own_cosine(state.vectors, points, state.assignment)
    order = np.lexsort((cosine, state.assignment))
    start = np.flatnonzero(np.diff(state.assignment[order], prepend=-1))
    farthest = np.zeros(len(points), dtype=np.int64)
    farthest[state.assignment[order[start]]] = order[start]
    return farthest
