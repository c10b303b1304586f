"""Which candidates are copies: coarse alignment, fine alignment for what is open, then the score. In threads.

Not here: where candidates come from (``copies.propose``), thresholds (``copies.find``).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from espalier.core.dedup.copies.align import BATCH, align
from espalier.core.dedup.copies.candidates import Candidates
from espalier.core.dedup.copies.maps import even, locally_even
from espalier.core.dedup.copies.score import score


def _shapes(*scales: tuple[float, float]) -> np.ndarray:
    """Factors for the numbers of a map that enlarge across and down."""
    return np.array([[[x, x, 1], [y, y, 1]] for x, y in scales])


_SCALES = (0.75, 1, 1.33)
COARSE_ROUNDS, FINE_ROUNDS, MORE_ROUNDS = 4, 4, 4
OPEN = 1.25  # coarse correlation plus the descriptors' similarity; of true copies on trial 1 in 100 was below
WORTH_MORE = 0.5  # fine correlation after the first rounds
ENOUGH = 0.65  # similarity that needs no second attempt
PROMISING = 0.5  # descriptors' similarity from which other starts are tried
BETTER = 0.02  # gain in coarse correlation from which another start counts as another alignment
SHAPES = _shapes((0.75, 1), (1, 0.75), (1.33, 1), (1, 1.33))
DOUBTFUL = 0.45  # similarity from which an alignment may have stuck: the map found is tried larger, smaller, squeezed
DOUBTFUL_SHAPES = _shapes(*((x, y) for x in _SCALES for y in _SCALES if (x, y) != (1, 1)))
_CHUNK = 1024

Columns = tuple[np.ndarray, np.ndarray, np.ndarray]  # maps, similarity, overlap


@dataclass(frozen=True)
class Verified:
    """Candidates with what alignment found; columns of shape (m,).

    Attributes
    ----------
    pairs : Candidates
        Their ``start`` is the map found.
    similarity, overlap : ndarray, float32
        See ``copies.score``; -1 and 0 where alignment was given up.
    """

    pairs: Candidates
    similarity: np.ndarray
    overlap: np.ndarray

    def take(self, where: np.ndarray) -> Verified:
        """Select pairs."""
        return Verified(self.pairs.take(where), self.similarity[where], self.overlap[where])


def joined(one: Verified, other: Verified) -> Verified:
    """All pairs of both in the order of (i, j, mirrored); of a pair that is there twice one way the most similar."""
    a, b = one.pairs, other.pairs
    names = ("i", "j", "mirrored", "similarity", "start")
    pairs = Candidates(*(np.concatenate([getattr(a, name), getattr(b, name)]) for name in names))
    similarity = np.concatenate([one.similarity, other.similarity])
    both = Verified(pairs, similarity, np.concatenate([one.overlap, other.overlap]))
    order = np.lexsort((-similarity, pairs.mirrored, pairs.j, pairs.i))
    i, j, mirrored = pairs.i[order], pairs.j[order], pairs.mirrored[order]
    new = (np.diff(i, prepend=-1) != 0) | (np.diff(j, prepend=-1) != 0)
    new[1:] |= mirrored[1:] != mirrored[:-1]
    return both.take(order[new])


def verify(
    thumbs: np.ndarray,
    candidates: Candidates,
    *,
    threads: int,
    aligned: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Verified:
    """Align and score candidates.

    Parameters
    ----------
    thumbs : ndarray of shape (n, s, s), uint8
        32 or 64 pixels a side.
    candidates : Candidates
    threads : int
    aligned : bool, default False
        The starts are good: no coarse alignment.
    progress : callable, optional
        Called with numbers of candidates done.
    """
    m = len(candidates)
    maps = candidates.start.copy()
    similarity, overlap = np.full(m, -1, np.float32), np.zeros(m, np.float32)

    def work(start: int) -> int:
        part = slice(start, min(start + _CHUNK, m))
        maps[part], similarity[part], overlap[part] = _verify(thumbs, candidates.take(part), aligned)
        return part.stop - start

    with ThreadPoolExecutor(max(1, threads), thread_name_prefix="verify") as pool:
        for done in pool.map(work, range(0, m, _CHUNK)):
            if progress is not None:
                progress(done)
    pairs = Candidates(candidates.i, candidates.j, candidates.mirrored, candidates.similarity, maps)
    return Verified(pairs, similarity, overlap)


def _verify(thumbs: np.ndarray, pairs: Candidates, aligned: bool) -> Columns:
    m = len(pairs)
    maps, coarse = pairs.start.copy(), np.full(m, np.inf, np.float32)
    similarity, overlap = np.full(m, -1, np.float32), np.zeros(m, np.float32)
    if not aligned:
        maps, coarse = _coarse(thumbs, pairs, np.arange(m), maps)
    rows = np.flatnonzero(coarse + pairs.similarity > OPEN)
    maps[rows], similarity[rows], overlap[rows] = _fine(thumbs, pairs, rows, maps[rows])
    if not aligned:
        rows = np.flatnonzero((similarity < ENOUGH) & (pairs.similarity > PROMISING))
        best, likeness = maps[rows], coarse[rows]
        for shape in SHAPES:
            other, correlation = _coarse(thumbs, pairs, rows, pairs.start[rows] * shape)
            better = correlation > likeness + BETTER
            best[better], likeness[better] = other[better], correlation[better]
        rows, best = (x[(likeness > coarse[rows]) & (likeness + pairs.similarity[rows] > OPEN)] for x in (rows, best))
        _improve(thumbs, pairs, rows, best, (maps, similarity, overlap))
        stuck, doubtful = maps.copy(), similarity > DOUBTFUL
        for shape in DOUBTFUL_SHAPES:
            rows = np.flatnonzero(doubtful & (similarity < ENOUGH))
            start = _coarse(thumbs, pairs, rows, stuck[rows] * shape)[0]
            _improve(thumbs, pairs, rows, start, (maps, similarity, overlap))
    return maps, similarity, overlap


def _improve(thumbs: np.ndarray, pairs: Candidates, rows: np.ndarray, start: np.ndarray, best: Columns) -> None:
    """Align rows from other starts, and write what is better than the best so far into it."""
    found = _fine(thumbs, pairs, rows, start)
    better = found[1] > best[1][rows]
    for column, value in zip(best, found, strict=True):
        column[rows[better]] = value[better]


def _coarse(
    thumbs: np.ndarray, pairs: Candidates, rows: np.ndarray, start: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Align rows on half their size: maps and correlation."""
    maps, correlation = start.copy(), np.empty(len(rows), np.float32)
    for part in _batches(len(rows)):
        i, j = _thumbs(thumbs, pairs, rows[part])
        maps[part], correlation[part] = align(even(i), even(j), start[part], COARSE_ROUNDS)
    return maps, correlation


