"""Exact and near duplicates where every near pair is aligned and verified before it counts.

Candidates are what the layout proposes (``dedup.copies``) and what the grids propose; equal rows are one node of both
searches, as in ``near.duplicates``. A dropped row is a verified copy of the row that stays for it. Not here: what stays
(``near.groups``), the alignment (``dedup.copies``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from espalier.core.dedup.copies import Found, Verified, auto_threshold, find_copies
from espalier.core.dedup.copies.affine import identity
from espalier.core.dedup.copies.candidates import Candidates
from espalier.core.dedup.near.copy_pairs import CopyPairs, equal_rows, joined_pairs, rows_of_nodes
from espalier.core.dedup.near.duplicates import (
    BORDER_BELOW,
    BORDER_PAIRS,
    Border,
    Duplicates,
    checked_threshold,
    searched,
    spread,
)
from espalier.core.dedup.near.features import CELLS, DIMENSION, gradient_features
from espalier.core.dedup.near.features import auto_threshold as grid_threshold
from espalier.core.dedup.near.groups import Fates, settle
from espalier.core.dedup.near.neighbours import Block, SearchReport, pair_blocks
from espalier.core.dedup.pairs import Pairs
from espalier.core.linalg import pair_dots
from espalier.core.rng import generator

NEAREST = 10  # partners of a row, earlier in the order, that its grid proposes


def find_verified_duplicates(
    codes: np.ndarray,
    grids: np.ndarray,
    thumbs: np.ndarray,
    quality: tuple[np.ndarray, ...] = (),
    *,
    places: np.ndarray | None = None,
    threshold: float | str = "auto",
    flips: bool = False,
    protected: np.ndarray | None = None,
    keep: np.ndarray | None = None,
    drop: np.ndarray | None = None,
    known: np.ndarray | None = None,
    blind: np.ndarray | None = None,
    threads: int = 1,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Duplicates:
    """Find exact and near duplicates among readable images, shifted, cropped, squeezed and mirrored ones among them.

    Parameters
    ----------
    thumbs : ndarray of shape (n, 32, 32), uint8
        ``espalier.io.images.grid.grey_thumb`` of every image.
    places : ndarray of shape (n,), int, optional
        Where each row stands (its subset): mirror images in two places are copies whatever ``flips`` says.
    threshold : float or "auto", default "auto"
        Of the similarity after alignment; ``auto`` is 0.65, or more where all pictures of the set look alike (see
        ``espalier.core.dedup.copies.threshold``).
    threads : int, default 1
        Of the verification; the result does not depend on it.

    Others as ``find_duplicates``.

    Returns
    -------
    Duplicates
        With ``copies`` and ``similar``; mirrored pairs of one place are told there, too.
    """
    search = searched(codes, grids, quality, protected=protected, keep=keep, drop=drop, known=known, blind=blind)
    nodes, report = search.nodes, SearchReport()
    seeing = np.flatnonzero(search.seeing)
    shown = thumbs[nodes.leader[seeing]]
    threshold = checked_threshold(
        threshold, lambda: auto_threshold(shown, threads=threads, rng=generator(seed, "near", "strangers"))
    )
    found = _verified_nodes(
        shown,
        grids[nodes.leader[seeing]],
        first=int(np.searchsorted(seeing, search.first)),
        flips=flips,
        threshold=threshold,
        threads=threads,
        seed=seed,
        report=report,
        progress=progress,
    )
    if progress is not None:
        progress(len(codes) - int((seeing >= search.first).sum()))
    copies, similar = (_renumbered(pairs, seeing) for pairs in (found.copies, found.similar))
    place = np.zeros(len(codes), np.int64) if places is None else places
    (copies, edges), (similar, below) = (_one_way(pairs, flips, place[nodes.face]) for pairs in (copies, similar))
    grouper, border = search.grouper(), Border(threshold, BORDER_PAIRS)
    border.above(_pairs(below.take(below.similarity > threshold - BORDER_BELOW)))
    grouper.add(Block(0, len(nodes.leader), border.above(_pairs(edges))))
    fates = settle(grouper, np.empty((0, DIMENSION), np.float32), flips=False, drop_chained=False)
    fates = replace(fates, mirrored=_mirrored(fates, edges))
    new = np.ones(len(codes), bool) if known is None else ~known
    told = [_of_new(rows_of_nodes(pairs, nodes.of, search.preference), new) for pairs in (copies, similar)]
    return replace(
        spread(codes, search, fates, border, threshold, report),
        copies=joined_pairs([_of_new(equal_rows(nodes.of, search.preference, codes), new), told[0]]),
        similar=joined_pairs(told[1:]),
        n_proposed=found.n_proposed,
        n_verified=found.n_verified,
    )


def _verified_nodes(
    thumbs: np.ndarray,
    grids: np.ndarray,
    *,
    first: int,
    flips: bool,
    threshold: float,
    threads: int,
    seed: int,
    report: SearchReport,
    progress: Callable[[int], None] | None,
) -> Found:
    """Find the copies among nodes, mirror images always among them.

    Parameters
    ----------
    thumbs : ndarray of shape (m, 32, 32), uint8
    grids : ndarray of shape (m, 243), uint16
    first : int
        Nodes before it are known and not compared with one another.
    flips : bool
        Mirror images are proposed by the grid, too; by layout they always are.
    report : SearchReport
        Filled by the search among grids.
    """
    also = _alike_grids(grids, first=first, flips=flips, seed=seed, report=report)
    tints = np.rint(grids.reshape(len(grids), CELLS * CELLS, 3).mean(axis=1) / 257).astype(np.uint8)
    return find_copies(
        thumbs,
        flips=True,
        threads=threads,
        rng=generator(seed, "near", "copies"),
        tints=tints,
        threshold=threshold,
        first=first,
        also=also,
        progress=progress,
    )


def _alike_grids(grids: np.ndarray, *, first: int, flips: bool, seed: int, report: SearchReport) -> Candidates:
    """Propose each row's nearest earlier rows by the gradients of their grids, above the threshold that these have."""
    features = gradient_features(grids)
    floor = grid_threshold(features, rng=generator(seed, "near", "threshold"))
    rng = generator(seed, "near", "search")
    nearest = []
    for block in pair_blocks(features, floor, first=first, flips=flips, rng=rng, report=report):
        pairs = block.pairs.take(np.lexsort((block.pairs.i, -block.pairs.similarity, block.pairs.j)))
        rank = np.arange(len(pairs)) - np.searchsorted(pairs.j, pairs.j)
        nearest.append(pairs.take(rank < NEAREST))
    pairs = Pairs.concatenate(nearest)
    as_they_are = pair_dots(features, pairs.i, features, pairs.j, np.float32)
    return Candidates(pairs.i, pairs.j, pairs.similarity > as_they_are, pairs.similarity, identity(len(pairs)))


