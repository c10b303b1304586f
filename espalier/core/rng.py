"""Every random draw comes from here: a Generator derived from a seed and what it is for."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """Make a Generator that depends on ``seed`` and ``purpose`` only.

    Parameters
    ----------
    seed : int
        The user's seed, any integer (0 is a seed like any other).
    *purpose : str or int
        What the draw is for, for example ``("kmeans", "seeding")`` or ``("entropy", cluster)``.
    """
    text = "\x1f".join([str(int(seed)), *map(str, purpose)])
    words = np.frombuffer(hashlib.blake2b(text.encode(), digest_size=32).digest(), dtype=np.uint32)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words.tolist())))
