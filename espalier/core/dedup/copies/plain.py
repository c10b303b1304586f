"""Plain pictures (blank pages, one colour): copies by what little they show, as they have no edges to align.

A thumbnail whose steps between neighbours all stay below ``FLAT`` is plain. Two plain ones are copies when no pixel of
their thumbnails and no mean colour differs by more than ``ALIKE`` levels. Each is linked to one before it only, so that
a million blank pages are a million pairs. Not here: pictures with edges.
"""

from __future__ import annotations

import numpy as np

from espalier.core.dedup.copies.affine import identity
from espalier.core.dedup.copies.candidates import Candidates
from espalier.core.dedup.copies.verify import Verified

FLAT = 6  # levels of 255: JPEG's noise on an even ground stays below
ALIKE = 6


def plain_copies(thumbs: np.ndarray, tints: np.ndarray | None = None, *, first: int = 0) -> Verified:
    """Pair plain pictures.

    Parameters
    ----------
    thumbs : ndarray of shape (n, s, s), uint8
    tints : ndarray of shape (n, 3), uint8, optional
        Mean colours; without them a grey and a green page of one brightness are one.
    first : int, default 0
        Rows before it are known: not paired with one another.

    Returns
    -------
    Verified
        ``similarity`` is 1 less the greatest difference, of 255; the overlap is whole.
    """
    rows = np.flatnonzero(_plain(thumbs))
    shown = thumbs[rows].reshape(len(rows), thumbs.shape[1] ** 2).astype(np.int16)
    if tints is not None:
        shown = np.concatenate([shown, tints[rows].astype(np.int16)], axis=1)
    leader = np.arange(len(rows))
    distance = np.zeros(len(rows), np.int16)
    open_ = np.ones(len(rows), bool)
    for cell in _cells(shown):
        for k in cell:
            if open_[k]:
                others = cell[open_[cell] & (cell > k)]
                apart = np.abs(shown[others] - shown[k]).max(axis=1) if len(others) else np.empty(0, np.int16)
                near = others[apart <= ALIKE]
                leader[near], distance[near], open_[near] = k, apart[apart <= ALIKE], False
    pair = np.flatnonzero((leader != np.arange(len(rows))) & (rows >= first))
    none = np.zeros(len(pair), bool)
    alike = (1 - distance[pair] / 255).astype(np.float32)
    pairs = Candidates(rows[leader[pair]], rows[pair], none, alike, identity(len(pair)))
    return Verified(pairs, alike, np.ones(len(pair), np.float32))


def _plain(thumbs: np.ndarray) -> np.ndarray:
    out = np.empty(len(thumbs), bool)
    for start in range(0, len(thumbs), 4096):
        part = thumbs[start : start + 4096].astype(np.int16)
        across, down = (np.abs(np.diff(part, axis=axis)).max(axis=(1, 2)) for axis in (1, 2))
        out[start : start + 4096] = (across < FLAT) & (down < FLAT)
    return out


def _cells(shown: np.ndarray) -> list[np.ndarray]:
    """Rows of one mean brightness or the next, in order: a copy may lie across a border, so cells overlap by half."""
    level = shown.mean(axis=1).astype(np.int64) // ALIKE if len(shown) else np.empty(0, np.int64)
    return [np.flatnonzero((level == k) | (level == k + 1)) for k in np.unique(level)]
