"""An approximate Hamming search for tens of millions of rows, with its recall measured, never assumed.

Inverted lists (faiss IndexBinaryIVF): rows are grouped round trained codes and a query looks into the nearest
groups only. How many groups is not a setting but a result: the fewest that hold the asked recall on a sample of the
rows themselves, with two standard errors to spare. Where hashes form no groups the share of rows compared says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from espalier.core.errors import EspalierError
from espalier.core.rng import generator
from espalier.core.search.joined import Joined

if TYPE_CHECKING:
    import faiss

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
        Neighbours and queries of that measurement; the queries are rows drawn from the data, others than those
        that ``n_probes`` was chosen on (the same only in sets smaller than two samples).
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
    """An index (with a copy of the hashes) over the rows of several datasets, numbered through in their order.

    The exact search of ``data`` is the measure of recall; ``report`` is what :meth:`build` measured.
    """

    def __init__(self, data: Joined, index: faiss.IndexBinaryIVF, report: IndexReport) -> None:
        self._data, self._index, self.report = data, index, report

    @classmethod
    def build(
        cls, data: Joined, *, target: float, k: int, n_sample: int, n_lists: int | None, seed: int
    ) -> ApproximateHamming:
        """Group the rows, and find how many groups a query must look into to hold the recall ``target``, in (0, 1]."""
        if not 0 < target <= 1:
            raise EspalierError(f"The target recall is {target}.", "Give a number above 0 and up to 1.")
        n = len(data)
        if not n:
            raise EspalierError("There are no hashes to index.", "Compute embeddings first.")
        n_lists = int(np.clip(2 ** round(np.log2(n) / 2) if n_lists is None else n_lists, 1, n))
        train = generator(seed, "explore", "train").choice(n, min(n, n_lists * _POINTS), replace=False)
        index = _train(data.take(np.sort(train)), n_lists, seed)
        for metric in data.metrics:
            index.add(metric.data)
        made = cls(data, index, IndexReport(1.0, target, k, 0, n_lists, n_lists, 1.0))
        # Tuned on one sample, measured on another: the best of many settings flatters itself on its own sample.
        drawn = generator(seed, "explore", "recall").permutation(n)[: 2 * n_sample]
        tune, judge = (_Sample(data, rows, k) for rows in (drawn[: (len(drawn) + 1) // 2], drawn[len(drawn) // 2 :]))
        n_probes = made._fewest(tune, n_lists, target)
        made.report = replace(
            made.report,
            recall=float(made._recall(judge, n_probes).mean()),
            n_sample=len(judge.rows),
            n_probes=n_probes,
            scanned=made._scanned(judge, n_probes),
        )
        return made

    @classmethod
    def load(cls, data: Joined, packed: np.ndarray, report: IndexReport) -> ApproximateHamming:
        """Take up what :meth:`dump` gave, over the same data; anything else is refused."""
        import faiss

        try:
            index = faiss.deserialize_index_binary(packed)
        except RuntimeError as error:
            raise EspalierError("The stored index cannot be read.", "Build it again.") from error
        if not isinstance(index, faiss.IndexBinaryIVF):
            raise EspalierError("The stored index has no groups to look into.", "Build it again.")
        if index.ntotal != len(data) or index.d != 8 * data.metrics[0].data.shape[1]:
            raise EspalierError("The stored index is of other data.", "Build it again.")
        return cls(data, index, report)

    def dump(self) -> np.ndarray:
        """Return the index as bytes: (n_bytes,) uint8."""
        import faiss

        return np.asarray(faiss.serialize_index_binary(self._index))

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Find about the k nearest rows, int64, and distances, float32, of each query.

        A query whose groups hold fewer than k is answered exactly.
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

    def _recall(self, sample: _Sample, n_probes: int) -> np.ndarray:
        """Return the recall of each query of a sample: (n_sample,) float64."""
        rows, distances = self._probe(sample.queries, min(sample.k + 1, len(self._data)), n_probes)
        hits = (distances <= sample.limit[:, None]) & (rows >= 0) & (rows != sample.rows[:, None])
        return np.minimum(hits.sum(axis=1) / max(sample.k, 1), 1.0) if sample.k else np.ones(len(rows))

    def _fewest(self, sample: _Sample, n_lists: int, target: float) -> int:
        """Return the fewest groups whose recall, less two standard errors, is the target; all if none is."""

        def holds(n_probes: int) -> bool:
            recall = self._recall(sample, n_probes)
            return bool(recall.mean() - 2 * recall.std() / np.sqrt(len(recall)) >= target)

        low, high = 0, 1  # low falls short: double, then halve the gap
        while high < n_lists and not holds(high):
            low, high = high, min(2 * high, n_lists)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if holds(middle) else (middle, high)
        return high

    def _scanned(self, sample: _Sample, n_probes: int) -> float:
        sizes = np.array([self._index.invlists.list_size(i) for i in range(self._index.nlist)])
        _, probed = self._index.quantizer.search(sample.queries, n_probes)
        return float(sizes[probed].sum(axis=1).mean() / len(self._data))


class _Sample:
    """Rows as queries, and the distance of each one's k-th nearest other row, found exactly."""

    def __init__(self, data: Joined, rows: np.ndarray, k: int) -> None:
        self.rows, self.queries, self.k = rows, data.take(rows), min(k, len(data) - 1)
        near, distances = data.nearest(self.queries, self.k + 1, data.allow(None))
        others = np.where(near == rows[:, None], np.inf, distances)
        self.limit = np.sort(others, axis=1)[:, max(self.k, 1) - 1]


def _train(rows: np.ndarray, n_lists: int, seed: int) -> faiss.IndexBinaryIVF:
    import faiss

    bits = 8 * rows.shape[1]
    quantizer = faiss.IndexBinaryFlat(bits)
    index = faiss.IndexBinaryIVF(quantizer, bits, n_lists)
    index.cp.niter, index.cp.seed = 8, seed % 2**31
    index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, _POINTS
    index.train(rows)
    return index
