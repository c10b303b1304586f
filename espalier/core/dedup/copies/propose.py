"""Which pairs are worth aligning: each picture's nearest by descriptor, as it is and mirrored, whole and in windows.

Bounded: at most ``NEAREST`` partners a picture and way from whole pictures, as many from windows. Exact by BLAS while
that is quick, beyond it an inverted file around sampled rows; faiss searches both. Not here: verification.
"""

from __future__ import annotations

import numpy as np

from espalier.core.dedup.copies.affine import of_window
from espalier.core.dedup.copies.candidates import Candidates, unique_candidates
from espalier.core.dedup.copies.descriptor import FULL, WINDOWS, descriptors, mirror
from espalier.core.dedup.copies.index import build_index
from espalier.core.dedup.copies.whiten import fit_whitening

NEAREST = 5
FLOOR = 0.42  # cosine of whitened descriptors; of true copies on trial 1 in 100 was below
EXACT_PRODUCTS = 2e9  # inner products up to which brute force is used: half a minute on two cores
CELLS_PER_ROOT = 2
PROBES = 16
_SAMPLE = 20_000
_BLOCK = 1024
HALF = np.float16  # holds multiples of 1/2048 up to 1 exactly


def propose(
    thumbs: np.ndarray, *, flips: bool, first: int = 0, nearest: int = NEAREST, rng: np.random.Generator
) -> Candidates:
    """Propose pairs.

    Parameters
    ----------
    thumbs : ndarray of shape (n, 32, 32), uint8
    flips : bool
        Propose mirror images, too.
    first : int, default 0
        Rows before it are known: they are not proposed with one another.
    nearest : int
        Partners a row, way and kind of window.
    rng : numpy.random.Generator
        Draws the index's centres.
    """
    return unique_candidates(*_searched(thumbs, flips, first, nearest, rng))


def _searched(
    thumbs: np.ndarray, flips: bool, first: int, nearest: int, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """Columns of ``unique_candidates``; the vectors searched are let go of before pairs are sorted."""
    whole, turned, parts = _vectors(thumbs, flips)
    ways = [(False, whole), (True, turned)] if flips else [(False, whole)]
    found: list[tuple[np.ndarray, ...]] = []
    for entries, windows in ((whole, (FULL,)), (parts, WINDOWS[1:])):
        for rows, queries in ((slice(0, None), slice(first, None)), (slice(first, None), slice(0, first))):
            some = entries.reshape(len(whole), len(windows), whole.shape[1])[rows].reshape(-1, whole.shape[1])
            for mirrored, vectors in ways:
                query, entry, similarity = _nearest(some, vectors[queries], nearest, len(windows), rng)
                start = np.stack([of_window(w) for w in windows])[entry % len(windows)]
                if mirrored:
                    start[:, 0, 2] *= -1
                of, with_ = query + (queries.start or 0), entry // len(windows) + rows.start
                found.append((of, with_, np.full(len(of), mirrored), similarity, start))
    return tuple(np.concatenate(column) for column in zip(*found, strict=True))


def _vectors(thumbs: np.ndarray, flips: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whitened descriptors of whole pictures, of their mirror images, and of the windows, picture by picture."""
    whitening = fit_whitening(descriptors(thumbs[:: max(1, len(thumbs) // _SAMPLE)])[:, 0])
    n, inner = len(thumbs), len(WINDOWS) - 1
    whole = np.empty((n, whitening.dimension), np.float32)
    parts = np.empty((n * inner, whitening.dimension), HALF)
    turned = np.empty_like(whole) if flips else whole
    for start in range(0, n, _BLOCK):
        described = descriptors(thumbs[start : start + _BLOCK], WINDOWS)
        whole[start : start + _BLOCK] = whitening(described[:, 0])
        parts[start * inner : (start + _BLOCK) * inner] = whitening(described[:, 1:].reshape(-1, described.shape[2]))
        if flips:
            turned[start : start + _BLOCK] = whitening(mirror(described[:, 0]))
    return whole, turned, parts


def _nearest(
    entries: np.ndarray, queries: np.ndarray, nearest: int, windows: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each query its nearest entries above the floor: query, entry, similarity, (m,) each."""
    if not len(entries) or not len(queries):
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    index = build_index(
        entries, queries=len(queries), exact=EXACT_PRODUCTS, cells_per_root=CELLS_PER_ROOT, probes=PROBES, rng=rng
    )
    count = min(len(entries), (nearest + 1) * min(windows, 2))  # itself, and several windows of one picture
    similarity, entry = index.search(queries, count)
    wanted = (entry >= 0) & (similarity > FLOOR)
    query, place = np.nonzero(wanted)
    return query, entry[query, place], similarity[query, place]
