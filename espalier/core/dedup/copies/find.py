"""All pairs of copies among pictures: propose, verify, and close triangles.

Not here: which copy stays (``near.duplicates``), and thumbnails (``espalier.io.images.grid``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from espalier.core.dedup.copies.candidates import Candidates, with_others
from espalier.core.dedup.copies.closure import closure
from espalier.core.dedup.copies.plain import plain_copies
from espalier.core.dedup.copies.propose import propose
from espalier.core.dedup.copies.verify import Verified, joined, verify

THRESHOLD = 0.65
SIMILAR = 0.5
LEAST_OVERLAP = 0.42  # a crop to 70 % of width and height covers 0.49
CLOSING = 0.05  # what closure proposes must be more alike by this: proposed more broadly, verified more strictly
CLOSURES = 2
SIDE = 32

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Found:
    """Verified pairs, and what was done for them.

    Attributes
    ----------
    copies : Verified
        Pairs ``i < j`` above the threshold, in the order of (i, j, mirrored), each once a way.
    similar : Verified
        Pairs between ``SIMILAR`` and the threshold: bursts, series, models, and copies too faint to be sure of.
    n_proposed, n_verified : int
    """

    copies: Verified
    similar: Verified
    n_proposed: int
    n_verified: int


def find_copies(
    thumbs: np.ndarray,
    *,
    flips: bool,
    threads: int,
    rng: np.random.Generator,
    tints: np.ndarray | None = None,
    threshold: float = THRESHOLD,
    first: int = 0,
    also: Candidates | None = None,
    progress: Progress | None = None,
) -> Found:
    """Find copies among pictures by their layout.

    Parameters
    ----------
    thumbs : ndarray of shape (n, 32, 32), uint8
        Grey, by area means.
    flips : bool
        Mirror images, too.
    threads : int
        Of the verification; the result does not depend on it.
    rng : numpy.random.Generator
        Draws the centres of the search's index.
    tints : ndarray of shape (n, 3), uint8, optional
        Mean colours; only plain pictures, that show nothing else, are told apart by them.
    threshold : float
    first : int, default 0
        Rows before it are known, and not compared with one another.
    also : Candidates, optional
        Pairs proposed by others, to be verified, too.
    progress : callable, optional
        Called with numbers of pictures that add up to those not known.
    """
    proposed = propose(thumbs, flips=flips, first=first, rng=rng)
    if also is not None:
        proposed = with_others(proposed, also, len(thumbs))
    verified = verify(thumbs, proposed, threads=threads, progress=_by_pictures(progress, thumbs, proposed, first))
    if progress is not None and not len(proposed):
        progress(len(thumbs) - first)
    return _closed(thumbs, verified, len(proposed), tints, threads, threshold, first)


def _by_pictures(progress: Progress | None, thumbs: np.ndarray, proposed: Candidates, first: int) -> Progress | None:
    """Tell the progress among candidates as one among pictures."""
    done = told = 0

    def advance(more: int) -> None:
        nonlocal done, told
        done += more
        now = (len(thumbs) - first) * done // len(proposed)
        if progress is not None:
            progress(now - told)
        told = now

    return None if progress is None else advance


def _closed(
    thumbs: np.ndarray,
    verified: Verified,
    n_proposed: int,
    tints: np.ndarray | None,
    threads: int,
    threshold: float,
    first: int,
) -> Found:
    """Take the copies among verified candidates, and what follows from them."""
    covers = verified.overlap >= LEAST_OVERLAP
    similar = verified.take(covers & (verified.similarity > SIMILAR) & (verified.similarity <= threshold))
    copies = joined(verified.take(covers & (verified.similarity > threshold)), plain_copies(thumbs, tints, first=first))
    n_verified = len(verified.pairs)
    for _ in range(CLOSURES):
        links = Candidates(copies.pairs.i, copies.pairs.j, copies.pairs.mirrored, copies.similarity, copies.pairs.start)
        more = closure(links, copies.pairs, len(thumbs))
        more = more.take(more.j >= first)
        if not len(more):
            break
        n_verified += len(more)
        found = verify(thumbs, more, threads=threads, aligned=True)
        sure = (found.similarity > threshold + CLOSING) & (found.overlap >= LEAST_OVERLAP)
        copies = joined(copies, found.take(sure))
    n = len(thumbs)
    similar = joined(similar, similar.take(np.zeros(len(similar.pairs), bool)))
    known = np.isin(similar.pairs.i * n + similar.pairs.j, copies.pairs.i * n + copies.pairs.j)
    return Found(copies, similar.take(~known), n_proposed, n_verified)
