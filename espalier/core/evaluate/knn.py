"""The nearest-neighbour probe: how often the labels of the k nearest training vectors are right.

Exact, blocked over test samples; the neighbours come from ``espalier.core.search.cosine``. Cost is
O(n_train * n_test * dim) in BLAS.
"""

from __future__ import annotations

import numpy as np

from espalier.core.errors import EspalierError
from espalier.core.evaluate.codes import Codes, pairs
from espalier.core.evaluate.logistic import score
from espalier.core.linalg import as_unit_rows
from espalier.core.search.cosine import Cosine

_BLOCK = 1024  # test samples at a time


def knn_accuracy(train_x: np.ndarray, train_y: Codes, test_x: np.ndarray, test_y: Codes, k: int = 10) -> float:
    """Vote among the k nearest training samples of each test sample, by cosine.

    Parameters
    ----------
    train_x, test_x : ndarray of shape (n, dim), float32
        Unit rows (checked).
    train_y, test_y : ndarray of shape (n,), int, or compressed rows
        Label codes; negative means none, and such samples are left out. A neighbour with m labels gives
        each 1 / m of its vote; a test sample is right when the winner is any of its labels.
    k : int, default 10
        Neighbours asked; all of them when there are fewer. Equal votes go to the class whose neighbours
        are nearer (summed similarity), then to the lower code; equal neighbours go by row.

    Returns
    -------
    float
        In [0, 1]; NaN when no test sample has a label.
    """
    if k < 1:
        raise EspalierError(f"k is {k}.", "Ask for at least 1 neighbour.")
    train_x, test_x = as_unit_rows(train_x, "train_x"), as_unit_rows(test_x, "test_x")
    rows, codes = pairs(train_y)
    if not len(rows):
        raise EspalierError("No training sample has a label.", "A probe needs labels.")
    labelled, position = np.unique(rows, return_inverse=True)
    classes, targets = np.unique(codes, return_inverse=True)
    base = train_x if len(labelled) == len(train_x) else train_x[labelled]
    counts = np.bincount(position)
    starts = np.concatenate([[0], np.cumsum(counts)])

    def predict(x: np.ndarray) -> np.ndarray:
        out = np.empty(len(x), np.int64)
        for start in range(0, len(x), _BLOCK):
            block = x[start : start + _BLOCK]
            near, distance = Cosine(base).nearest(block, min(k, len(base)))
            several = counts[near.ravel()]
            flat = np.repeat(starts[near.ravel()] - (np.cumsum(several) - several), several)
            voted = targets[flat + np.arange(several.sum())]
            cell = np.repeat(np.repeat(np.arange(len(block)), near.shape[1]), several) * len(classes) + voted
            size = len(block) * len(classes)
            share = np.repeat(1.0 / several, several)
            votes = np.bincount(cell, share, size).reshape(len(block), -1).round(9)
            close = np.bincount(cell, share * np.repeat(2.0 - distance.ravel(), several), size)
            close = np.where(votes == votes.max(axis=1, keepdims=True), close.reshape(votes.shape), -1.0)
            out[start : start + len(block)] = close.argmax(axis=1)
        return classes[out]

    return score(predict, test_x, test_y)[0]
