"""How many clusters when nobody says: the rule behind the option ``k`` at 0."""

from __future__ import annotations

import math

MOST = 500


def auto_k(n: int, n_labels: int = 0) -> int:
    """Choose the number of clusters.

    The number of labels when there are at least two (as ``datum prune`` does); otherwise the square root of
    n / 2, at most 500 (the number that DBP's paper, arXiv 2401.04578, settled on for LAION). Never more than
    ``n``, never less than 1.

    Parameters
    ----------
    n : int
        Rows to be clustered.
    n_labels : int, default 0
        Distinct labels in use; 0 or 1 says nothing about groups, so the rule for unlabelled data holds.
    """
    wanted = n_labels if n_labels >= 2 else min(MOST, round(math.sqrt(n / 2)))
    return max(1, min(wanted, n))
