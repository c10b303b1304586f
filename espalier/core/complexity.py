"""What the clusters are like: complexity, label entropy, their most and least typical rows.

Complexity follows Density-Based Pruning (arXiv 2401.04578, section 3): d_intra, the mean cosine distance of the rows to
their centroid, times d_inter, the mean cosine distance of the centroid to its 20 nearest other centroids. Differs from
the released code: fewer neighbours where there are fewer clusters (there d_inter becomes infinite).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from espalier.core.errors import EspalierError
from espalier.core.kmeans.search import NEAR_TIE
from espalier.core.linalg import as_unit_rows, cosine_distance, pair_dots

BLOCK_CELLS = 8_000_000  # cosines held at a time, 32 MiB


@dataclass(frozen=True)
class Complexity:
    """One entry a cluster.

    Attributes
    ----------
    size : ndarray of shape (k,), int64
        Rows in the cluster.
    d_intra, d_inter : ndarray of shape (k,), float64
        Mean cosine distance of its rows to its centroid (0 without rows), and of its centroid to the nearest other
        centroids (0 when it is the only one).
    complexity : ndarray of shape (k,), float64
        ``d_intra * d_inter``.
    n_neighbors : int
        Neighbours used: as asked, or k - 1 when that is less.
    """

    size: np.ndarray
    d_intra: np.ndarray
    d_inter: np.ndarray
    complexity: np.ndarray
    n_neighbors: int


def cluster_complexity(
    centroids: np.ndarray, assignment: np.ndarray, distance: np.ndarray, n_neighbors: int = 20
) -> Complexity:
    """Measure how wide each cluster is and how far its neighbours are.

    Parameters
    ----------
    centroids : ndarray of shape (k, d), float32
        Unit rows (checked).
    assignment : ndarray of shape (n,), int
        Cluster of each row.
    distance : ndarray of shape (n,), float32
        Cosine distance of each row to its own centroid.
    n_neighbors : int, default 20
        Nearest centroids that d_inter averages over, at least 1.

    Raises
    ------
    EspalierError
        When n_neighbors < 1, or assignment and distance differ in length or name unknown clusters.
    """
    if n_neighbors < 1:
        raise EspalierError(f"n_neighbors = {n_neighbors}: it must be at least 1.")
    centres = as_unit_rows(centroids, "centroids")
    k = len(centres)
    _check_rows(assignment, distance, k)
    size = np.bincount(assignment, minlength=k)
    d_intra = np.bincount(assignment, weights=distance, minlength=k) / np.maximum(size, 1)
    d_inter = _mean_neighbour_distance(centres, min(n_neighbors, k - 1))
    return Complexity(size, d_intra, d_inter, d_intra * d_inter, min(n_neighbors, k - 1))


def label_entropy(assignment: np.ndarray, k: int, indptr: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Shannon entropy, in bits, of the labels met in each of ``k`` clusters: (k,) float64, NaN where there is none.

    Row i has the labels ``codes[indptr[i]:indptr[i + 1]]``, at least 0: none, one or several.
    """
    n_labels = int(codes.max(initial=-1)) + 1
    cluster_of = np.repeat(np.asarray(assignment, dtype=np.int64), np.diff(indptr))
    cells, counts = np.unique(cluster_of * max(n_labels, 1) + codes, return_counts=True)
    cluster = cells // max(n_labels, 1)
    total = np.bincount(cluster, weights=counts, minlength=k)
    share = counts / total[cluster]
    entropy = np.bincount(cluster, weights=-share * np.log2(share), minlength=k)
    return np.where(total > 0, np.maximum(entropy, 0.0), np.nan)


def extreme_rows(
    assignment: np.ndarray, distance: np.ndarray, k: int, count: int, *, hardest: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """List the ``count`` rows of each cluster nearest to its centroid (prototypical), or farthest (hardest).

    Cluster c of the ``k`` has ``rows[indptr[c]:indptr[c + 1]]``, best first, the lower row first where distances are
    equal.
    """
    _check_rows(assignment, distance, k)
    order = np.lexsort((-distance if hardest else distance, assignment))  # stable: ties stay in row order
    size = np.bincount(assignment, minlength=k)
    rank = np.arange(len(order)) - np.repeat(np.cumsum(size) - size, size)
    indptr = np.concatenate([[0], np.cumsum(np.minimum(size, count))])
    return indptr, order[rank < count]


def _check_rows(assignment: np.ndarray, distance: np.ndarray, k: int) -> None:
    if len(assignment) != len(distance):
        raise EspalierError(f"{len(assignment)} assignments do not belong to {len(distance)} distances.")
    if len(assignment) and not 0 <= assignment.min() <= assignment.max() < k:
        raise EspalierError(f"The assignment names clusters outside 0..{k - 1}.")


def _mean_neighbour_distance(centres: np.ndarray, n_neighbors: int) -> np.ndarray:
    """Mean cosine distance to the nearest others, shape (k,) float64, its bits free of BLAS."""
    k = len(centres)
    mean = np.zeros(k)
    if n_neighbors == 0:
        return mean
    step = max(1, BLOCK_CELLS // k)
    for start in range(0, k, step):
        block = centres[start : start + step]
        cosine = block @ centres.T
        np.fill_diagonal(cosine[:, start:], -np.inf)
        floor = -np.partition(-cosine, n_neighbors - 1, axis=1)[:, n_neighbors - 1]
        row, other = np.nonzero(cosine >= floor[:, None] - 2 * NEAR_TIE)  # a few too many, for near ties
        near = cosine_distance(pair_dots(centres, start + row, centres, other)).astype(np.float64)
        near = near[np.lexsort((near, row))]
        count = np.bincount(row, minlength=len(block))
        first = np.cumsum(count) - count
        mean[start : start + step] = near[first[:, None] + np.arange(n_neighbors)].mean(axis=1)
    return mean
