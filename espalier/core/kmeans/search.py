"""The nearest centroid of each row, exact, in blocks.

A product in float32 finds the best and the second best centroid; where the two are closer than BLAS can tell, every
candidate's cosine is computed again in double precision, row by row. So the answer does not depend on the block size or
the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from espalier.core.errors import EspalierError
from espalier.core.linalg import as_unit_rows, cosine_distance, pair_dots

NEAR_TIE = 1e-5  # float32 products of unit rows err by about 1e-7 (1e-6 seen at d = 4096)
TILE_CELLS, TILE_CENTROIDS = 4 * 2**20, 8192  # a tile of cosines is at most 16 MiB
MOST_ROWS = 16384


@dataclass
class Nearest:
    """The nearest centroid of each row, with what a bound needs.

    ``index``, int32, is exact, ties to the lower one. ``cosine`` and ``second``, the greatest to any other centroid
    (-inf when there is only one), float32, are good to about 1e-6: their bits depend on BLAS, so they are bounds, not
    results.
    """

    index: np.ndarray
    cosine: np.ndarray
    second: np.ndarray


def assign(
    vectors: np.ndarray, centroids: np.ndarray, *, block_rows: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Assign each row to its nearest centroid.

    Parameters
    ----------
    vectors : ndarray of shape (n, d), float32
        Unit rows (checked). A memory-mapped array is read in blocks.
    centroids : ndarray of shape (k, d), float32
        Unit rows (checked).
    block_rows : int or None, default None
        Rows handled at a time; by default what fits 16 MiB. It changes memory and speed, never the result.

    Returns
    -------
    assignment : ndarray of shape (n,), int32
        The lower index where two centroids are equally near.
    distance : ndarray of shape (n,), float32
        Cosine distance to that centroid.

    Raises
    ------
    EspalierError
        When there is no centroid, the widths differ, or a row is not of unit norm.
    """
    rows, centres = as_unit_rows(vectors), as_unit_rows(centroids, "centroids")
    if not len(centres) or rows.shape[1] != centres.shape[1]:
        raise EspalierError(f"Cannot assign vectors of shape {rows.shape} to centroids of shape {centres.shape}.")
    index = nearest(rows, centres, block_rows=block_rows).index
    return index, cosine_distance(pair_dots(rows, None, centres, index))


def nearest(
    vectors: np.ndarray,
    centroids: np.ndarray,
    rows: np.ndarray | None = None,
    *,
    block_rows: int | None = None,
) -> Nearest:
    """Find the nearest and second nearest of ``centroids`` (k >= 1) for ``vectors[rows]`` (all when None)."""
    n = len(vectors) if rows is None else len(rows)
    out = Nearest(np.empty(n, np.int32), np.empty(n, np.float32), np.empty(n, np.float32))
    width = min(len(centroids), TILE_CENTROIDS)
    step = min(n, block_rows or MOST_ROWS, block_rows or max(1, TILE_CELLS // width))
    tile = np.empty((step, width), np.float32)
    for start in range(0, n, max(step, 1)):
        part = slice(start, min(start + step, n))
        block = vectors[part] if rows is None else vectors[rows[part]]
        index, best, second = best_two(block, centroids, tile)
        settle_near_ties(block, centroids, index, best, second)
        out.index[part], out.cosine[part], out.second[part] = index, best, second
    return out


def best_two(
    block: np.ndarray, centroids: np.ndarray, tile: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find best index, best cosine and second cosine of each row of the block, by BLAS, over tiles."""
    m = len(block)
    if tile is None:
        tile = np.empty((m, min(len(centroids), TILE_CENTROIDS)), np.float32)
    each = np.arange(m)
    index = np.zeros(m, np.int32)
    best = np.full(m, -np.inf, np.float32)
    second = np.full(m, -np.inf, np.float32)
    for start in range(0, len(centroids), TILE_CENTROIDS):
        part = centroids[start : start + TILE_CENTROIDS]
        cosine = tile.ravel()[: m * len(part)].reshape(m, len(part))
        np.matmul(block, part.T, out=cosine)
        here = cosine.argmax(axis=1)
        top = cosine[each, here]
        cosine[each, here] = -np.inf
        second = np.maximum(np.minimum(best, top), np.maximum(second, cosine.max(axis=1)))
        index = np.where(top > best, start + here, index).astype(np.int32)
        best = np.maximum(best, top)
    return index, best, second


def settle_near_ties(
    block: np.ndarray, centroids: np.ndarray, index: np.ndarray, best: np.ndarray, second: np.ndarray
) -> None:
    """Choose by exact cosine, then by index, where float32 cannot tell best from second (in place)."""
    tied = np.flatnonzero(best - second < NEAR_TIE)
    step = max(1, TILE_CELLS // len(centroids))
    for start in range(0, len(tied), step):
        part = tied[start : start + step]
        cosine = block[part] @ centroids.T
        row, candidate = np.nonzero(cosine >= best[part, None] - 2 * NEAR_TIE)
        exact = pair_dots(block, part[row], centroids, candidate)
        order = np.lexsort((candidate, -exact, row))
        first = order[np.flatnonzero(np.diff(row[order], prepend=-1))]
        index[part[row[first]]] = candidate[first]
