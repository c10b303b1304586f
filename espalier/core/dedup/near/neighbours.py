"""Pairs of features above a threshold, block by block: exact by BLAS, or by an index whose recall is measured.

The search walks the rows in their order and hands out, for each block of rows, all pairs with earlier rows. So the
caller can decide block by block and forget the pairs, and memory stays bounded however many pairs there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from espalier.core.dedup.near.compare import AS_IS, MIRRORED, Comparer
from espalier.core.dedup.near.index import ROWS as INDEX_ROWS
from espalier.core.dedup.near.index import CellIndex
from espalier.core.dedup.pairs import Pairs

EXACT_LIMIT = 100_000  # rows up to which the exact search is used: about 15 s on two cores
ROWS, COLUMNS = 2048, 2048  # a tile of 16 MiB
MOST_PAIRS = 4_000_000  # pairs held at once (80 MB), unless a single row has more
RECALL_SAMPLE = 1024


@dataclass(frozen=True)
class Block:
    """All pairs whose later row is one of ``start .. stop - 1``: ``i < j`` and ``start <= j < stop``, not sorted."""

    start: int
    stop: int
    pairs: Pairs


@dataclass
class SearchReport:
    """What a search did, ``exact`` or by ``index``; filled while its blocks are consumed.

    ``comparisons`` are inner products between rows, mirrored ones too. ``recall`` is the share of the true pairs that
    were found, measured on a sample of rows against brute force; 1 when exact, NaN when the sample has no pair.
    ``recall_pairs`` is the number of true pairs in that sample; 0 when exact.
    """

    method: str = "exact"
    comparisons: int = 0
    recall: float = 1.0
    recall_pairs: int = 0

    def describe(self) -> dict[str, str | int | float | None]:
        """Return how pairs were sought, the recall (None where the sample has no pair) and what it was measured on."""
        recall = None if math.isnan(self.recall) else round(self.recall, 6)
        return {"pair_search": self.method, "pair_recall": recall, "pairs_checked": self.recall_pairs}

    def add(self, other: SearchReport) -> None:
        """Add what another search, of other rows, did."""
        hits = sum(report.recall * report.recall_pairs for report in (self, other) if report.recall_pairs)
        self.recall_pairs += other.recall_pairs
        self.comparisons += other.comparisons
        if "index" in (self.method, other.method):
            self.method = "index"
            self.recall = hits / self.recall_pairs if self.recall_pairs else float("nan")


def pair_blocks(
    features: np.ndarray,
    floor: float,
    *,
    first: int = 0,
    flips: bool = False,
    cosine: bool = False,
    method: str = "auto",
    rng: np.random.Generator,
    report: SearchReport | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Block]:
    """Find all pairs of rows whose inner product is above ``floor``: blocks of later rows, ascending, ``first`` to n.

    The products of rows from ``gradient_features`` are exact, so the result has no noise. Rows before ``first`` are
    known: they are compared with later rows, not with one another. ``flips``: take the greater of the similarities to
    the row and to its mirror image. ``cosine``: see ``Comparer``. ``method`` is exact, index or auto: exact up to
    ``EXACT_LIMIT`` rows, or when the work is no more than that of so many rows. The index draws centres and a recall
    sample with ``rng``; ``report`` is filled with what was done, ``progress`` called with the number of rows just
    finished.
    """
    if method not in ("auto", "exact", "index"):
        raise ValueError(f"unknown method {method!r}: auto, exact, index")
    report = SearchReport() if report is None else report
    n = len(features)
    if method == "auto":
        method = "exact" if (n - first) * (n + first) <= EXACT_LIMIT**2 else "index"
    report.method = method
    ways = (AS_IS, MIRRORED) if flips else (AS_IS,)
    comparer = Comparer(features, floor, (n - first) * (n + first) // 2, cosine=cosine)
    blocks = _exact_blocks if method == "exact" else _index_blocks
    for block in blocks(comparer, first, ways, rng, report):
        yield block
        if progress is not None:
            progress(block.stop - block.start)


def _exact_blocks(
    comparer: Comparer,
    first: int,
    ways: tuple[bool, ...],
    rng: np.random.Generator,  # noqa: ARG001 (same signature as the index)
    report: SearchReport,
) -> Iterator[Block]:
    for block in _blocks(
        lambda start, stop: _pairs_of(comparer, start, stop, ways), first, len(comparer.features), ROWS
    ):
        report.comparisons = comparer.comparisons
        yield block


def _blocks(find: Callable[[int, int], Pairs | None], first: int, n: int, rows: int) -> Iterator[Block]:
    """Walk the rows in blocks, in smaller ones where ``find`` gives up because there are too many pairs."""
    start, size = first, rows
    while start < n:
        stop = min(start + size, n)
        pairs = find(start, stop)
        if pairs is None:
            size = (stop - start) // 2
            continue
        yield Block(start, stop, pairs)
        start = stop
        if size < rows and len(pairs) < MOST_PAIRS // 4:
            size *= 2


def _pairs_of(comparer: Comparer, start: int, stop: int, ways: tuple[bool, ...]) -> Pairs | None:
    """Pairs of rows ``start .. stop - 1`` with earlier rows; None when they are too many for one block."""
    later = comparer.prepare(np.arange(start, stop), ways)
    parts: list[Pairs] = []
    held = 0
    for left in range(0, stop, COLUMNS):
        parts.append(comparer.between(later, np.arange(left, min(left + COLUMNS, stop))))
        held += len(parts[-1])
        if held > MOST_PAIRS and stop - start > 1:
            return None
    return Pairs.concatenate(parts)


def _index_blocks(
    comparer: Comparer,
    first: int,
    ways: tuple[bool, ...],
    rng: np.random.Generator,
    report: SearchReport,
) -> Iterator[Block]:
    n = len(comparer.features)
    sample = np.sort(rng.choice(np.arange(first, n), min(RECALL_SAMPLE, n - first), replace=False))
    index = CellIndex(comparer, ways, rng=rng)
    hits = true = 0
    for block in _blocks(lambda start, stop: index.pairs_of(start, stop, MOST_PAIRS), first, n, INDEX_ROWS):
        report.comparisons = index.comparisons + comparer.comparisons
        probed = sample[(sample >= block.start) & (sample < block.stop)]
        if probed.size:
            hits += int(np.isin(block.pairs.j, probed).sum())
            true += _count_earlier(comparer, probed, ways)
        report.recall_pairs = true
        report.recall = hits / true if true else float("nan")
        yield block


def _count_earlier(comparer: Comparer, rows: np.ndarray, ways: tuple[bool, ...]) -> int:
    """Brute force: how many pairs (i, row) with i < row are above the floor."""
    before = comparer.comparisons
    later = comparer.prepare(rows, ways)
    last = int(rows[-1])
    parts = [comparer.between(later, np.arange(left, min(left + COLUMNS, last))) for left in range(0, last, COLUMNS)]
    comparer.comparisons = before  # not part of the search
    return sum(len(part) for part in parts)
