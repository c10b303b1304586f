"""Pairs of similar rows, and what can be decided from them: groups, and who stays when earlier rows win.

Shared by near and semantic duplicates. Nothing loops over rows; the loops below run over rounds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows, int64, with their similarity, float32; every pair once, ``i < j``."""

    i: np.ndarray
    j: np.ndarray
    similarity: np.ndarray

    def __len__(self) -> int:
        return len(self.i)

    @classmethod
    def empty(cls) -> Pairs:
        """No pair."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))

    @classmethod
    def concatenate(cls, parts: list[Pairs]) -> Pairs:
        """Join several lists of pairs in their order."""
        if not parts:
            return cls.empty()
        return cls(
            np.concatenate([part.i for part in parts]),
            np.concatenate([part.j for part in parts]),
            np.concatenate([part.similarity for part in parts]),
        )

    def take(self, where: np.ndarray) -> Pairs:
        """Select the pairs at ``where`` (a mask or indices)."""
        return Pairs(self.i[where], self.j[where], self.similarity[where])

    def sorted(self) -> Pairs:
        """Put the pairs in the order of (i, j)."""
        return self.take(np.lexsort((self.j, self.i)))


def components(n: int, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Name each of ``n`` nodes by the smallest one of its connected component, given the edges ``i[e] - j[e]``: int64.

    Every round hooks the larger root of each edge under the smallest root it meets and then shortens all paths to their
    roots; the number of rounds grows with the logarithm of the longest chain.
    """
    root = np.arange(n, dtype=np.int64)
    left, right = np.asarray(i, dtype=np.int64), np.asarray(j, dtype=np.int64)
    while True:
        a, b = root[left], root[right]
        apart = a != b
        if not apart.any():
            return root
        left, right, a, b = left[apart], right[apart], a[apart], b[apart]
        np.minimum.at(root, np.maximum(a, b), np.minimum(a, b))
        while True:
            above = root[root]
            if np.array_equal(above, root):
                break
            root = above


def keep_greedily(n: int, earlier: np.ndarray, later: np.ndarray, always: np.ndarray | None = None) -> np.ndarray:
    """Keep each of ``n`` nodes that has no edge from an earlier *kept* node, and those ``always`` kept: (n,) bool.

    The result is that of the plain loop over nodes in rank order (every dropped node has a kept neighbour, and no two
    kept nodes are neighbours unless both are in ``always``), found in rounds over whole frontiers. Edges lead from the
    ``earlier``, better-ranked end to the ``later`` one, without a cycle.
    """
    order = np.argsort(earlier, kind="stable")
    target = np.asarray(later, dtype=np.int64)[order]
    start = np.concatenate([[0], np.cumsum(np.bincount(earlier, minlength=n))])
    waiting = np.bincount(later, minlength=n)  # undecided earlier neighbours
    kept = np.zeros(n, dtype=bool)
    decided = np.zeros(n, dtype=bool)
    first = waiting == 0
    frontier = np.flatnonzero(first if always is None else first | always)
    while frontier.size:
        kept[frontier] = decided[frontier] = True
        reached = _targets(frontier, start, target)
        dropped = np.unique(reached[~decided[reached]])
        decided[dropped] = True
        freed = _targets(dropped, start, target)
        np.subtract.at(waiting, freed, 1)
        frontier = np.unique(freed[(waiting[freed] == 0) & ~decided[freed]])
    return kept


def _targets(nodes: np.ndarray, start: np.ndarray, target: np.ndarray) -> np.ndarray:
    """All edge ends that leave ``nodes``, from the compressed rows (start, target)."""
    count = start[nodes + 1] - start[nodes]
    total = int(count.sum())
    if total == 0:
        return target[:0]
    offset = np.repeat(start[nodes] - np.concatenate([[0], np.cumsum(count)[:-1]]), count)
    return target[np.arange(total) + offset]


def best_partner(
    n: int, row: np.ndarray, partner: np.ndarray, similarity: np.ndarray, position: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For each of ``n`` rows its most similar partner, -1 without one, and that similarity, 0 without.

    Of equally similar partners it is the one with the lowest ``position``, the rank of every row.
    """
    order = np.lexsort((position[partner], -similarity, row))
    ordered = row[order]
    first = order[np.flatnonzero(np.diff(ordered, prepend=-1))] if len(order) else order
    best = np.full(n, -1, dtype=np.int64)
    score = np.zeros(n, dtype=np.float32)
    best[row[first]] = partner[first]
    score[row[first]] = similarity[first]
    return best, score
