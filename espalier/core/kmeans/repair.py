"""Empty clusters: which rows they are given. Moving centroids and sums accordingly is the caller's."""

from __future__ import annotations

import numpy as np

from espalier.core.kmeans.rows import own_cosine


def fill_empty(
    vectors: np.ndarray, centroids: np.ndarray, assignment: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Choose for each empty cluster the row farthest from its own centroid, never the last row of a cluster.

    Parameters
    ----------
    vectors : ndarray of shape (n, d), float32
    centroids : ndarray of shape (k, d), float32
    assignment : ndarray of shape (n,), int32
    size : ndarray of shape (k,), int64
        Rows in each cluster.

    Returns
    -------
    rows, clusters : ndarray of int64, ndarray of int32
        Row ``rows[i]`` goes to the empty cluster ``clusters[i]``. Rows by falling distance, then by index;
        clusters by index. Fewer than there are empty clusters when no row lies off its centroid.
    """
    empty = np.flatnonzero(size == 0)
    if not len(empty):
        return np.empty(0, np.int64), np.empty(0, np.int32)
    distance = 1.0 - own_cosine(vectors, centroids, assignment)
    left = size.copy()
    rows: list[int] = []
    for row in np.lexsort((np.arange(len(distance)), -distance)):
        if len(rows) == len(empty) or distance[row] <= 1e-7:
            break
        if left[assignment[row]] > 1:
            left[assignment[row]] -= 1
            rows.append(int(row))
    return np.array(rows, dtype=np.int64), empty[: len(rows)].astype(np.int32)
