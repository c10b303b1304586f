"""Copies of copies: pairs that follow from two verified ones, proposed with the two maps put together.

A picture with many copies fills its list of nearest neighbours with some of them; the others are met here, and so is
a hard copy through an easier one. What is proposed is verified like any other pair. Bounded: ``MOST`` partners a
picture are followed.
"""

from __future__ import annotations

import numpy as np

from espalier.core.dedup.copies.affine import compose, exchanged, reflected
from espalier.core.dedup.copies.candidates import Candidates, unique_candidates

MOST = 24


def closure(pairs: Candidates, tried: Candidates, n: int) -> Candidates:
    """Propose the pairs that close triangles.

    Parameters
    ----------
    pairs : Candidates
        Verified ones; ``start`` is the map found and ``similarity`` how alike the two are.
    tried : Candidates
        Pairs that are not proposed again.
    n : int
        Number of pictures.

    Returns
    -------
    Candidates
        ``similarity`` is the lesser of the two links'.
    """
    of, with_ = np.concatenate([pairs.i, pairs.j]), np.concatenate([pairs.j, pairs.i])
    mirrored, similarity = np.tile(pairs.mirrored, 2), np.tile(pairs.similarity, 2)
    maps = np.concatenate([pairs.start, exchanged(pairs.start, pairs.mirrored)])
    order = np.lexsort((with_, -similarity, of))
    rank = np.arange(len(of)) - np.searchsorted(of[order], of[order])
    order = order[rank < MOST]
    of, with_, mirrored, similarity, maps = (x[order] for x in (of, with_, mirrored, similarity, maps))
    first = np.searchsorted(of, np.arange(n + 1))
    count = first[with_ + 1] - first[with_]  # links that go on from each link
    one = np.repeat(np.arange(len(of)), count)
    two = np.arange(len(one)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first[with_], count)
    fresh = (of[one] < with_[two]) & ~np.isin(of[one] * n + with_[two], tried.i * n + tried.j)
    one, two = one[fresh], two[fresh]
    onward = np.where(mirrored[one][:, None, None], reflected(maps[two]), maps[two])
    return unique_candidates(
        of[one],
        with_[two],
        mirrored[one] ^ mirrored[two],
        np.minimum(similarity[one], similarity[two]),
        compose(onward, maps[one]),
    )