def _fine(thumbs: np.ndarray, pairs: Candidates, rows: np.ndarray, start: np.ndarray) -> Columns:
    """Align rows on their full size and score them: maps, similarity (-1 where it was given up), overlap."""
    maps = start.copy()
    similarity, overlap = np.full(len(rows), -1, np.float32), np.zeros(len(rows), np.float32)
    for part in _batches(len(rows)):
        i, j = _thumbs(thumbs, pairs, rows[part])
        first, second = locally_even(i), locally_even(j)
        maps[part], correlation = align(first, second, maps[part], FINE_ROUNDS)
        more = np.flatnonzero(correlation > WORTH_MORE)
        if len(more):
            at = np.arange(part.start, part.stop)[more]
            maps[at], _ = align(first[more], second[more], maps[at], MORE_ROUNDS)
            scores = score(i[more], j[more], maps[at])
            similarity[at], overlap[at] = scores.similarity, scores.overlap
    return maps, similarity, overlap


def _batches(n: int) -> list[slice]:
    return [slice(start, min(start + BATCH, n)) for start in range(0, n, BATCH)]


def _thumbs(thumbs: np.ndarray, pairs: Candidates, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take the two thumbnails of each pair, the second mirrored where the pair is."""
    second = thumbs[pairs.j[rows]]
    turned = pairs.mirrored[rows]
    second[turned] = second[turned][:, :, ::-1]
    return thumbs[pairs.i[rows]], second
