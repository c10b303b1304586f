"""The default threshold of near duplicates, and how it rises where unlike images look alike.

Measured on 900 photos with planted copies (JPEG quality 40, 80 % size, 5 % crop, brightness +10 %, mirrored): the
least similar copy has 0.78, the most similar stranger 0.54; the default lies in the middle. Sets in which all images
are aligned alike (digits, X-rays, scanned pages) have strangers far above that; there the threshold is raised until a
random pair would reach it only about three times in a million. Not here: the search.
"""

from __future__ import annotations

import numpy as np

from espalier.core.linalg import pair_dots

DEFAULT_THRESHOLD = 0.66
HIGHEST_AUTO = 0.97
DEVIATIONS = 4.5
FEWEST = 32  # images from which the likeness of strangers can be told
SAMPLE_PAIRS = 20_000


def auto_threshold(features: np.ndarray, *, rng: np.random.Generator) -> float:
    """Choose the default threshold, or a higher one where random pairs of this set are alike.

    ``mean + 4.5 deviations`` of the similarity of strangers, held between 0.66 and 0.97, rounded to 0.01. Both are told
    from the 5th and the 15th percentile of random pairs, which true copies hardly move even where they are a third of
    all pairs. 0.66 for fewer than 32 images. ``features``, (n, d) float32, are those of ``gradient_features``.
    """
    n = len(features)
    if n < FEWEST:
        return DEFAULT_THRESHOLD
    i = rng.integers(0, n, SAMPLE_PAIRS)
    j = (i + rng.integers(1, n, SAMPLE_PAIRS)) % n
    similarity = pair_dots(features, i, features, j, np.float32)
    low, high = np.percentile(similarity, [5, 15])  # of a normal distribution 1.645 and 1.036 deviations down
    deviation = (high - low) / (1.645 - 1.036)
    mean = high + 1.036 * deviation
    return float(np.clip(np.round(mean + DEVIATIONS * deviation, 2), DEFAULT_THRESHOLD, HIGHEST_AUTO))
