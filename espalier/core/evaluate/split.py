"""A held-out tenth for the probes, where a dataset has no test or val subset of its own.

Stratified by (first) label and seeded; a class of one stays in training. Nothing here trains or tests.
"""

from __future__ import annotations

import math

import numpy as np

from espalier.core.errors import EspalierError
from espalier.core.evaluate.codes import Codes, first, n_rows
from espalier.core.rng import generator


def holdout(codes: Codes, *, share: float = 0.1, seed: int = 0) -> np.ndarray:
    """Draw the samples to test on.

    Parameters
    ----------
    codes : ndarray of shape (n,), int, or compressed rows
        Label codes, in row order. Samples without a label are never drawn: nothing could be tested on them.
    share : float, default 0.1
        Of the labelled samples, in (0, 1).
    seed : int, default 0

    Returns
    -------
    ndarray of shape (n,), bool
        ``round(share * labelled)`` are True (fewer only if classes of one make up most of the set), each
        class within one sample of its share, and each class keeps at least one sample to train on.
    """
    if not 0 < share < 1:
        raise EspalierError(f"The held-out share is {share}.", "Give a number between 0 and 1.")
    label = first(codes)
    labelled = np.flatnonzero(label >= 0)
    if not len(labelled):
        return np.zeros(n_rows(codes), bool)
    _, place, size = np.unique(label[labelled], return_inverse=True, return_counts=True)
    draw = generator(seed, "holdout")
    # Within a class the order is random; between classes the remainders' ties fall randomly too, so that
    # many small classes do not always lose the same ones.
    order = np.lexsort((draw.random(len(labelled)), place))
    rank = np.empty(len(labelled), np.int64)
    rank[order] = np.arange(len(labelled)) - np.repeat(np.cumsum(size) - size, size)
    quota = _quota(size, round(share * len(labelled)), draw)
    out = np.zeros(n_rows(codes), bool)
    out[labelled[rank < quota[place]]] = True
    return out


def _quota(size: np.ndarray, target: int, draw: np.random.Generator) -> np.ndarray:
    """Share ``target`` out in proportion to ``size`` by largest remainder, never a whole class."""
    exact = size * (target / size.sum())
    quota = np.minimum(np.floor(exact), size - 1).astype(np.int64)
    room = np.flatnonzero((quota < size - 1) & (quota < np.ceil(exact)))
    missing = min(int(target - quota.sum()), len(room))
    order = np.lexsort((draw.random(len(room)), -(exact - quota)[room]))
    quota[room[order[: max(missing, 0)]]] += 1
    if math.fsum(quota) > target:
        raise AssertionError("more held out than asked")
    return quota
