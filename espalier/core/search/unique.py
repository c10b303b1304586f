"""Hiding near duplicates of what is shown: a walk down the ranking that skips what is too like a shown one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from espalier.core.search.joined import Joined

NEAR_COSINE = 0.05  # the cosine distance at which two samples count as duplicates unless told
_CHUNK = 512  # ranked rows compared at once


def near_threshold(metric: str, bits: int) -> float:
    """Return the distance at which two samples count as duplicates: a cosine of 0.95, or that angle in ``bits``."""
    if metric == "cosine":
        return NEAR_COSINE
    return float(np.floor(np.arccos(1 - NEAR_COSINE) / np.pi * bits))


def hide_duplicates(
    first: Callable[[int], tuple[np.ndarray, np.ndarray]], data: Joined, k: int, left: int, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Take the first k of a ranking of which none is within ``threshold`` of an earlier one.

    Parameters
    ----------
    first : callable
        ``first(m)`` gives the m best rows and their scores; asked for more until k are found.
    data : Joined
    k : int
    left : int
        Rows that can be ranked at all.
    threshold : float
        A distance; at or below it two rows count as duplicates.

    Returns
    -------
    rows : ndarray of shape (at most k,), int64
    scores : ndarray of the same shape, float32
    """
    depth = min(left, max(4 * k, 256))
    while True:
        rows, scores = first(depth)
        shown = _walk(rows, k, threshold, data)
        if len(shown) >= k or depth >= left:
            return rows[shown], scores[shown]
        depth = min(left, 8 * depth)


def _walk(ranked: np.ndarray, k: int, threshold: float, data: Joined) -> np.ndarray:
    """Return the positions in ``ranked`` of the rows that are shown, ascending."""
    shown: list[int] = []
    for start in range(0, len(ranked), _CHUNK):
        place = np.arange(start, min(start + _CHUNK, len(ranked)))
        if shown:
            near = data.between(data.take(ranked[shown]), ranked[place]) <= threshold
            place = place[~near.any(axis=0)]
        while len(place) and len(shown) < k:
            shown.append(int(place[0]))
            near = data.between(data.take(ranked[place[:1]]), ranked[place])[0] <= threshold
            near[0] = True
            place = place[~near]
    return np.array(shown, np.int64)