def _renumbered(verified: Verified, number: np.ndarray) -> Verified:
    pairs = verified.pairs
    return replace(verified, pairs=replace(pairs, i=number[pairs.i], j=number[pairs.j]))


def _one_way(verified: Verified, flips: bool, place: np.ndarray) -> tuple[Verified, Verified]:
    """Give each pair one way, and of these the pairs that can drop a row: mirrored in one place only with ``flips``."""
    pairs = verified.pairs
    counts = ~pairs.mirrored | flips | (place[pairs.i] != place[pairs.j])
    order = np.lexsort((pairs.mirrored, -verified.similarity, ~counts, pairs.j, pairs.i))
    first = (np.diff(pairs.i[order], prepend=-1) != 0) | (np.diff(pairs.j[order], prepend=-1) != 0)
    chosen = order[first]
    return verified.take(chosen), verified.take(chosen[counts[chosen]])


def _pairs(verified: Verified) -> Pairs:
    return Pairs(verified.pairs.i, verified.pairs.j, verified.similarity)


def _mirrored(fates: Fates, edges: Verified) -> np.ndarray:
    """Tell which nodes are the mirror image of the one that stays for them: (m,) bool."""
    m = len(fates.kept)
    mirrored = np.zeros(m, bool)
    owned = np.flatnonzero(fates.owner >= 0)
    key = np.minimum(owned, fates.owner[owned]) * m + np.maximum(owned, fates.owner[owned])
    mirrored[owned] = edges.pairs.mirrored[np.searchsorted(edges.pairs.i * m + edges.pairs.j, key)]
    return mirrored


def _of_new(pairs: CopyPairs, new: np.ndarray) -> CopyPairs:
    """Leave out pairs of which an earlier run has told."""
    return pairs.take(new[pairs.i] | new[pairs.j])
