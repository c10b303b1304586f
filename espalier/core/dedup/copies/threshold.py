"""The default threshold of verified copies, and how it rises in sets whose pictures all look alike.

Random pairs of photos cannot be aligned at all (97 in 100 are given up), so strangers end far below the default. Where
most random pairs can be aligned (digits, forms, X-rays), likeness after alignment proves little: there the threshold
is raised until a random pair would reach it only about three times in a million. Not here: the search.
"""

from __future__ import annotations

import numpy as np

from espalier.core.dedup.copies.affine import identity
from espalier.core.dedup.copies.candidates import Candidates
from espalier.core.dedup.copies.find import THRESHOLD
from espalier.core.dedup.copies.verify import verify

HIGHEST_AUTO = 0.97
DEVIATIONS = 4.5
FEWEST = 32  # pictures from which the likeness of strangers can be told
SAMPLE_PAIRS = 512


def auto_threshold(thumbs: np.ndarray, *, threads: int, rng: np.random.Generator) -> float:
    """Choose the default threshold, or a higher one where random pairs of this set can be aligned.

    Parameters
    ----------
    thumbs : ndarray of shape (n, 32, 32), uint8
    threads : int
    rng : numpy.random.Generator
        Draws the sample of pairs.

    Returns
    -------
    float
        ``mean + 4.5 deviations`` of Fisher's transform of the similarity of strangers, told from the 50th and the 95th
        percentile of random pairs, and held between 0.65 and 0.97. 0.65 for fewer than 32 pictures, and where half of
        the random pairs cannot be aligned.
    """
    n = len(thumbs)
    if n < FEWEST:
        return THRESHOLD
    i = rng.integers(0, n, SAMPLE_PAIRS)
    j = (i + rng.integers(1, n, SAMPLE_PAIRS)) % n
    promising = np.ones(len(i), np.float32)  # so that all of them are tried in earnest
    pairs = Candidates(i, j, np.zeros(len(i), bool), promising, identity(len(i)))
    middle, high = np.percentile(verify(thumbs, pairs, threads=threads).similarity, [50, 95])
    if middle <= -1:
        return THRESHOLD
    mean, upper = np.arctanh(np.clip([middle, high], -0.9999, 0.9999))
    deviation = (upper - mean) / 1.645  # of a normal distribution the 95th percentile is so many deviations up
    return float(np.clip(np.round(np.tanh(mean + DEVIATIONS * deviation), 2), THRESHOLD, HIGHEST_AUTO))
