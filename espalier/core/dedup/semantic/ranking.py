"""The order in which samples are looked at: of two duplicates the earlier one is kept."""

from __future__ import annotations

import numpy as np

from espalier.core.errors import UsageError

RANKS = ("hard", "easy", "random")


def rank_positions(distance: np.ndarray, rank: str = "hard", *, rng: np.random.Generator) -> np.ndarray:
    """Rank all rows; inside each cluster and across clusters the same order holds.

    Parameters
    ----------
    distance : ndarray of shape (n,), float32
        Cosine distance of each row to its own centroid.
    rank : {"hard", "easy", "random"}
        Hard: far from the centroid first (the paper's choice); easy: near first.
    rng : numpy.random.Generator
        Used by ``random`` only.

    Returns
    -------
    ndarray of shape (n,), int64
        Position of each row, 0 first. Distances equal to six digits tie and end on the row.

    Raises
    ------
    UsageError
        For an unknown rank.
    """
    n = len(distance)
    if rank == "random":
        order = rng.permutation(n)
    elif rank in RANKS:
        rounded = np.round(np.asarray(distance, dtype=np.float64), 6)
        order = np.argsort(-rounded if rank == "hard" else rounded, kind="stable")
    else:
        raise UsageError(f"There is no rank {rank!r}.", f"Use one of {', '.join(RANKS)}.")
    position = np.empty(n, dtype=np.int64)
    position[order] = np.arange(n)
    return position
