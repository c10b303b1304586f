"""Several datasets under one metric, searched as if they were one: rows numbered through in the datasets' order.

A search runs in each dataset by itself (``part.py``) and the lists are joined; no array is copied together. Equal
distances end on the dataset, then on the row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from espalier.core.errors import EspalierError
from espalier.core.search.part import Metric, fused_topk

Where = np.ndarray | Sequence[np.ndarray | None] | None
Allowed = list[np.ndarray | None]  # a dataset's rows that may be shown, ascending; None = all


class Joined:
    """Datasets under one metric, all of one width."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self.metrics = list(metrics)
        self.starts = np.cumsum([0, *(len(metric.data) for metric in metrics)])
        widths = {metric.data.shape[1] for metric in metrics}
        if len(widths) > 1:
            raise EspalierError(
                f"The datasets' {self.name} features differ in width: {sorted(widths)}.",
                "Compute their embeddings with the same encoder.",
            )

    @property
    def name(self) -> str:
        """The metric's name."""
        return self.metrics[0].name

    def __len__(self) -> int:
        return int(self.starts[-1])

    def locate(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Take numbers that run through all datasets apart into (dataset, row within it), both int64."""
        part = np.searchsorted(self.starts, rows, side="right") - 1
        return part, rows - self.starts[part]

    def allow(self, where: Where) -> Allowed:
        """Turn a filter (one mask through all rows, or one a dataset) into each dataset's allowed rows."""
        sizes = np.diff(self.starts).tolist()
        if where is None:
            return [None] * len(sizes)
        if isinstance(where, np.ndarray):
            if where.shape != (len(self),):
                raise EspalierError(f"The filter has shape {where.shape}.", f"Give one flag a row: ({len(self)},).")
            where = np.split(where, self.starts[1:-1])
        fits = len(where) == len(sizes) and all(
            mask is None or (mask.shape == (n,) and mask.dtype == bool) for mask, n in zip(where, sizes, strict=True)
        )
        if not fits:
            raise EspalierError("The filters do not fit the datasets.", "Give one mask of bool a dataset, or None.")
        return [None if mask is None or mask.all() else np.flatnonzero(mask) for mask in where]

    def count(self, allowed: Allowed) -> int:
        """Return how many rows may be shown."""
        return sum(
            len(metric.data) if rows is None else len(rows) for metric, rows in zip(self.metrics, allowed, strict=True)
        )

    def nearest(self, queries: np.ndarray, k: int, allowed: Allowed) -> tuple[np.ndarray, np.ndarray]:
        """Find each query's k nearest (k at most ``count``): rows int64, distances float32, (n_queries, k)."""
        rows, distances = [], []
        for metric, start, names in zip(self.metrics, self.starts[:-1], allowed, strict=True):
            most = min(k, len(metric.data) if names is None else len(names))
            if most:
                near, distance = metric.nearest(queries, most, names)
                rows.append(near + start)
                distances.append(distance)
        if len(rows) == 1:
            return rows[0], distances[0]
        all_rows, all_distances = np.concatenate(rows, axis=1), np.concatenate(distances, axis=1)
        order = np.lexsort((all_rows, all_distances), axis=1)[:, :k]
        return np.take_along_axis(all_rows, order, 1), np.take_along_axis(all_distances, order, 1)

    def fused(
        self, queries: np.ndarray, without: np.ndarray, k: int, allowed: Allowed, *, fuse: str, weight: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the k rows of least score over all queries (``part.combine``): rows and scores, (k,)."""
        rows, scores = [], []
        for metric, start, names in zip(self.metrics, self.starts[:-1], allowed, strict=True):
            most = min(k, len(metric.data) if names is None else len(names))
            if most:
                near, score = fused_topk(metric, queries, without, most, fuse=fuse, weight=weight, rows=names)
                rows.append(near + start)
                scores.append(score)
        return least(np.concatenate(rows), np.concatenate(scores), k)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return the data of ``rows``."""
        part, row = self.locate(rows)
        out = np.empty((len(rows), self.metrics[0].data.shape[1]), self.metrics[0].data.dtype)
        for i in np.unique(part):
            out[part == i] = self.metrics[i].data[row[part == i]]
        return out

    def between(self, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the exact distances of every query and each of ``rows``: (n_queries, len(rows)) float32."""
        part, row = self.locate(rows)
        out = np.empty((len(queries), len(rows)), np.float32)
        for i in np.unique(part):
            out[:, part == i] = self.metrics[i].between(queries, row[part == i])
        return out


def least(rows: np.ndarray, costs: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k least by (cost, row), each row once with its least cost."""
    order = np.lexsort((costs, rows))
    rows, costs = rows[order], costs[order]
    first = np.concatenate([[True], rows[1:] != rows[:-1]])[: len(rows)]
    rows, costs = rows[first], costs[first]
    order = np.lexsort((rows, costs))[:k]
    return rows[order], costs[order]
