"""An approximate Hamming search for tens of millions of rows, with its recall measured, never assumed.

Inverted lists (faiss IndexBinaryIVF): rows are grouped round trained codes and a query looks into the nearest
groups only. How many groups is not a setting but a result: the fewest that hold the asked recall on a sample of
the rows themselves. Where hashes form no groups the sample says so, and the share of rows compared approaches 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from espalier.errors import EspalierError
from espalier.explore.joined import Joined
from espalier.rng import generator

_POINTS = 64  # training rows a list


@dataclass(frozen=True)
class IndexReport:
    """What the approximate index was measured to do.

    Attributes
    ----------
    recall : float
        Share of the exact k nearest (a row at the k-th distance counts) that it finds, the query itself left out.
    target : float
        What was asked.
    k, n_sample : int
        Neighbours and queries of that measurement; the queries are rows drawn from the data.
    n_lists, n_probes : int
        Groups, and how many of them a query looks into.
    scanned : float
        Mean share of the rows that a query is compared with; near 1 the exact search is as good.
    """

    recall: float
    target: float
    k: int
    n_sample: int
    n_lists: int
    n_probes: int
    scanned: float


class ApproximateHamming:
    """An index over the rows of several datasets, numbered through in their order.

    Parameters
    ----------
    data : Joined
        Of hashes; the index holds a copy. Its exact search is the measure of recall.
    target : float
        Recall to hold, in (0, 1].
    k, n_sample, n_lists, seed
        See ``Explorer.build_index``.
    """

    def __init__(
        self,
        data: Joined,
        *,
        target: float,
        k: int,
        n_sample: int,
        n_lists: int | None,
        seed: int,
    ) -> None:
        if not 0 < target <= 1:
            raise EspalierError(f"The target recall is {target}.", "Give a number above 0 and up to 1.")
        n = len(data)
        if not n:
            raise EspalierError("There are no hashes to index.", "Compute embeddings first.")
        n_lists = int(np.clip(2 ** round(np.log2(n) / 2) if n_lists is None else n_lists, 1, n))
        train = generator(seed, "explore", "train").choice(n, min(n, n_lists * _POINTS), replace=False)
        self._data = data
        self._index = _train(data.take(np.sort(train)), n_lists, seed)
        for metric in data.metrics:
            self._index.add(metric.data)
        k = min(k, max(n - 1, 1))
        rows = np.sort(generator(seed, "explore", "recall").choice(n, min(n, n_sample), replace=False))
        self.report = self._tune(data.take(rows), rows, k, n_lists, target)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Find about the k nearest rows; a query whose groups hold fewer than k is answered exactly.

        Returns
        -------
        rows : ndarray of shape (n_queries, k), int64
        distances : ndarray of shape (n_queries, k), float32
        """
        rows, distances = self._probe(queries, k, self.report.n_probes)
        short = np.flatnonzero((rows < 0).any(axis=1))
        if len(short):
            rows[short], distances[short] = self._exact(queries[short], k)
        order = np.lexsort((rows, distances), axis=1)
        return np.take_along_axis(rows, order, 1), np.take_along_axis(distances, order, 1)

    def _exact(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        return self._data.nearest(queries, k, self._data.allow(None))

    def _probe(self, queries: np.ndarray, k: int, n_probes: int) -> tuple[np.ndarray, np.ndarray]:
        self._index.nprobe = n_probes
        distances, rows = self._index.search(queries, k)
        return rows, distances.astype(np.float32)

    def _tune(self, queries: np.ndarray, own: np.ndarray, k: int, n_lists: int, target: float) -> IndexReport:
        limit = _without_self(*self._exact(queries, min(k + 1, self._index.ntotal)), own, k)

        def recall(n_probes: int) -> float:
            rows, distances = self._probe(queries, min(k + 1, self._index.ntotal), n_probes)
            found = (distances <= limit[:, None]) & (rows >= 0) & (rows != own[:, None])
            return float(np.minimum(found.sum(axis=1) / k, 1.0).mean())

        low, high = 0, 1  # recall(low) < target: bisect after doubling
        while high < n_lists and recall(high) < target:
            low, high = high, min(2 * high, n_lists)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if recall(middle) >= target else (middle, high)
        sizes = np.array([self._index.invlists.list_size(i) for i in range(n_lists)])
        _, probed = self._index.quantizer.search(queries, high)
        scanned = float(sizes[probed].sum(axis=1).mean() / max(self._index.ntotal, 1))
        return IndexReport(recall(high), target, k, len(queries), n_lists, high, scanned)


def _train(rows: np.ndarray, n_lists: int, seed: int) -> Any:
    import faiss

    bits = 8 * rows.shape[1]
    quantizer = faiss.IndexBinaryFlat(bits)
    index = faiss.IndexBinaryIVF(quantizer, bits, n_lists)
    index.cp.niter, index.cp.seed = 8, seed % 2**31
    index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, _POINTS
    index.train(rows)
    return index


def _without_self(rows: np.ndarray, distances: np.ndarray, own: np.ndarray, k: int) -> np.ndarray:
    """Return the distance of the k-th neighbour other than the row itself: (n_queries,) float32."""
    distances = np.where(rows == own[:, None], np.inf, distances)
    return np.sort(distances, axis=1)[:, min(k, distances.shape[1]) - 1]
