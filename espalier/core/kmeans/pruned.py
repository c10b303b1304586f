"""The nearest centroid of each row among very many: exact, but most products are never made in full.

In the leading principal axes of the centroids the bound of ``espalier.core.linalg`` is cheap: where even it falls short
of a cosine the row is known to reach, the centroid is out. Stretches of 64 neighbouring centroids are dropped together,
so like should lie next to like. Where the axes rule out too little, the plain search does all the work. Either way the
answer is that of `nearest`.
"""

from __future__ import annotations

import numpy as np

from espalier.core.kmeans.search import Nearest, best_two, nearest, settle_near_ties
from espalier.core.linalg import project

STRETCH = 64
BLOCK = 16384
MARGIN = 0.03  # centroids that miss by less are looked at too, so that `second` leaves room for the next rounds
SLACK = 2e-3  # a length that should be 0 comes out as up to 1e-3
ENERGY = 0.7  # the axes hold so much of the centroids' squared length
WORTHWHILE = 0.4  # drop stretches only where at most this share of all pairs remains


def nearest_pruned(vectors: np.ndarray, centroids: np.ndarray, known: np.ndarray) -> Nearest:
    """Find the nearest of the unit ``centroids`` for each unit row; best with like centroids side by side.

    ``known``, (n,) float32, is the cosine of each row to one of the centroids, good to 1e-6. The result's ``second``
    may be an upper bound, ``known - MARGIN + SLACK``, where no other centroid came nearer.
    """
    axes = _leading_axes(centroids)
    if 2 * axes.shape[1] > centroids.shape[1]:
        return nearest(vectors, centroids)
    short = project(centroids, axes)
    n = len(vectors)
    out = Nearest(np.empty(n, np.int32), np.empty(n, np.float32), np.empty(n, np.float32))
    for start in range(0, n, BLOCK):
        part = slice(start, start + BLOCK)
        block, floor = vectors[part], known[part] - np.float32(MARGIN)
        hopeful = _hopeful(project(block, axes), short, floor)
        if hopeful.mean() > WORTHWHILE:
            chunk = nearest(block, centroids)
        else:
            chunk = _search(block, centroids, hopeful, floor + np.float32(SLACK))
        out.index[part], out.cosine[part], out.second[part] = chunk.index, chunk.cosine, chunk.second
    return out


def _leading_axes(centroids: np.ndarray) -> np.ndarray:
    """Return the principal axes, in steps of 32, that hold ENERGY of the centroids' squared length, (d, a) float32."""
    strength, axes = np.linalg.eigh((centroids.T @ centroids).astype(np.float64))
    held = np.cumsum(strength[::-1]) / strength.sum()
    count = 32 * (1 + int(np.searchsorted(held, ENERGY)) // 32)
    return np.ascontiguousarray(axes[:, ::-1][:, :count], dtype=np.float32)


def _hopeful(rows: np.ndarray, centroids: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """Which stretches of centroids hold one that may reach a row's floor, (m, stretches) bool."""
    n_stretches = -(-len(centroids) // STRETCH)
    hopeful = np.empty((len(rows), n_stretches), dtype=bool)
    step = 16 * STRETCH
    reaches = np.zeros((len(rows), step), dtype=bool)
    for start in range(0, len(centroids), step):
        part = centroids[start : start + step]
        reaches[:, len(part) :] = False
        np.greater_equal(rows @ part.T, floor[:, None], out=reaches[:, : len(part)])
        first, count = start // STRETCH, -(-len(part) // STRETCH)
        eights = reaches.view(np.uint64).reshape(len(rows), -1, STRETCH // 8)
        hopeful[:, first : first + count] = np.any(eights, axis=2)[:, :count]
    return hopeful


def _search(block: np.ndarray, centroids: np.ndarray, hopeful: np.ndarray, skipped: np.ndarray) -> Nearest:
    """Search the hopeful stretches of each row; ``skipped`` bounds the cosines to all others."""
    index, best = np.zeros(len(block), np.int32), np.full(len(block), -np.inf, np.float32)
    second = skipped.copy()
    for stretch in range(hopeful.shape[1]):
        rows = np.flatnonzero(hopeful[:, stretch])
        if not len(rows):
            continue
        low = stretch * STRETCH
        here, top, next_top = best_two(block[rows], centroids[low : low + STRETCH])
        better = top > best[rows]
        second[rows] = np.maximum(np.minimum(best[rows], top), np.maximum(second[rows], next_top))
        index[rows[better]] = low + here[better]
        best[rows] = np.maximum(best[rows], top)
    settle_near_ties(block, centroids, index, best, second)
    return Nearest(index, best, second)
