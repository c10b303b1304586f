"""How well a subset covers the full set, and how much it repeats itself: cosine geometry, blocked.

Coverage is the k-center objective (Sener and Savarese 2018, arXiv 1708.00489, eq. 4) and its mean. Every row is
compared, unless ``max_rows`` is given. Memory is bounded (about 80 MiB at 512 dimensions) whatever the number of
samples; cost is O(n_dropped * n_kept * dim), almost all of it in BLAS. A product's last bits depend on the block and
the threads, so every figure is rounded to 6 decimals, a little coarser than float32 products are exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from espalier.core.errors import EspalierError
from espalier.core.linalg import as_unit_rows, pair_dots
from espalier.core.rng import generator

BLOCK = 4096  # rows on either side of one product: 64 MiB of float32
_DECIMALS = 6


@dataclass(frozen=True)
class Coverage:
    """How far the dropped samples are from the nearest kept one, in cosine distance; 0.0 when none is dropped.

    Only ``n_measured`` of the ``n_dropped`` were measured if ``max_rows`` said so; then ``radius_max`` is a lower
    bound.
    """

    radius_max: float
    radius_mean: float
    n_dropped: int
    n_measured: int


def coverage(
    vectors: np.ndarray,
    kept: np.ndarray,
    *,
    max_rows: int | None = None,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Coverage:
    """Measure the distance of each dropped sample to its nearest kept one.

    Parameters
    ----------
    vectors : ndarray of shape (n, dim), float32
        Unit rows (checked).
    kept : ndarray of shape (n,), bool, or of shape (n_kept,), int
        Mask or row indices of the kept samples, of which there must be one.
    max_rows : int, optional
        Measure at most so many dropped samples, drawn without replacement by ``seed``; all by default.
    progress : callable, optional
        Called with the number of dropped samples just measured.
    """
    vectors = as_unit_rows(vectors)
    mask = as_mask(kept, len(vectors))
    base, dropped = np.flatnonzero(mask), np.flatnonzero(~mask)
    if not len(base) and len(dropped):
        raise EspalierError("Nothing is kept, so coverage has no meaning.", "Keep at least one sample.")
    rows = at_most(dropped, max_rows, seed, "coverage")
    distance = np.empty(len(rows))
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        near = _nearest(vectors, block, base)
        distance[start : start + len(block)] = 1.0 - pair_dots(vectors, block, vectors, near)
        if progress:
            progress(len(block))
    distance = distance.clip(0.0, 2.0)
    return Coverage(
        round(float(distance.max(initial=0.0)), _DECIMALS),
        round(float(distance.mean()), _DECIMALS) if len(rows) else 0.0,
        len(dropped),
        len(rows),
    )


def redundancy(
    vectors: np.ndarray,
    kept: np.ndarray,
    *,
    max_rows: int | None = None,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> float:
    """Measure the mean cosine similarity, in [-1, 1], of a kept sample to its nearest other kept sample.

    Arguments as in :func:`coverage`; ``max_rows`` limits the samples asked, never those they are compared with. NaN
    when fewer than two samples are kept.
    """
    vectors = as_unit_rows(vectors)
    base = np.flatnonzero(as_mask(kept, len(vectors)))
    if len(base) < 2:
        return float("nan")
    if max_rows is not None and max_rows < len(base):
        own = np.sort(generator(seed, "redundancy").choice(len(base), max_rows, replace=False))
        total = 0.0
        for start in range(0, len(own), BLOCK):
            block = own[start : start + BLOCK]
            near = _nearest(vectors, base[block], base, own=block)
            total += float(pair_dots(vectors, base[block], vectors, near).sum())
            if progress:
                progress(len(block))
        return round(total / len(own), _DECIMALS)
    best = _pairwise_best(vectors, base, progress)
    return round(float(best.mean(dtype=np.float64).clip(-1, 1)), _DECIMALS)


def as_mask(kept: np.ndarray, n: int) -> np.ndarray:
    """Return ``kept`` as a mask of shape (n,), whether it came as a mask or as row indices."""
    kept = np.asarray(kept)
    if kept.dtype == bool:
        if kept.shape != (n,):
            raise EspalierError(f"The mask has shape {kept.shape}, not ({n},).", "Give one flag a sample.")
        return kept
    if len(kept) and not (0 <= kept.min() and kept.max() < n):
        raise EspalierError(f"Row indices leave [0, {n}).", "Give rows of these vectors.")
    mask = np.zeros(n, bool)
    mask[kept.astype(np.int64)] = True
    return mask


def at_most(rows: np.ndarray, most: int | None, seed: int, purpose: str) -> np.ndarray:
    """Return ``rows``, or ``most`` of them drawn without replacement, in order."""
    if most is None or most >= len(rows):
        return rows
    if most < 1:
        raise EspalierError(f"max_rows is {most}.", "Give at least 1, or leave it out to measure all.")
    return np.sort(generator(seed, purpose).choice(rows, most, replace=False))


def _nearest(vectors: np.ndarray, rows: np.ndarray, base: np.ndarray, own: np.ndarray | None = None) -> np.ndarray:
    """Return for each of ``rows`` the row in ``base`` of greatest product; ``own`` = its place in base."""
    best = np.full(len(rows), -np.inf, np.float32)
    near = np.zeros(len(rows), np.int64)
    queries = vectors[rows]
    for start in range(0, len(base), BLOCK):
        block = base[start : start + BLOCK]
        products = queries @ vectors[block].T
        if own is not None:
            inside = np.flatnonzero((own >= start) & (own < start + len(block)))
            products[inside, own[inside] - start] = -np.inf
        at = products.argmax(axis=1)
        value = products[np.arange(len(rows)), at]
        better = value > best  # strict: of equal products the lowest row stays
        best[better], near[better] = value[better], block[at[better]]
    return near


def _pairwise_best(vectors: np.ndarray, base: np.ndarray, progress: Callable[[int], None] | None) -> np.ndarray:
    """Return each base row's greatest product with another one; the upper triangle is enough."""
    best = np.full(len(base), -np.inf, np.float32)
    for i in range(0, len(base), BLOCK):
        left = vectors[base[i : i + BLOCK]]
        mine = best[i : i + BLOCK]
        for j in range(i, len(base), BLOCK):
            products = left @ (left if i == j else vectors[base[j : j + BLOCK]]).T
            if i == j:
                np.fill_diagonal(products, -np.inf)
            else:
                theirs = best[j : j + BLOCK]
                np.maximum(theirs, products.max(axis=0), out=theirs)
            np.maximum(mine, products.max(axis=1), out=mine)
        if progress:
            progress(len(left))
    return best
