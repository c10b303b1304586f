"""Products of rows, in blocks: BLAS proposes, exact arithmetic decides, and a bound spares most of the products.

A matrix product by BLAS is fast, but its last bits depend on the number of threads and on the shape of the block. So
products by BLAS only propose; what is returned or decides a near tie is computed again by ``pair_dots``, row by row in
double precision. Shared by k-means, coverage, the searches and both kinds of duplicates; none of them lives here.

The bound (``Screen``): rows are projected on their first ``m`` principal directions; by Cauchy and Schwarz what the
projection leaves out adds at most the product of the two remainders' norms. With that norm as one more entry, the
inner product of two screened rows *is* the bound: a quarter of the arithmetic rules a pair out, and no pair is ever
lost. Where the vectors do not allow it (the bound would pass too many pairs), the rows themselves are the screen.
"""

from __future__ import annotations

import numpy as np

from espalier.core.errors import EspalierError

BLOCK = 2048  # rows a step: a block of 2048 x 512 doubles is 8 MiB
UNIT_TOLERANCE = 1e-5  # float32 rounds the norm of a divided row by 1e-7; float16, by up to 5e-4, is refused
SAMPLE = 2048
SHARES = (8, 4, 2)  # the projection keeps one of so many dimensions
MOST_PASSED = 0.001  # share of sampled pairs above the floor by the bound alone
LEAST_WORK = 5e9  # multiplications below which screening is not worth its preparation
NOISE = 1e-5  # float32 products of unit rows by BLAS are off by less
FEW = 500  # with fewer candidates than one in so many, pair by pair is faster than the whole tile
_SMALL_TERMS, _ONE_THREAD_TERMS = 8 << 20, 4 << 16
_SAFETY = 1e-6  # squared norms are off by less in float32


def as_unit_rows(vectors: np.ndarray, what: str = "vectors") -> np.ndarray:
    """Return ``vectors`` as C-contiguous float32 after checking that its rows are finite and of unit norm.

    Copied only if need be. The first wrong row is named; ``what`` is what the message calls the matrix.
    """
    rows = np.ascontiguousarray(vectors, dtype=np.float32)
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise EspalierError(f"{what}: expected a matrix of shape (n, d), got shape {np.shape(vectors)}.")
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        wrong = not_unit(block)
        if wrong.size:
            norm = np.sqrt(pair_dots(block, wrong[:1], block, wrong[:1]))[0]
            raise EspalierError(
                f"{what}: row {start + wrong[0]} has norm {norm:.6g}, not 1.",
                "Divide each row by its norm, and leave out rows that are zero or not finite.",
            )
    return rows


def not_unit(rows: np.ndarray) -> np.ndarray:
    """Find the rows, (n, d) float32, that are not finite or whose norm is off by more than UNIT_TOLERANCE: int64."""
    doubtful = np.flatnonzero(~(np.abs(np.einsum("ij,ij->i", rows, rows) - 1.0) <= UNIT_TOLERANCE))
    norms = np.sqrt(pair_dots(rows, doubtful, rows, doubtful))
    return doubtful[~(np.abs(norms - 1.0) <= UNIT_TOLERANCE)]


def pair_dots(
    left: np.ndarray, i: np.ndarray | None, right: np.ndarray, j: np.ndarray, dtype: type[np.floating] = np.float64
) -> np.ndarray:
    """Return the dot products of paired rows, in blocks.

    Row ``i[p]`` of ``left`` with row ``j[p]`` of ``right``; None for ``i`` means all rows in order. In float64 the bits
    are the same whatever the block or the threads. float32 is four times faster and good to 1e-6: for bounds, and for
    rows whose products are exact.
    """
    dots = np.empty(len(j), dtype)
    for start in range(0, len(j), BLOCK):
        part = slice(start, start + BLOCK)
        one, other = left[part if i is None else i[part]], right[j[part]]
        dots[part] = np.einsum("ij,ij->i", one.astype(dtype, copy=False), other.astype(dtype, copy=False))
    return dots


def cosine_distance(cosine: np.ndarray) -> np.ndarray:
    """1 - cosine as float32, never below 0 (rounding would make it -1e-7 for a row on its centroid)."""
    return np.clip(1.0 - cosine, 0.0, 2.0).astype(np.float32)


class Screen:
    """Gives the screened rows of unit ``vectors``: projected on ``axes`` (orthonormal columns), or as they are.

    Projected rows that do not fit in ``memory`` bytes are made again for each tile.
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
    """Choose the smallest projection that still rules enough pairs out: (d, m) float32, or None.

    The principal directions are those of ``sample``; they are tried on the paired rows ``left`` and ``right``, of the
    kind that will be compared. Pairs with a cosine above ``floor`` are wanted.
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
