"""What goes into an explorer and what comes out: datasets as arrays, results as arrays. Nothing is searched here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Part:
    """One dataset: its name, its samples' ids and what can be searched; rows in order of id."""

    name: str
    ids: Sequence[str] | None = None
    hashes: np.ndarray | None = None
    vectors: np.ndarray | None = None


@dataclass(frozen=True)
class Hits:
    """The results of a fused search, best first.

    Attributes
    ----------
    part : ndarray of shape (m,), int64
        Which dataset, an index into ``names``.
    row : ndarray of shape (m,), int64
        Row within that dataset.
    distance : ndarray of shape (m,), float32
        To the nearest query (the mean over the queries for ``fuse="mean"``): differing bits or 1 - cosine.
    score : ndarray of shape (m,), float32
        What ranked; less is better. The distance itself, unless ``rrf`` or ``without`` made it another number.
    query : ndarray of shape (m,), int64
        The nearest query.
    ids : tuple of str
        Sample ids; empty where the explorer was given none.
    names : tuple of str
        Names of the datasets.
    metric : str
        ``"hamming"`` or ``"cosine"``.
    recall : float or None
        Measured recall of an approximate search; None means exact.
    """

    part: np.ndarray
    row: np.ndarray
    distance: np.ndarray
    score: np.ndarray
    query: np.ndarray
    ids: tuple[str, ...]
    names: tuple[str, ...]
    metric: str
    recall: float | None = None

    def __len__(self) -> int:
        return len(self.row)
