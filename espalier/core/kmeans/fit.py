"""Spherical k-means: the public entry, which joins start, rounds and the final exact assignment; the rule for k.

Not here: the rounds (lloyd.py), the starts (starts.py), the search (search.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from espalier.core.errors import EspalierError
from espalier.core.kmeans.lloyd import Lloyd, fill_empty
from espalier.core.kmeans.search import NEAR_TIE, nearest
from espalier.core.kmeans.starts import batched_start, drawn_start, sample_rows
from espalier.core.linalg import as_unit_rows, cosine_distance, pair_dots

REFILLS = 10  # filling one cluster can empty another; what is empty after so many is left out
HUGE = 1000  # more clusters than this are started by batched_start
MOST_AUTO = 500


@dataclass(frozen=True)
class KMeansResult:
    """Spherical k-means: every row belongs to its nearest centroid, every centroid has a row.

    Attributes
    ----------
    centroids : ndarray of shape (k, d), float32
        Unit rows. ``k`` is at most the number asked for; see ``k_asked``.
    assignment : ndarray of shape (n,), int32
        The nearest centroid of each row; the lower index where two are equally near.
    distance : ndarray of shape (n,), float32
        Cosine distance (1 - cosine, 0 to 2) of each row to its own centroid.
    n_iter : int
        Rounds of "move the centroids, assign again" over the training rows.
    converged : bool
        True when the last round changed nothing or gained less than ``tol``; False when ``max_iter`` ended
        it.
    mean_cosine : float
        Mean over all rows of the cosine to the own centroid.
    n_repaired : int
        How many times an empty cluster was given a row of its own.
    n_trained : int
        Rows that moved the centroids: all of them, unless ``train_rows`` was given.
    k_asked : int
        The number of clusters asked for. More than ``k`` when there are fewer rows, or fewer distinct rows.
    """

    centroids: np.ndarray
    assignment: np.ndarray
    distance: np.ndarray
    n_iter: int
    converged: bool
    mean_cosine: float
    n_repaired: int
    n_trained: int
    k_asked: int

    @property
    def k(self) -> int:
        """Number of clusters, all with at least one row."""
        return len(self.centroids)


def auto_k(n: int, n_labels: int = 0) -> int:
    """Choose the number of clusters.

    The number of labels when there are at least two (as ``datum prune`` does); otherwise the square root of
    n / 2, at most 500 (the number that DBP's paper, arXiv 2401.04578, settled on for LAION). Never more than
    ``n``, never less than 1.

    Parameters
    ----------
    n : int
        Rows to be clustered.
    n_labels : int, default 0
        Distinct labels in use; 0 or 1 says nothing about groups, so the rule for unlabelled data holds.
    """
    wanted = n_labels if n_labels >= 2 else min(MOST_AUTO, round(math.sqrt(n / 2)))
    return max(1, min(wanted, n))


def fit_kmeans(
    vectors: np.ndarray,
    k: int,
    *,
    rng: np.random.Generator,
    init: str | np.ndarray = "kmeans++",
    max_iter: int = 25,
    tol: float = 1e-5,
    train_rows: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> KMeansResult:
    """Cluster unit rows by spherical k-means.

    Every row is trained on unless ``train_rows`` says otherwise; starts are drawn from a sample of the rows.
    The same rows and ``rng`` give the same bits for any number of threads. With a given ``init`` the
    centroids do not depend on the order of the rows either.

    Parameters
    ----------
    vectors : ndarray of shape (n, d), float32
        Unit rows (checked).
    k : int
        Clusters asked for, at least 1. Reduced to the number of rows, and of distinct rows, when there are
        fewer: the result says both (``k``, ``k_asked``).
    rng : numpy.random.Generator
        Source of all draws.
    init : {'kmeans++', 'random'} or ndarray of shape (k, d), default 'kmeans++'
        How to start. An array of unit rows is a warm start.
    max_iter : int, default 25
        Most rounds over the training rows; 0 with an array only assigns.
    tol : float, default 1e-5
        Stop when a round gained less mean cosine than this.
    train_rows : int or None, default None
        Let only so many rows, drawn at random, move the centroids. All rows are assigned.
    progress : callable or None
        Called with 1 after each round.

    Raises
    ------
    EspalierError
        For no rows, k < 1, an unknown ``init``, one of the wrong shape, or rows that are not of unit norm.
    """
    rows = as_unit_rows(vectors)
    _check(rows, k, init, max_iter, train_rows)
    trained = sample_rows(rows, train_rows, rng)
    state = _start(trained, min(k, len(trained)), init, rng)
    n_iter, converged = state.run(max_iter, tol, progress)
    centroids, assignment, n_repaired = _finish(rows, state)
    cosine = pair_dots(rows, None, centroids, assignment)
    return KMeansResult(
        centroids=centroids,
        assignment=assignment,
        distance=cosine_distance(cosine),
        n_iter=n_iter,
        converged=converged,
        mean_cosine=float(cosine.mean()),
        n_repaired=state.n_repaired + n_repaired,
        n_trained=len(trained),
        k_asked=k,
    )


def _check(rows: np.ndarray, k: int, init: str | np.ndarray, max_iter: int, train_rows: int | None) -> None:
    if not len(rows):
        raise EspalierError("There are no rows to cluster.")
    if k < 1 or max_iter < 0 or (train_rows is not None and train_rows < 1):
        raise EspalierError(
            f"k = {k}, max_iter = {max_iter}, train_rows = {train_rows}: not a clustering.",
            "k and train_rows must be at least 1, max_iter at least 0.",
        )
    if isinstance(init, str):
        if init not in ("kmeans++", "random"):
            raise EspalierError(f"Unknown start {init!r}.", "Use 'kmeans++', 'random' or an array of centroids.")
    elif np.shape(init) != (k, rows.shape[1]):
        raise EspalierError(f"The starting centroids have shape {np.shape(init)}, expected {(k, rows.shape[1])}.")


def _start(rows: np.ndarray, k: int, init: str | np.ndarray, rng: np.random.Generator) -> Lloyd:
    """Place the starting centroids and assign the rows to them."""
    if not isinstance(init, str):
        return Lloyd(rows, as_unit_rows(init, "init").copy())
    if init == "random":
        return Lloyd(rows, sample_rows(rows, k, rng).copy())
    if k > HUGE:
        return batched_start(rows, k, rng)
    return Lloyd(rows, drawn_start(rows, k, rng))


def _finish(rows: np.ndarray, state: Lloyd) -> tuple[np.ndarray, np.ndarray, int]:
    """Assign all rows to the final centroids; fill what is empty, and leave out what cannot be filled."""
    centroids = state.centroids
    assignment = state.assignment if rows is state.vectors else nearest(rows, centroids).index
    n_repaired = 0
    for _ in range(REFILLS):
        size = np.bincount(assignment, minlength=len(centroids))
        lonely, empty = fill_empty(rows, centroids, assignment, size)
        if not len(lonely):
            break
        n_repaired += len(lonely)
        centroids = centroids.copy()
        centroids[empty] = rows[lonely]
        own = pair_dots(rows, None, centroids, assignment, np.float32)
        nearer = np.flatnonzero(nearest(rows, centroids[empty]).cosine > own - 2 * NEAR_TIE)
        assignment[nearer] = nearest(rows, centroids, nearer).index
    used = np.flatnonzero(np.bincount(assignment, minlength=len(centroids)))
    renumbered = np.searchsorted(used, assignment).astype(np.int32)
    return centroids[used], renumbered, n_repaired
