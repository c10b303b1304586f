"""A cheap upper bound of the cosine, by which most tiles of pairs are ruled out without their full products.

Rows are projected on their first ``m`` principal directions; by Cauchy and Schwarz what the projection leaves out adds
at most the product of the two remainders' norms. With that norm as one more entry, the inner product of two screened
rows *is* the bound: a quarter of the arithmetic rules a pair out, and no pair is ever lost. Where the vectors do not
allow it (the bound would pass too many pairs), the rows themselves are the screen. Serves near and semantic duplicates.
"""

from __future__ import annotations

import numpy as np

SAMPLE = 2048
SHARES = (8, 4, 2)  # the projection keeps one of so many dimensions
MOST_PASSED = 0.001  # share of sampled pairs above the floor by the bound alone
LEAST_WORK = 5e9  # multiplications below which screening is not worth its preparation
NOISE = 1e-5  # float32 products of unit rows by BLAS are off by less
FEW = 500  # with fewer candidates than one in so many, pair by pair is faster than the whole tile
_SMALL_TERMS, _ONE_THREAD_TERMS = 8 << 20, 4 << 16
_SAFETY = 1e-6  # squared norms are off by less in float32


class Screen:
    """Gives the screened rows.

    Parameters
    ----------
    vectors : ndarray of shape (n, d), float32
        Unit rows.
    axes : ndarray of shape (d, m), float32, or None
        Orthonormal columns; None: no projection.
    memory : int
        Bytes that projected rows may take; when they do not fit they are made again for each tile.
    """

    def __init__(self, vectors: np.ndarray, axes: np.ndarray | None, memory: int) -> None:
        self._vectors, self._axes = vectors, axes
        self._ready: np.ndarray | None = None
        if axes is not None and len(vectors) * (axes.shape[1] + 1) * 4 <= memory:
            self._ready = np.empty((len(vectors), axes.shape[1] + 1), dtype=np.float32)
            for start in range(0, len(vectors), SAMPLE):
                self._ready[start : start + SAMPLE] = project(vectors[start : start + SAMPLE], axes)

    @property
    def projects(self) -> bool:
        """Whether products of screened rows are bounds instead of cosines."""
        return self._axes is not None

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Screened rows; their inner products are at least the cosines, but for rounding."""
        if self._axes is None:
            return gather(self._vectors, rows)
        if self._ready is not None:
            return gather(self._ready, rows)
        return project(gather(self._vectors, rows), self._axes)


def choose_axes(sample: np.ndarray, left: np.ndarray, right: np.ndarray, floor: float) -> np.ndarray | None:
    """Choose the smallest projection that still rules pairs out.

    Parameters
    ----------
    sample : ndarray of shape (s, d), float32
        Rows whose principal directions are taken.
    left, right : ndarray of shape (p, d), float32
        Pairs of the kind that will be compared.
    floor : float
        Cosine above which pairs are wanted.

    Returns
    -------
    ndarray of shape (d, m), float32, or None
        None when no projection rules enough of the pairs out.
    """
    d = sample.shape[1]
    if d < 2 * max(SHARES) or not len(left):
        return None
    directions = np.linalg.eigh(sample.T @ sample)[1][:, ::-1]
    similar = (np.einsum("ij,ij->i", left, right) > floor).mean()  # no bound can rule these out
    for share in SHARES:
        axes = np.ascontiguousarray(directions[:, : d // share - 1], dtype=np.float32)
        bound = np.einsum("ij,ij->i", project(left, axes), project(right, axes))
        if (bound > floor).mean() <= MOST_PASSED + similar:
            return axes
    return None


def project(rows: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Project, and append the norm of what the projection leaves out: (b, m + 1) float32."""
    screened = np.empty((len(rows), axes.shape[1] + 1), dtype=np.float32)
    np.matmul(rows, axes, out=screened[:, :-1])
    left_out = np.einsum("ij,ij->i", rows, rows) - np.einsum("ij,ij->i", screened[:, :-1], screened[:, :-1])
    screened[:, -1] = np.sqrt(np.maximum(left_out, 0) + np.float32(_SAFETY))
    return screened


def product(rows: np.ndarray, columns: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Inner products of all rows with all columns, shape (b, c) float32, written to ``out``.

    Small products are cut so that OpenBLAS works in the calling thread (up to 4 * 65536 terms): waking its threads
    costs more than the work, and on a busy machine a thousand times more.
    """
    terms = len(columns) * rows.shape[1]
    if len(rows) * terms > _SMALL_TERMS:
        return np.matmul(rows, columns.T, out=out)
    step = max(1, _ONE_THREAD_TERMS // max(terms, 1))
    for start in range(0, len(rows), step):
        np.matmul(rows[start : start + step], columns.T, out=out[start : start + step])
    return out


def gather(matrix: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Take rows (ascending) of a matrix, as a view when they have no gaps."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1:
        return matrix[rows[0] : rows[-1] + 1]
    return matrix[rows]
