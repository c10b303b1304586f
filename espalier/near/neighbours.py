"""Pairs of features above a threshold, block by block: exact by BLAS, or by a faiss index whose recall is measured.

The search walks the rows in their order and hands out, for each block of rows, all pairs with earlier rows. So the
caller can decide block by block and forget the pairs, and memory stays bounded however many pairs there are.
Not here: the feature, and what the pairs decide (``espalier.near.groups``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from espalier.near.features import mirror_features
from espalier.pairs import Pairs

EXACT_LIMIT = 60_000  # rows up to which the exact search is used: about 15 s on two cores
ROWS, COLUMNS = 1024, 4096  # a tile of 16 MiB
MOST_PAIRS = 4_000_000  # pairs held at once (80 MB), unless a single row has more
RECALL_SAMPLE = 256
PROBE_SHARE = 0.02  # of the index's cells are visited for each row
TRAIN_PER_CELL = 40


@dataclass(frozen=True)
class Block:
    """All pairs whose later row is one of ``start .. stop - 1``.

    Attributes
    ----------
    start, stop : int
    pairs : Pairs
        Not sorted; ``i < j`` and ``start <= j < stop``.
    """

    start: int
    stop: int
    pairs: Pairs


@dataclass
class SearchReport:
    """What a search did; filled while its blocks are consumed.

    Attributes
    ----------
    method : str
        ``exact`` or ``index``.
    comparisons : int
        Inner products computed between rows (mirrored ones count too).
    recall : float
        Share of the true pairs that were found, measured on a sample of rows against brute force; 1 when exact,
        NaN when the sample has no pair.
    recall_pairs : int
        The number of true pairs in that sample; 0 when exact.
    """

    method: str = "exact"
    comparisons: int = 0
    recall: float = 1.0
    recall_pairs: int = 0


def pair_blocks(
    features: np.ndarray,
    floor: float,
    *,
    first: int = 0,
    flips: bool = False,
    method: str = "auto",
    rng: np.random.Generator,
    report: SearchReport | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Block]:
    """Find all pairs of rows whose inner product is above ``floor``, by blocks of the later row.

    Parameters
    ----------
    features : ndarray of shape (n, d), float32
        From ``gradient_features``; the products of such rows are exact, so the result has no noise.
    floor : float
        Pairs above it are given.
    first : int, default 0
        Rows before ``first`` are known: they are compared with later rows, not with one another.
    flips : bool, default False
        Take the greater of the similarities to the row and to its mirror image.
    method : {"auto", "exact", "index"}
        ``auto`` is exact up to ``EXACT_LIMIT`` rows, or when the work is no more than that of so many rows.
    rng : numpy.random.Generator
        Used by the index only (training rows, recall sample).
    report : SearchReport, optional
        Filled with what was done.
    progress : callable, optional
        Called with the number of rows just finished.

    Yields
    ------
    Block
        In ascending order, covering rows ``first`` to ``n``.

    Raises
    ------
    ValueError
        For an unknown method.
    """
    if method not in ("auto", "exact", "index"):
        raise ValueError(f"unknown method {method!r}: auto, exact, index")
    report = SearchReport() if report is None else report
    n = len(features)
    if method == "auto":
        method = "exact" if (n - first) * (n + first) <= EXACT_LIMIT**2 else "index"
    report.method = method
    blocks = _exact_blocks if method == "exact" else _index_blocks
    for block in blocks(features, floor, first, flips, rng, report):
        yield block
        if progress is not None:
            progress(block.stop - block.start)


def _exact_blocks(
    features: np.ndarray,
    floor: float,
    first: int,
    flips: bool,
    rng: np.random.Generator,  # noqa: ARG001 (same signature as the index)
    report: SearchReport,
) -> Iterator[Block]:
    n, start, size = len(features), first, ROWS
    while start < n:
        stop = min(start + size, n)
        pairs = _pairs_of(features, start, stop, floor, flips, report)
        if pairs is None:  # too many at once: fewer rows a block
            size = (stop - start) // 2
            continue
        yield Block(start, stop, pairs)
        start = stop
        if size < ROWS and len(pairs) < MOST_PAIRS // 4:
            size *= 2


def _pairs_of(
    features: np.ndarray, start: int, stop: int, floor: float, flips: bool, report: SearchReport
) -> Pairs | None:
    """Pairs of rows ``start .. stop - 1`` with earlier rows; None when they are too many for one block."""
    queries = features[start:stop]
    mirrored = mirror_features(queries) if flips else None
    parts: list[Pairs] = []
    held = 0
    for left in range(0, stop, COLUMNS):
        columns = features[left : min(left + COLUMNS, stop)]
        tile = queries @ columns.T
        if mirrored is not None:
            np.maximum(tile, mirrored @ columns.T, out=tile)
        report.comparisons += tile.size * (2 if flips else 1)
        if tile.max() > floor:
            j, i = np.divmod(np.flatnonzero(tile > floor), tile.shape[1])
            parts.append(_ordered(i + left, j + start, tile[j, i]))
            held += len(parts[-1])
            if held > MOST_PAIRS and stop - start > 1:
                return None
    return Pairs.concatenate(parts)


def _ordered(i: np.ndarray, j: np.ndarray, similarity: np.ndarray) -> Pairs:
    """Keep the pairs with ``i < j``; similarities of 1 + rounding become 1."""
    earlier = i < j
    return Pairs(i[earlier], j[earlier], np.minimum(similarity[earlier], np.float32(1)))


def _index_blocks(
    features: np.ndarray,
    floor: float,
    first: int,
    flips: bool,
    rng: np.random.Generator,
    report: SearchReport,
) -> Iterator[Block]:
    index = _build_index(features, rng)
    sample = np.sort(rng.choice(np.arange(first, len(features)), min(RECALL_SAMPLE, len(features) - first), False))
    found_in_sample = true_in_sample = 0
    for start in range(first, len(features), ROWS):
        stop = min(start + ROWS, len(features))
        pairs = _search(index, features[start:stop], floor, start)
        if flips:
            mirrored = _search(index, mirror_features(features[start:stop]), floor, start)
            pairs = _greater(Pairs.concatenate([pairs, mirrored]))
        probed = sample[(sample >= start) & (sample < stop)]
        if probed.size:
            found_in_sample += int(np.isin(pairs.j, probed).sum())
            true_in_sample += _count_earlier(features, probed, floor, flips)
        yield Block(start, stop, pairs)
    report.comparisons += _compared(index)
    report.recall_pairs = true_in_sample
    report.recall = found_in_sample / true_in_sample if true_in_sample else float("nan")


def _build_index(features: np.ndarray, rng: np.random.Generator) -> Any:
    """Build an inverted-file index by inner product: about sqrt(n) * 2 cells, trained on a seeded sample."""
    import faiss

    n, dim = features.shape
    cells = max(1, int(2 * np.sqrt(n)))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, cells, faiss.METRIC_INNER_PRODUCT)
    index.nprobe = max(1, round(cells * PROBE_SHARE))
    index.cp.seed = int(rng.integers(1, 2**31))
    index.cp.spherical = True
    index.cp.niter = 8
    train = np.sort(rng.choice(n, min(n, cells * TRAIN_PER_CELL), replace=False))
    index.cp.max_points_per_centroid = TRAIN_PER_CELL
    index.cp.min_points_per_centroid = 1
    index.train(features[train])
    for start in range(0, n, 65_536):
        index.add(features[start : start + 65_536])
    _index_counters().reset()
    return index


def _search(index: Any, queries: np.ndarray, floor: float, start: int) -> Pairs:
    limits, similarity, found = index.range_search(np.ascontiguousarray(queries), floor)
    j = np.repeat(np.arange(start, start + len(queries)), np.diff(limits.astype(np.int64)))
    return _ordered(found.astype(np.int64), j, similarity)


def _greater(pairs: Pairs) -> Pairs:
    """Pairs listed twice become one, with the greater similarity."""
    ordered = pairs.take(np.lexsort((-pairs.similarity, pairs.i, pairs.j)))
    new = (np.diff(ordered.i, prepend=-1) != 0) | (np.diff(ordered.j, prepend=-1) != 0)
    return ordered.take(new)


def _count_earlier(features: np.ndarray, rows: np.ndarray, floor: float, flips: bool) -> int:
    """Brute force: how many pairs (i, row) with i < row are above the floor."""
    count = 0
    queries = features[rows]
    mirrored = mirror_features(queries) if flips else None
    for left in range(0, int(rows[-1]), COLUMNS):
        columns = features[left : left + COLUMNS]
        tile = queries @ columns.T
        if mirrored is not None:
            np.maximum(tile, mirrored @ columns.T, out=tile)
        earlier = np.arange(left, left + len(columns))[None] < rows[:, None]
        count += int(((tile > floor) & earlier).sum())
    return count


def _compared(index: Any) -> int:
    """Inner products with stored rows since the index was built, as faiss counted them."""
    return int(_index_counters().ndis) if index.ntotal else 0


def _index_counters() -> Any:
    import faiss

    counters: Any = faiss.cvar
    return counters.indexIVF_stats
