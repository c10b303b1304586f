"""Rows to start k-means from: greedy k-means++ or, for very many clusters, batches; in exact fixed-point arithmetic.

Arthur and Vassilvitskii 2007, with several candidates a step (their section 6; scikit-learn does so too): n x k x d
products in k small steps. In batches many rows are drawn at once, by the squared distances to all batches before, as in
k-means|| (Bahmani et al. 2012, arXiv 1203.6402); differs: exactly k rows are drawn, so there is nothing to thin out.
"""

from __future__ import annotations

import math

import numpy as np

TABLE_ROWS = 2048
BATCHES = 8
BLOCK, TILE = 4096, 2048
BELOW_ONE = 1.0 - 2.0**-52  # keeps a draw times a total below that total after rounding


def fixed_point(vectors: np.ndarray) -> np.ndarray:
    """Round unit rows to integers held in float32, scaled so that all dot products are exact (below 2**24).

    BLAS then gives the same bits in any order of summation, so a draw never depends on threads or block shape. A row's
    rounded norm is at most scale + sqrt(d) / 2, and partial sums of a dot product are at most the product of the norms
    (Cauchy-Schwarz). The scale is about 4085 at d = 512, so cosines are good to about 1e-4.
    """
    scale = 4095.0 / (1.0 + 1e-3) - 0.5 * math.sqrt(vectors.shape[1]) - 1.0
    rows = vectors * np.float32(scale)
    return np.rint(rows, out=rows)


def kmeans_plusplus(rows: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Draw ``k`` distinct rows of ``fixed_point`` that lie far from each other, fewer when fewer are distinct: int64.

    Each is drawn with probability proportional to its squared distance to the nearest row drawn before. Of 2 + log(k)
    candidates a step the one that lowers the summed squared distance most is taken, the first drawn where they are
    equal.
    """
    half_norm = _half_norms(rows)
    n_candidates = 2 + int(math.log(k))
    draws = rng.random((k, n_candidates)) * BELOW_ONE
    table = _table(rows, half_norm, n_candidates * k)
    chosen = [int(draws[0, 0] * len(rows))]
    gap = _half_squared_distances(rows, half_norm, np.array(chosen))[0]
    for draw in draws[1:]:
        total = gap.cumsum()
        if total[-1] <= 0:
            break
        candidates = total.searchsorted(draw * total[-1], side="right")
        apart = _half_squared_distances(rows, half_norm, candidates) if table is None else table[candidates]
        offered = np.minimum(apart, gap)
        best = int(offered.sum(axis=1).argmin())
        chosen.append(int(candidates[best]))
        gap = offered[best]
    return np.array(chosen, dtype=np.int64)


def _table(rows: np.ndarray, half_norm: np.ndarray, n_lookups: int) -> np.ndarray | None:
    """Compute all distances at once when most would be needed anyway and they fit 32 MiB, else None."""
    if len(rows) > min(n_lookups, TABLE_ROWS):
        return None
    return _half_squared_distances(rows, half_norm, np.arange(len(rows)))


def _half_squared_distances(rows: np.ndarray, half_norm: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Half the squared distance of each row to each seed, shape (len(seeds), m) float64, exact."""
    return (half_norm[seeds, None] + half_norm[None, :]) - (rows[seeds] @ rows.T)


def draw_in_batches(vectors: np.ndarray, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw ``k`` distinct unit rows that lie far from each other, and assign all rows to them.

    Returns the rows drawn, int64, fewer than ``k`` when fewer are distinct, and for each row the place of the nearest
    of them, as near as fixed point tells (1e-4): (n,) int32.
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
