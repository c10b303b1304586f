"""SemDeDup without stored pairs, for sets so alike that their similar pairs would not fit in memory.

Rows of a cluster are visited in rank order and compared with the kept rows before them only, block by block; nothing
is stored but the verdicts. Gives what ``resolve`` gives under ``keep_one``, for one ``eps`` and inside clusters only.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from espalier.core.dedup.pairs import Pairs, best_partner, keep_greedily
from espalier.core.dedup.semantic.resolve import SemanticDuplicates, ranks_of
from espalier.core.dedup.semantic.search import Walk, check_search, members_of
from espalier.core.linalg import Screen, as_unit_rows

BLOCK = 256  # rows decided at a time; all pairs among them may be similar


def resolve_directly(
    vectors: np.ndarray,
    assignment: np.ndarray,
    position: np.ndarray,
    *,
    eps: float,
    immune: np.ndarray | None = None,
    drop: np.ndarray | None = None,
    progress: Callable[[int], None] | None = None,
) -> SemanticDuplicates:
    """Decide under ``keep_one`` without storing pairs: what ``resolve`` gives with the pairs at ``n_probe=1``.

    Parameters
    ----------
    vectors : ndarray of shape (n, d), float32
        Unit rows (checked). May be memory-mapped.
    assignment : ndarray of shape (n,), int
        Cluster of each row.
    position, eps, immune, drop
        As for :func:`espalier.core.dedup.semantic.resolve`; eps in (0, 2).
    progress : callable, optional
        Called with numbers of rows that add up to n.
    """
    check_search(1 - eps, 1, None, len(vectors), len(assignment))
    rows = as_unit_rows(vectors)
    n = len(rows)
    stays, barred, rank = ranks_of(n, position, immune, drop)
    walk = Walk(rows, Screen(rows, None, 0), 1 - eps)
    kept = ~barred
    links_by_block: list[Pairs] = []
    order, bounds = members_of(assignment)
    for start, stop in pairwise(bounds):
        members = order[start:stop]
        visited = members[~barred[members]]
        visited = visited[np.argsort(rank[visited])]
        for first in range(0, len(visited), BLOCK):
            before, block = visited[:first], np.sort(visited[first : first + BLOCK])
            links_by_block.append(_decide(walk, np.sort(before[kept[before]]), block, rank, stays, kept))
        if progress is not None:
            progress(len(members))
    links = Pairs.concatenate(links_by_block)  # of each row with the most similar kept row of its block or before
    via, cosine = best_partner(n, links.j, links.i, links.similarity, rank)
    return SemanticDuplicates(kept, via, cosine, via)


def _decide(
    walk: Walk, before: np.ndarray, block: np.ndarray, rank: np.ndarray, stays: np.ndarray, kept: np.ndarray
) -> Pairs:
    """Set ``kept`` for the rows of ``block``; return, for each that goes, its best pair (kept row, row)."""
    old = Pairs.concatenate(list(walk.compare(before, block)))
    new = Pairs.concatenate(list(walk.compare(block)))
    forward = rank[new.i] < rank[new.j]
    new = Pairs(np.where(forward, new.i, new.j), np.where(forward, new.j, new.i), new.similarity)
    gone = np.unique(old.j[~stays[old.j]])
    kept[gone] = False
    still = new.take(kept[new.i] & kept[new.j] & ~stays[new.j])
    kept[block] &= keep_greedily(len(block), np.searchsorted(block, still.i), np.searchsorted(block, still.j))
    links = Pairs.concatenate([old, new])
    links = links.take(kept[links.i] & ~kept[links.j])
    order = np.lexsort((rank[links.i], -links.similarity, links.j))
    ordered = links.take(order)
    return ordered.take(np.diff(ordered.j, prepend=-1) != 0)
