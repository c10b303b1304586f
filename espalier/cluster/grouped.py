"""The nearest centroid of each row when the centroids come in groups: exact, and most groups are skipped.

By the triangle inequality on the sphere no centroid of a group of radius r is nearer to a row than the angle
between the row and the group's middle, less r. Groups that this rules out are skipped; where it rules out
too little, the plain search does all the work. Either way the answer is that of `nearest`. Used for huge k
only (tree.py).
"""

from __future__ import annotations

import numpy as np

from espalier.cluster.assign import NEAR_TIE, Nearest, best_two, nearest, settle_near_ties

CHUNK_CELLS = 16 * 2**20  # rows x groups held at a time, 64 MiB
GROUP_ROWS = 8192
WORTHWHILE = 0.4  # skip groups only when at most this share of all pairs remains
SLACK = 2e-3  # the sine of a cosine that is off by 1e-6 is off by up to 1.4e-3


def nearest_by_group(
    vectors: np.ndarray, centroids: np.ndarray, middles: np.ndarray, first: np.ndarray, known: np.ndarray
) -> Nearest:
    """Find the nearest of ``centroids`` for each row.

    Parameters
    ----------
    vectors : ndarray of shape (n, d), float32
        Unit rows.
    centroids : ndarray of shape (k, d), float32
        Unit centroids, those of a group side by side.
    middles : ndarray of shape (g, d), float32
        A unit vector a group. Any will do; the nearer the group, the more is skipped.
    first : ndarray of shape (g + 1,), int
        Group i is ``centroids[first[i]:first[i + 1]]``, not empty.
    known : ndarray of shape (n,), float32
        The cosine of each row to some centroid, good to 1e-6: what a group must beat.

    Returns
    -------
    Nearest
        ``second`` may be an upper bound where groups were skipped.
    """
    spread = np.einsum("ij,ij->i", centroids, np.repeat(middles, np.diff(first), axis=0))
    radius = np.clip(np.minimum.reduceat(spread, first[:-1]), -1.0, 1.0)
    n = len(vectors)
    found = Nearest(np.zeros(n, np.int32), np.empty(n, np.float32), np.empty(n, np.float32))
    step = max(1, CHUNK_CELLS // len(middles))
    for start in range(0, n, step):
        part = slice(start, start + step)
        block = vectors[part]
        bound = _upper_bounds(block @ middles.T, radius)
        hopeful = bound >= known[part, None] - 2 * NEAR_TIE
        if (hopeful @ np.diff(first).astype(np.float32)).sum() > WORTHWHILE * len(block) * len(centroids):
            chunk = nearest(block, centroids)
        else:
            bound[hopeful] = -np.inf
            chunk = _search(block, centroids, first, hopeful, bound.max(axis=1))
        found.index[part], found.cosine[part], found.second[part] = chunk.index, chunk.cosine, chunk.second
    return found


def _upper_bounds(cosine: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Bound each row's cosine to any centroid of each group: cos(angle - radius), or 1 inside the radius."""
    inside = cosine >= radius
    np.clip(cosine, -1.0, 1.0, out=cosine)
    sine = np.sqrt(1.0 - cosine * cosine)
    sine *= np.sqrt(1.0 - radius * radius)
    cosine *= radius
    cosine += sine
    cosine[inside] = 1.0
    cosine += np.float32(SLACK)
    return cosine


def _search(
    block: np.ndarray, centroids: np.ndarray, first: np.ndarray, hopeful: np.ndarray, skipped: np.ndarray
) -> Nearest:
    """Search the hopeful groups of each row; ``skipped`` bounds the others."""
    m = len(block)
    index, best = np.zeros(m, np.int32), np.full(m, -np.inf, np.float32)
    second = skipped.astype(np.float32)
    for group in range(len(first) - 1):
        low, high = int(first[group]), int(first[group + 1])
        rows = np.flatnonzero(hopeful[:, group])
        for start in range(0, len(rows), GROUP_ROWS):
            part = rows[start : start + GROUP_ROWS]
            here, top, next_top = best_two(block[part], centroids[low:high])
            second[part] = np.maximum(np.minimum(best[part], top), np.maximum(second[part], next_top))
            better = part[top > best[part]]
            index[better] = low + here[top > best[part]]
            best[part] = np.maximum(best[part], top)
    settle_near_ties(block, centroids, index, best, second)
    return Nearest(index, best, second)
