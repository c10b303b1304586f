"""What a clustering returns. Plain data: no arithmetic lives here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
