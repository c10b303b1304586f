"""The explorer: what is nearest to these queries, over one or several datasets kept in memory.

Here the arguments are checked and a result is put together; ranking stands in ``ranking.py``, searching in
``joined.py`` and below. Encoding a picture or a text into a query is done a floor above.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from espalier.core.errors import EspalierError, UsageError
from espalier.core.linalg import as_unit_rows
from espalier.core.search.approximate import ApproximateHamming, IndexReport
from espalier.core.search.cosine import Cosine
from espalier.core.search.hamming import Hamming, as_hashes
from espalier.core.search.joined import Joined, Where
from espalier.core.search.ranking import FUSE, Ranking, hide_duplicates, near_threshold


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


class Explorer:
    """Nearest samples by Hamming distance of packed hashes or by cosine of unit vectors.

    Parameters
    ----------
    hashes : ndarray of shape (n, bits // 8), uint8, optional
    ids : sequence of str, optional
        Sample ids, in row order.
    vectors : ndarray of shape (n, dim), float32, optional
        Unit rows; kept as they are, not copied.
    parts : sequence of Part, optional
        Several datasets instead of one. All must have hashes of one width, or none; likewise vectors.

    Examples
    --------
    >>> import numpy as np
    >>> hashes = np.array([[0b0000], [0b0001], [0b0111]], np.uint8)
    >>> hits = Explorer(hashes, ["a", "b", "c"]).topk(np.array([[0b0011]], np.uint8), k=2)
    >>> hits.ids, hits.distance.tolist()
    (('b', 'c'), [1.0, 1.0])
    """

    def __init__(
        self,
        hashes: np.ndarray | None = None,
        ids: Sequence[str] | None = None,
        *,
        vectors: np.ndarray | None = None,
        parts: Sequence[Part] | None = None,
    ) -> None:
        if parts is None:
            parts = [Part("", ids, hashes, vectors)]
        elif hashes is not None or ids is not None or vectors is not None:
            raise EspalierError("Explorer was given both parts and arrays.", "Put the arrays into a Part.")
        if not parts:
            raise EspalierError("Explorer was given no dataset.", "Give at least one.")
        for part in parts:
            _check_lengths(part)
        self.names = tuple(part.name for part in parts)
        self._ids = [part.ids for part in parts if part.ids is not None]
        hashed = [part.hashes for part in parts if part.hashes is not None]
        embedded = [part.vectors for part in parts if part.vectors is not None]
        # A metric is there when every dataset has it: half an answer would look like a whole one.
        whole = [Joined([Hamming(x) for x in hashed])] if len(hashed) == len(parts) else []
        if len(embedded) == len(parts):
            whole.append(Joined([Cosine(as_unit_rows(x)) for x in embedded]))
        if not whole:
            raise EspalierError(
                "No kind of feature is there for all datasets.", "Compute their embeddings with the same encoder."
            )
        self._data = {joined.name: joined for joined in whole}
        self._bytes = hashed[0].shape[1] if hashed else 0
        self._index: ApproximateHamming | None = None

    def __len__(self) -> int:
        return len(next(iter(self._data.values())))

    def build_index(
        self,
        recall: float = 0.95,
        *,
        k: int = 50,
        n_sample: int = 200,
        n_lists: int | None = None,
        seed: int = 0,
    ) -> IndexReport:
        """Build the approximate index over the hashes, measure its recall and tell of it.

        Parameters
        ----------
        recall : float, default 0.95
            Recall to hold.
        k : int, default 50
            Neighbours it is measured at.
        n_sample : int, default 200
            Rows drawn as queries to measure it.
        n_lists : int, optional
            Groups; by default the power of two nearest the square root of the number of rows.
        seed : int, default 0
        """
        self._index = ApproximateHamming.build(
            self._kind("hamming"), target=recall, k=k, n_sample=n_sample, n_lists=n_lists, seed=seed
        )
        return self._index.report

    def search(
        self,
        queries: np.ndarray,
        k: int = 50,
        *,
        where: Where = None,
        approximate: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the k nearest rows of each query by itself; arguments as in :meth:`topk`.

        Returns
        -------
        rows : ndarray of shape (n_queries, min(k, rows left)), int64
            Numbered through all datasets in their order (:meth:`locate` takes them apart); nearest first.
        distances : ndarray of the same shape, float32
        """
        data, asked = self._ask(queries)
        index = self._index_for(data, where) if approximate else None
        allowed = data.allow(where)
        most = min(_at_least_one(k), data.count(allowed))
        if not most:
            return np.zeros((len(asked), 0), np.int64), np.zeros((len(asked), 0), np.float32)
        return index.search(asked, most) if index else data.nearest(asked, most, allowed)

    def topk(
        self,
        queries: np.ndarray,
        k: int = 50,
        *,
        without: np.ndarray | None = None,
        fuse: str = "best",
        weight: float = 0.5,
        where: Where = None,
        unique: bool | float = False,
        approximate: bool = False,
    ) -> Hits:
        """Find the k rows nearest to the queries taken together; no row twice.

        Parameters
        ----------
        queries : ndarray of shape (n_queries, bits // 8), uint8, or (n_queries, dim), float32
            Packed bits are compared by Hamming distance, unit vectors by cosine. One query may be 1-D.
        k : int, default 50
            At least 1. There are exactly k results, fewer only if fewer rows are left to rank.
        without : ndarray like ``queries``, optional
            Examples that push away: ``weight`` times the least distance to one of them is taken off the score.
        fuse : {"best", "mean", "rrf"}, default "best"
            Rank by the least distance over the queries, by the mean, or by the sum of 1 / (60 + rank) over the
            queries' own rankings, each followed for the first max(10 k, 1000) rows.
        weight : float, default 0.5
            Of ``without``. With ``rrf`` it weighs the reciprocal ranks of those examples.
        where : ndarray of bool, or one a dataset, optional
            Rows that may be shown; applied before ranking. One array runs through all datasets in their order.
        unique : bool or float, default False
            Show no row within this distance of one that is shown already. True means a cosine of 0.95: a cosine
            distance of 0.05, or as many bits of a SimHash as estimate that angle (51 of 512).
        approximate : bool, default False
            Use the index of :meth:`build_index`; for Hamming, ``best`` or ``rrf``, without ``where``, ``without``
            and ``unique``.

        Raises
        ------
        UsageError
            For k below 1, an unknown ``fuse``, or options that do not go together.
        """
        if fuse not in FUSE:
            raise UsageError(f"{fuse!r} is no way to fuse queries.", f"Use one of {', '.join(FUSE)}.")
        data, asked = self._ask(queries)
        pushed_by, pushed = (data, asked[:0]) if without is None else self._ask(without)
        if pushed_by is not data:
            raise UsageError("Queries and examples that push away are of two kinds.", "Give both as one kind.")
        index = self._index_for(data, where) if approximate else None
        if index and (fuse == "mean" or len(pushed) or unique is not False):
            raise UsageError("An approximate search cannot do that.", "Leave out mean, without and unique.")
        allowed = data.allow(where)
        left = data.count(allowed)
        most = min(_at_least_one(k), left)
        ranking = Ranking(data, asked, pushed, fuse, weight, allowed, index)
        if unique is False:
            rows, scores = ranking.first(most)
        else:
            apart = near_threshold(data.name, 8 * self._bytes) if unique is True else float(unique)
            rows, scores = hide_duplicates(ranking.first, data, most, left, apart)
        distance, query = ranking.distances(rows)
        part, row = data.locate(rows)
        return Hits(
            part=part,
            row=row,
            distance=distance,
            score=scores,
            query=query,
            ids=self._named(part, row),
            names=self.names,
            metric=data.name,
            recall=index.report.recall if index else None,
        )

    def locate(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Take numbers that run through all datasets apart into (dataset, row within it), both int64."""
        return next(iter(self._data.values())).locate(rows)

    def _kind(self, name: str) -> Joined:
        if name not in self._data:
            raise EspalierError(f"There is nothing to search by {name} distance.", "Compute embeddings first.")
        return self._data[name]

    def _ask(self, queries: np.ndarray) -> tuple[Joined, np.ndarray]:
        """Check queries and find what they are compared with: bytes are packed bits, all else vectors."""
        queries = np.atleast_2d(queries)
        packed = queries.dtype == np.uint8
        data = self._kind("hamming" if packed else "cosine")
        wide = self._bytes if packed else data.metrics[0].data.shape[1]
        if not len(queries) or queries.shape[1] != wide:
            raise EspalierError(
                f"The queries have shape {queries.shape}, the data is {wide} wide.", "Use the same encoder for both."
            )
        return data, as_hashes(queries, "queries") if packed else as_unit_rows(queries, "queries")

    def _index_for(self, data: Joined, where: Where) -> ApproximateHamming:
        if self._index is None:
            raise UsageError("There is no approximate index.", "Call build_index first.")
        if data.name != "hamming" or where is not None:
            raise UsageError("The approximate index knows hashes only, and no filter.", "Search exactly.")
        return self._index

    def _named(self, part: np.ndarray, row: np.ndarray) -> tuple[str, ...]:
        if len(self._ids) < len(self.names):
            return ()
        return tuple(self._ids[p][r] for p, r in zip(part.tolist(), row.tolist(), strict=True))


def _at_least_one(k: int) -> int:
    if k < 1:
        raise UsageError(f"top-k is {k}.", "Ask for at least 1 result.")
    return k


def _check_lengths(part: Part) -> None:
    if part.hashes is None and part.vectors is None:
        raise EspalierError(f"Dataset {part.name!r} has neither hashes nor vectors.", "Compute its embeddings first.")
    lengths = sorted({len(x) for x in (part.hashes, part.vectors, part.ids) if x is not None})
    if len(lengths) > 1:
        raise EspalierError(f"Dataset {part.name!r} has arrays of {lengths} rows.", "Give one row a sample.")
