"""Starts for very many clusters: drawn in a few batches that together cost one assignment.

k-means++ draws one row after another, n x k x d products in k small steps. Here each batch is drawn at once, by the
squared distances to all batches before it, as in k-means|| (Bahmani et al. 2012, arXiv 1203.6402); differs: exactly
k rows are drawn, so there is nothing to thin out afterwards. When the last batch is drawn, every row knows its
nearest start. Arithmetic is in fixed point as in seeding.py, so bits do not depend on threads or blocks.
"""

from __future__ import annotations

import numpy as np

from espalier.core.kmeans.seeding import BELOW_ONE, fixed_point

BATCHES = 8
BLOCK, TILE = 4096, 2048


def draw_in_batches(vectors: np.ndarray, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw ``k`` distinct rows that lie far from each other, and assign all rows to them.

    Parameters
    ----------
    vectors : ndarray of shape (n, d), float32
        Unit rows.
    k : int
        At most n.
    rng : numpy.random.Generator
        Source of the draws.

    Returns
    -------
    chosen : ndarray of shape (k,), int64
        Row indices. Fewer than ``k`` when there are fewer distinct rows.
    nearest : ndarray of shape (n,), int32
        For each row the place in ``chosen`` of the nearest one, as near as fixed point tells (1e-4).
    """
    n = len(vectors)
    gap = np.full(n, np.inf)
    nearest = np.zeros(n, np.int32)
    batch = -(-k // BATCHES)
    chosen = np.sort(rng.choice(n, batch, replace=False))
    _bring_nearer(vectors, chosen, 0, gap, nearest)
    while len(chosen) < k:
        total = np.cumsum(gap)
        if total[-1] <= 0:
            break
        draws = rng.random(min(batch, k - len(chosen))) * BELOW_ONE * total[-1]
        new = np.unique(total.searchsorted(draws, side="right"))
        _bring_nearer(vectors, new, len(chosen), gap, nearest)
        chosen = np.concatenate([chosen, new])
    return chosen, nearest


def _bring_nearer(vectors: np.ndarray, new: np.ndarray, first: int, gap: np.ndarray, nearest: np.ndarray) -> None:
    """Lower each row's half squared distance where a new start is nearer (in place)."""
    starts = fixed_point(vectors[new])
    half_start = _half_norms(starts)
    for low in range(0, len(vectors), BLOCK):
        part = slice(low, low + BLOCK)
        rows = fixed_point(vectors[part])
        half_row = _half_norms(rows)
        for left in range(0, len(starts), TILE):
            dots = rows @ starts[left : left + TILE].T
            best = dots.argmax(axis=1)
            offered = half_row + half_start[left + best] - dots[np.arange(len(rows)), best]
            closer = offered < gap[part]
            nearest[part][closer] = first + left + best[closer]
            gap[part][closer] = offered[closer]
    gap[new] = 0.0
    nearest[new] = first + np.arange(len(new))


def _half_norms(rows: np.ndarray) -> np.ndarray:
    return 0.5 * np.einsum("ij,ij->i", rows, rows).astype(np.float64)
