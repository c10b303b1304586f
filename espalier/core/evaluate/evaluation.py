"""What subsets of one dataset are measured on: what is shared is held once, what repeats is remembered.

The measures themselves stand in ``cover.py``, ``codes.py`` and ``probes.py``; who is trained on and who is tested on in
``protocol.py``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from dataclasses import dataclass, field

import numpy as np

from espalier.core.errors import EspalierError
from espalier.core.evaluate.codes import Codes, classes_lost, divergence, pairs, take
from espalier.core.evaluate.cover import at_most, coverage, redundancy
from espalier.core.evaluate.judge import Quality
from espalier.core.evaluate.probes import knn_accuracy, logistic_probe

TEN_NEAREST = 10
TRAIN_ROWS = 10  # times max_rows: most samples that the probes train on


@dataclass(frozen=True)
class Evaluation:
    """Training samples, and test samples beside them.

    Attributes
    ----------
    vectors : ndarray of shape (n, dim), float32
        Unit rows of the samples that a subset may hold.
    labels : ndarray of shape (n,), int, or compressed rows, or None
    clusters : ndarray of shape (n,), int32, or None
    test_vectors : ndarray of shape (n_test, dim), float32, or None
        None: nothing to test on, and the accuracies are None.
    test_labels : ndarray of shape (n_test,), int, or compressed rows, or None
    original : ndarray of shape (n,), int64, or None
        Where ``vectors`` has the files before duplicates were taken out: the row that each is a copy of, its own
        where it is none, -1 where the original is not here. The originals stand for the full set, and one of
        which a copy is kept is not dropped. None means that all are originals.
    max_rows : int or None
        Most samples that the radii and the redundancy are measured on, and a tenth of the most that the probes
        train on; drawn by a fixed seed. None means all.
    """

    vectors: np.ndarray
    labels: Codes | None = None
    clusters: np.ndarray | None = None
    test_vectors: np.ndarray | None = None
    test_labels: Codes | None = None
    original: np.ndarray | None = None
    max_rows: int | None = None
    _known: dict[bytes, Quality] = field(default_factory=dict, repr=False, compare=False)

    def measure(self, kept: np.ndarray) -> Quality:
        """Measure the subset ``kept``, a mask of shape (n,) that is not empty; the same mask is measured once."""
        if not kept.any():
            raise EspalierError("No training sample is kept, so there is nothing to measure.", "Keep more.")
        key = hashlib.blake2b(np.packbits(kept).tobytes(), digest_size=16).digest()
        if key not in self._known:
            self._known[key] = self._measure(kept)
        return dataclasses.replace(self._known[key])

    def _measure(self, kept: np.ndarray) -> Quality:
        n = len(self.vectors)
        full, dropped = np.ones(n, bool), ~kept
        if self.original is not None:
            full = self.original == np.arange(n)
            dropped = full & ~kept
            stands = self.original[kept]
            dropped[stands[stands >= 0]] = False
        counted = dropped | kept
        vectors, mask = (self.vectors, kept) if counted.all() else (self.vectors[counted], kept[counted])
        cover = coverage(vectors, mask, max_rows=self.max_rows)
        again = redundancy(vectors, mask, max_rows=self.max_rows)
        knn, probe, n_train, n_test = self._probes(kept)
        labels, clusters = self.labels, self.clusters
        return Quality(
            n=int(full.sum()),
            n_kept=int(kept.sum()),
            radius_max=cover.radius_max,
            radius_mean=cover.radius_mean,
            n_dropped=cover.n_dropped,
            n_measured=cover.n_measured,
            redundancy=None if math.isnan(again) else again,
            label_divergence=None if labels is None else divergence(take(labels, full), take(labels, kept)),
            cluster_divergence=None if clusters is None else divergence(clusters[full], clusters[kept]),
            classes_lost=() if labels is None else tuple(classes_lost(take(labels, full), take(labels, kept)).tolist()),
            knn_accuracy=knn,
            probe_accuracy=probe,
            n_train=n_train,
            n_test=n_test,
        )

    def _probes(self, kept: np.ndarray) -> tuple[float | None, float | None, int, int]:
        if self.labels is None or self.test_vectors is None or self.test_labels is None:
            return None, None, 0, 0
        rows = np.flatnonzero(kept)
        if self.max_rows is not None:
            rows = at_most(rows, TRAIN_ROWS * self.max_rows, 0, "probe training")
        x, y = self.vectors[rows], take(self.labels, rows)
        n_train = len(np.unique(pairs(y)[0]))
        if not n_train:
            return None, None, 0, 0
        probe = logistic_probe(x, y, self.test_vectors, self.test_labels)
        near = knn_accuracy(x, y, self.test_vectors, self.test_labels, TEN_NEAREST)
        return near, probe.accuracy, n_train, probe.n_test
