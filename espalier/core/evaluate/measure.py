"""Everything that is measured of one subset, gathered in one record.

A short frame round ``cover.py``, ``balance.py``, ``knn.py`` and ``logistic.py``; reads no tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from espalier.core.evaluate.balance import classes_lost, divergence
from espalier.core.evaluate.codes import Codes, pairs, take
from espalier.core.evaluate.cover import as_mask, coverage, redundancy
from espalier.core.evaluate.judge import Quality
from espalier.core.evaluate.knn import knn_accuracy
from espalier.core.evaluate.logistic import logistic_probe


def measure(
    vectors: np.ndarray,
    kept: np.ndarray,
    *,
    labels: Codes | None = None,
    clusters: np.ndarray | None = None,
    test: np.ndarray | None = None,
    k: int = 10,
    l2: float = 0.1,
    max_rows: int | None = None,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Quality:
    """Measure a subset.

    Parameters
    ----------
    vectors : ndarray of shape (n, dim), float32
        Unit rows, the full set.
    kept : ndarray of shape (n,), bool, or of shape (n_kept,), int
    labels : ndarray of shape (n,), int, or compressed rows, optional
        Label codes, negative for none.
    clusters : ndarray of shape (n,), int32, optional
        Cluster assignment.
    test : ndarray of shape (n,), bool, optional
        Samples to test the probes on (the test or val subset, or ``holdout``); they are never trained on,
        kept or not. Without it, without labels, or with no labelled sample on either side, the accuracies
        are None.
    k, l2
        Of the probes.
    max_rows : int, optional
        Measure the radii and the redundancy on so many samples at most; on all by default.
    seed : int, default 0
        Of that draw.
    progress : callable, optional
        Called with the number of samples just measured, dropped and kept.
    """
    mask = as_mask(kept, len(vectors))
    cover = coverage(vectors, mask, max_rows=max_rows, seed=seed, progress=progress)
    again = redundancy(vectors, mask, max_rows=max_rows, seed=seed, progress=progress)
    knn, probe, n_train, n_test = _probes(vectors, mask, labels, test, k, l2)
    return Quality(
        n=len(vectors),
        n_kept=int(mask.sum()),
        radius_max=cover.radius_max,
        radius_mean=cover.radius_mean,
        n_dropped=cover.n_dropped,
        n_measured=cover.n_measured,
        redundancy=None if math.isnan(again) else again,
        label_divergence=None if labels is None else divergence(labels, take(labels, mask)),
        cluster_divergence=None if clusters is None else divergence(clusters, clusters[mask]),
        classes_lost=() if labels is None else tuple(classes_lost(labels, take(labels, mask)).tolist()),
        knn_accuracy=knn,
        probe_accuracy=probe,
        n_train=n_train,
        n_test=n_test,
    )


def _probes(
    vectors: np.ndarray,
    kept: np.ndarray,
    labels: Codes | None,
    test: np.ndarray | None,
    k: int,
    l2: float,
) -> tuple[float | None, float | None, int, int]:
    if labels is None or test is None:
        return None, None, 0, 0
    held = as_mask(test, len(vectors))
    labelled = np.zeros(len(vectors), bool)
    labelled[pairs(labels)[0]] = True
    train, asked = np.flatnonzero(kept & ~held & labelled), np.flatnonzero(held & labelled)
    if not len(train) or not len(asked):
        return None, None, len(train), len(asked)
    x, y, test_x, test_y = vectors[train], take(labels, train), vectors[asked], take(labels, asked)
    probe = logistic_probe(x, y, test_x, test_y, l2=l2)
    return knn_accuracy(x, y, test_x, test_y, k), probe.accuracy, len(train), len(asked)
