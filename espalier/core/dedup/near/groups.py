"""Who stays among near duplicates, decided while the pairs arrive.

Rows come in rank order, best first. A row goes when an earlier row that stays is above the threshold with it, so every
dropped row has a kept neighbour. Rows connected through others, but not above the threshold with the best of their
group, are ``chained``: they keep their own place, and the link to the rest of the group is told.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from espalier.core.dedup.near.features import mirror_features
from espalier.core.dedup.near.neighbours import Block
from espalier.core.dedup.pairs import Pairs, components, keep_greedily


class Grouper:
    """Consumes the blocks of a search and holds the decisions; O(n) memory whatever the number of pairs.

    ``immune`` rows stay whatever they resemble, and none may follow a row that is not, except known rows first. Lower
    ``preference``, no two equal, is preferred as the representative. ``owner`` is the kept row, most preferred of those
    above the threshold, that a dropped row is a copy of; for a kept row the kept row that it resembles (both immune).
    ``group`` is the connected component, named by its lowest row. ``link`` is, for a kept row, the most similar row
    outside its own star (itself and the rows it owns) with which it, or a row it owns, is above the threshold. -1
    without one.
    """

    def __init__(self, immune: np.ndarray, preference: np.ndarray) -> None:
        n = len(immune)
        self.immune, self.preference = immune, preference
        self.kept = np.ones(n, dtype=bool)
        self.owner = np.full(n, -1, dtype=np.int64)
        self.owner_similarity = np.zeros(n, dtype=np.float32)
        self.group = np.arange(n, dtype=np.int64)
        self.link = np.full(n, -1, dtype=np.int64)
        self.link_similarity = np.zeros(n, dtype=np.float32)

    def add(self, block: Block) -> None:
        """Decide the rows of ``block``; all earlier blocks have been added."""
        pairs = block.pairs
        if not len(pairs):
            return
        self._decide(block)
        self._own(block)
        self._unite(pairs)
        self._tie(pairs)

    def _decide(self, block: Block) -> None:
        pairs, start, size = block.pairs, block.start, block.stop - block.start
        falls = ~self.immune[pairs.j]
        inside = pairs.i >= start
        hit = pairs.j[falls & ~inside & self.kept[pairs.i]]
        gone = np.zeros(size, dtype=bool)
        gone[hit - start] = True
        # Inside the block only rows that no earlier block has dropped can drop one another.
        open_pair = falls & inside
        open_pair[open_pair] = ~gone[pairs.i[open_pair] - start] & ~gone[pairs.j[open_pair] - start]
        if open_pair.any():
            stays = keep_greedily(size, pairs.i[open_pair] - start, pairs.j[open_pair] - start)
            gone |= ~stays
        self.kept[block.start : block.stop] &= ~gone

    def _own(self, block: Block) -> None:
        by_kept = block.pairs.take(self.kept[block.pairs.i])
        if not len(by_kept):
            return
        wanted = self.preference[by_kept.i]
        best = np.full(block.stop - block.start, np.iinfo(np.int64).max)
        np.minimum.at(best, by_kept.j - block.start, wanted)
        chosen = by_kept.take(wanted == best[by_kept.j - block.start])
        self.owner[chosen.j] = chosen.i
        self.owner_similarity[chosen.j] = chosen.similarity

    def _unite(self, pairs: Pairs) -> None:
        a, b = self.group[pairs.i], self.group[pairs.j]
        apart = a != b
        if not apart.any():
            return
        a, b = a[apart], b[apart]
        names, ends = np.unique(np.concatenate([a, b]), return_inverse=True)
        united = names[components(len(names), ends[: len(a)], ends[len(a) :])]
        place = np.minimum(np.searchsorted(names, self.group), len(names) - 1)
        self.group = np.where(names[place] == self.group, united[place], self.group)

    def _tie(self, pairs: Pairs) -> None:
        star = np.where(self.kept, np.arange(len(self.kept)), self.owner)
        si, sj = star[pairs.i], star[pairs.j]
        between = si != sj
        if not between.any():
            return
        centre = np.concatenate([si[between], sj[between]])
        other = np.concatenate([pairs.j[between], pairs.i[between]])
        similarity = np.concatenate([pairs.similarity[between]] * 2)
        order = np.lexsort((other, -similarity, centre))
        first = order[np.diff(centre[order], prepend=-1) != 0]
        better = similarity[first] > self.link_similarity[centre[first]]
        chosen = first[better]
        self.link[centre[chosen]] = other[chosen]
        self.link_similarity[centre[chosen]] = similarity[chosen]


@dataclass(frozen=True)
class Fates:
    """What became of every node, columns of shape (m,): as in ``duplicates.Duplicates``, in numbers of nodes."""

    kept: np.ndarray
    owner: np.ndarray
    similarity: np.ndarray
    mirrored: np.ndarray
    group: np.ndarray
    chained: np.ndarray
    via: np.ndarray


def settle(grouper: Grouper, features: np.ndarray, *, flips: bool, drop_chained: bool) -> Fates:
    """Name representatives and chains once all pairs have been seen.

    ``flips``: tell which copies are mirrored ones. ``drop_chained``: drop chained rows, and hand the rows that they own
    to the group's representative.
    """
    m = len(grouper.kept)
    best = np.full(m, np.iinfo(np.int64).max)
    np.minimum.at(best, grouper.group, grouper.preference)
    turn = np.argsort(grouper.preference)
    sorted_preference = grouper.preference[turn]
    group = turn[np.searchsorted(sorted_preference, best[grouper.group])] if m else grouper.group
    kept, owner, similarity = grouper.kept.copy(), grouper.owner.copy(), grouper.owner_similarity.copy()
    chained = kept & ~grouper.immune & (group != np.arange(m))
    via = np.where(chained, grouper.link, -1)
    if drop_chained:
        kept &= ~chained
        handed = (owner >= 0) & chained[owner]
        via[handed] = owner[handed]
        chained |= handed
        owner[chained] = group[chained]
        similarity[chained] = _similarity(features, np.flatnonzero(chained), group[chained], flips=flips)
    mirrored = np.zeros(m, dtype=bool)
    if flips:
        copies = np.flatnonzero(owner >= 0)
        mirrored[copies] = similarity[copies] > _similarity(features, copies, owner[copies], flips=False)
    return Fates(kept, owner, similarity, mirrored, group, chained, via)


def _similarity(features: np.ndarray, rows: np.ndarray, others: np.ndarray, *, flips: bool) -> np.ndarray:
    result = np.empty(len(rows), dtype=np.float32)
    for start in range(0, len(rows), 8192):
        part = slice(start, start + 8192)
        left, right = features[rows[part]], features[others[part]]
        result[part] = np.einsum("ij,ij->i", left, right)
        if flips:
            np.maximum(result[part], np.einsum("ij,ij->i", mirror_features(left), right), out=result[part])
    return np.minimum(result, np.float32(1))
