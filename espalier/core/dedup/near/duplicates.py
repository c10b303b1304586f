"""Exact and near duplicates of a dataset: which rows stay, and for each that goes which kept row it copies.

The stage in one call: equal bytes (or pixels), then equal grids, then the gradient feature, the search and the groups.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import DTypeLike

from espalier.core.dedup.near.equal import Nodes, make_nodes
from espalier.core.dedup.near.features import DIMENSION, auto_threshold, gradient_features
from espalier.core.dedup.near.groups import Fates, Grouper, settle
from espalier.core.dedup.near.neighbours import Block, SearchReport, pair_blocks
from espalier.core.dedup.pairs import Pairs
from espalier.core.errors import UsageError
from espalier.core.rng import generator

if TYPE_CHECKING:
    from espalier.core.dedup.near.copy_pairs import CopyPairs
BORDER_PAIRS = 24
BORDER_BELOW = 0.08


class Border:
    """Keeps the ``count`` lowest pairs above ``threshold`` and the ``count`` highest at or below it, for a look."""

    def __init__(self, threshold: float, count: int) -> None:
        self._threshold, self._count = threshold, count
        self._above, self._below = Pairs.empty(), Pairs.empty()

    def above(self, pairs: Pairs) -> Pairs:
        """Take note of ``pairs`` and return those above the threshold."""
        over = pairs.similarity > self._threshold
        high, low = pairs.take(over), pairs.take(~over)
        self._above = self._nearest(Pairs.concatenate([self._above, high]), 1)
        self._below = self._nearest(Pairs.concatenate([self._below, low]), -1)
        return high

    def pairs(self, row: np.ndarray) -> Pairs:
        """All pairs kept so far, most similar first, with their numbers mapped by ``row``."""
        nearest = Pairs.concatenate([self._above, self._below])
        nearest = nearest.take(np.lexsort((nearest.j, nearest.i, -nearest.similarity)))
        a, b = row[nearest.i], row[nearest.j]
        return Pairs(np.minimum(a, b), np.maximum(a, b), nearest.similarity)

    def _nearest(self, pairs: Pairs, sign: int) -> Pairs:
        if len(pairs) > 64 * self._count:  # cut before sorting: a block can hold millions
            bound = np.partition(sign * pairs.similarity, self._count)[self._count]
            pairs = pairs.take(sign * pairs.similarity <= bound)
        order = np.lexsort((pairs.j, pairs.i, sign * pairs.similarity))
        return pairs.take(order[: self._count])


@dataclass(frozen=True)
class Duplicates:
    """The fate of every row.

    Attributes
    ----------
    kept : ndarray of shape (n,), bool
    duplicate_of : ndarray of shape (n,), int64
        The kept row that a dropped row copies; -1 for kept rows and for rows dropped by hand.
    stage : ndarray of shape (n,), str
        Why a row went: ``exact``, ``near``, ``by hand``; empty for kept rows.
    similarity : ndarray of shape (n,), float32
        Similarity to ``duplicate_of`` (1 for exact copies); 0 without one.
    mirrored : ndarray of shape (n,), bool
        True where the mirror image is the more similar one.
    group : ndarray of shape (n,), int64
        Rows connected by pairs above the threshold share a group, named by one of its rows; alone: the row itself.
    chained : ndarray of shape (n,), bool
        Rows connected with their group's representative through other rows only. They are kept unless
        ``drop_chained`` was asked for.
    via : ndarray of shape (n,), int64
        For a chained row, the row through which it hangs together with the rest of its group. For an exact copy of
        a row that went as a near copy itself, that row. Else -1.
    twin : ndarray of shape (n,), int64
        For a kept row that may not go: a kept row that it copies (for example a test image with a copy among the
        protected ones), else -1.
    threshold : float
    search : SearchReport
        Method, comparisons, recall of the near search.
    copies, similar : CopyPairs or None
        Verified pairs of rows, and those just below the threshold (bursts, series); None where nothing is verified.
    n_proposed, n_verified : int
        Pairs proposed, and pairs aligned and compared, those that follow from others among them.
    border : Pairs
        The pairs nearest to the threshold: up to 24 above it and up to 24 below (within 0.08), most similar first.
    """

    kept: np.ndarray
    duplicate_of: np.ndarray
    stage: np.ndarray
    similarity: np.ndarray
    mirrored: np.ndarray
    group: np.ndarray
    chained: np.ndarray
    via: np.ndarray
    twin: np.ndarray
    threshold: float
    search: SearchReport
    border: Pairs
    copies: CopyPairs | None = None
    similar: CopyPairs | None = None
    n_proposed: int = 0
    n_verified: int = 0


def find_duplicates(
    codes: np.ndarray,
    grids: np.ndarray,
    quality: tuple[np.ndarray, ...] = (),
    *,
    threshold: float | str = "auto",
    flips: bool = False,
    protected: np.ndarray | None = None,
    keep: np.ndarray | None = None,
    drop: np.ndarray | None = None,
    known: np.ndarray | None = None,
    blind: np.ndarray | None = None,
    drop_chained: bool = False,
    method: str = "auto",
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Duplicates:
    """Find exact and near duplicates among readable images.

    Parameters
    ----------
    codes : ndarray of shape (n,)
        What is equal for equal files: sha256 of the bytes (or of the pixels), in any type that numpy can sort.
    grids : ndarray of shape (n, 243), uint16
        ``espalier.io.images.grid.area_grid`` of every image.
    quality : tuple of ndarrays of shape (n,), default ()
        Larger is better, the most important first, for example ``(width * height, n_bytes)``. Ties end on the row.
    threshold : float or "auto", default "auto"
        Rows more similar than this are copies. ``auto`` is 0.66, or more where all images of the set look alike
        (see ``auto_threshold``).
    flips : bool, default False
        Mirror images are copies too.
    protected : ndarray of shape (n,), bool, optional
        Rows of protected subsets: none goes, and they are preferred as representatives, so that copies elsewhere go.
    keep, drop : ndarray of shape (n,), bool, optional
        Human verdicts. A row dropped by hand drops no other row.
    known : ndarray of shape (n,), bool, optional
        Rows that an earlier run kept. They stay and are not compared with one another, only new rows with them.
    blind : ndarray of shape (n,), bool, optional
        Rows without a picture, such as texts: their grids mean nothing, only equal codes make them copies.
    drop_chained : bool, default False
        Also drop chained rows in favour of their group's representative, to which they are less similar than the
        threshold. By default every dropped row has a kept row above the threshold.
    method : {"auto", "exact", "index"}
        See ``pair_blocks``.
    seed : int, default 0
        For the index and the automatic threshold.
    progress : callable, optional
        Called with numbers of rows that add up to n.

    Raises
    ------
    ValueError
        When shapes disagree.
    UsageError
        When the threshold is not above 0 and at most 1, or a row is both kept and dropped by hand.
    """
    search = searched(codes, grids, quality, protected=protected, keep=keep, drop=drop, known=known, blind=blind)
    nodes, seeing = search.nodes, search.seeing
    features = _features(grids, nodes.leader, seeing)
    threshold = checked_threshold(
        threshold,
        lambda: auto_threshold(
            features if seeing.all() else features[seeing], rng=generator(seed, "near", "threshold")
        ),
    )
    grouper = search.grouper()
    report = SearchReport()
    border = Border(threshold, BORDER_PAIRS)
    blocks = pair_blocks(
        features,
        threshold - BORDER_BELOW,
        first=search.first,
        flips=flips,
        method=method,
        rng=generator(seed, "near", "search"),
        report=report,
        progress=progress,
    )
    for block in blocks if seeing.any() else ():
        grouper.add(Block(block.start, block.stop, border.above(block.pairs)))
    if progress is not None:
        progress(len(codes) - (len(nodes.leader) - search.first) * bool(seeing.any()))
    fates = settle(grouper, features, flips=flips, drop_chained=drop_chained)
    return spread(codes, search, fates, border, threshold, report)


@dataclass(frozen=True)
class Searched:
    """What a search among images starts from.

    Attributes
    ----------
    immune, unwanted : ndarray of shape (n,), bool
        Rows that may not go; rows dropped by hand, of no node.
    preference : ndarray of shape (n,), int64
        Rank of every row as a representative.
    nodes : Nodes
        The rows that take part, equal ones together.
    seeing : ndarray of shape (m,), bool
        Nodes with a picture.
    first : int
        Nodes before it are known.
    """

    immune: np.ndarray
    unwanted: np.ndarray
    preference: np.ndarray
    nodes: Nodes
    seeing: np.ndarray
    first: int

    def grouper(self) -> Grouper:
        """Make what decides among the nodes."""
        return Grouper(self.immune[self.nodes.face], self.preference[self.nodes.face])


def searched(
    codes: np.ndarray,
    grids: np.ndarray,
    quality: tuple[np.ndarray, ...],
    *,
    protected: np.ndarray | None,
    keep: np.ndarray | None,
    drop: np.ndarray | None,
    known: np.ndarray | None,
    blind: np.ndarray | None,
) -> Searched:
    """Collapse equal rows and rank them; arguments as of ``find_duplicates``."""
    n = len(codes)
    guarded, wanted, unwanted, old, unseen = (_mask(mask, n) for mask in (protected, keep, drop, known, blind))
    if len(grids) != n or any(len(column) != n for column in quality):
        raise ValueError(f"{n} codes, {len(grids)} grids, quality of {[len(column) for column in quality]}")
    if (wanted & unwanted).any():
        raise UsageError("A sample cannot be both kept and dropped by hand.")
    immune = (guarded | wanted | old) & ~unwanted
    preference = _preference(guarded, immune, quality, n)
    nodes = make_nodes(codes, grids, preference, old, np.flatnonzero(~unwanted), unseen)
    return Searched(immune, unwanted, preference, nodes, ~unseen[nodes.leader], int(old[nodes.leader].sum()))


def checked_threshold(threshold: float | str, automatic: Callable[[], float]) -> float:
    """Return the threshold as a number, after checking it."""
    if isinstance(threshold, str):
        if threshold != "auto":
            raise UsageError(f"The threshold {threshold!r} is neither a number nor 'auto'.")
        threshold = automatic()
    if not 0 < threshold <= 1:
        raise UsageError(f"The threshold {threshold} is out of range.", "It is a cosine: above 0, up to 1.")
    return threshold


def _features(grids: np.ndarray, rows: np.ndarray, seeing: np.ndarray) -> np.ndarray:
    """Return the features of rows, zeros (like nothing) for those that are not ``seeing``."""
    if seeing.all():
        return gradient_features(grids[rows])
    features = np.zeros((len(rows), DIMENSION), np.float32)
    if seeing.any():
        features[seeing] = gradient_features(grids[rows[seeing]])
    return features


def _mask(mask: np.ndarray | None, n: int) -> np.ndarray:
    if mask is None:
        return np.zeros(n, dtype=bool)
    if len(mask) != n:
        raise ValueError(f"a mask of {len(mask)} for {n} rows")
    return np.asarray(mask, dtype=bool)


def _preference(guarded: np.ndarray, immune: np.ndarray, quality: tuple[np.ndarray, ...], n: int) -> np.ndarray:
    """Rank of every row as a representative: protected, then other rows that stay, then by quality, then by row."""
    keys = [np.arange(n), *(-np.asarray(column, dtype=np.float64) for column in reversed(quality))]
    order = np.lexsort((*keys, ~immune, ~guarded))
    preference = np.empty(n, dtype=np.int64)
    preference[order] = np.arange(n)
    return preference


def spread(
    codes: np.ndarray, search: Searched, fates: Fates, border: Border, threshold: float, report: SearchReport
) -> Duplicates:
    """From the fates of the nodes to those of the rows."""
    n, nodes, immune, unwanted = len(codes), search.nodes, search.immune, search.unwanted
    rows = np.flatnonzero(~unwanted)
    node = nodes.of[rows]
    face = nodes.face[node]
    owner = np.where(fates.owner >= 0, nodes.face[fates.owner], -1)[node]
    copies = (rows != face) | ~fates.kept[node]
    inside = copies & fates.kept[node]  # equal to a kept row of its own node
    target = np.where(inside, face, owner)
    gone = copies & ~immune[rows]

    def column(values: np.ndarray, fill: str | float, dtype: DTypeLike) -> np.ndarray:
        out: np.ndarray = np.full(n, fill, dtype=dtype)
        out[rows] = values
        return out

    exact = (rows != face) & (codes[rows] == codes[face])
    chained = fates.chained[node] & ~inside & (gone | (rows == face))
    via = np.where(chained, nodes.face[fates.via[node]], np.where(gone & exact & ~inside, face, -1))
    return Duplicates(
        kept=column(~gone, False, bool),
        duplicate_of=column(np.where(gone, target, -1), -1, np.int64),
        stage=column(np.where(gone, np.where(exact, "exact", "near"), ""), "by hand", "<U7"),
        similarity=column(np.where(gone, np.where(inside, 1, fates.similarity[node]), 0), 0, np.float32),
        mirrored=column(gone & ~inside & fates.mirrored[node], False, bool),
        group=column(nodes.face[fates.group[node]], 0, np.int64) + np.where(unwanted, np.arange(n), 0),
        chained=column(chained, False, bool),
        via=column(via, -1, np.int64),
        twin=column(np.where(~gone, np.where(rows != face, face, owner), -1), -1, np.int64),
        threshold=float(threshold),
        search=report,
        border=border.pairs(nodes.face),
    )
