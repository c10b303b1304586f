"""The step that all methods share: order the samples of each group, keep the first so many of each.

Ties in score end on the row index, which is the order of sample_id. Sorting replaces every loop over samples.
"""

from __future__ import annotations

import numpy as np

from espalier.core.prune.base import Labels, Selection


def rank_in_groups(score: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return each sample's 1-based place in its group, greatest score first, ties by row: (n,) int64."""
    n = len(score)
    order = np.lexsort((-score, group))
    sorted_group = group[order]
    first = np.flatnonzero(np.r_[True, sorted_group[1:] != sorted_group[:-1]]) if n else np.empty(0, np.int64)
    rank = np.empty(n, np.int64)
    rank[order] = np.arange(1, n + 1) - np.repeat(first, np.diff(np.r_[first, n]))
    return rank


def keep_first(
    score: np.ndarray,
    group: np.ndarray,
    quota: np.ndarray,
    *,
    group_word: str = "",
    order_word: str = "drawn",
    group_names: tuple[str, ...] = (),
) -> Selection:
    """Keep the ``quota[g]`` samples of greatest score in each group g, which has at least as many."""
    rank = rank_in_groups(score, group)
    kept = rank <= quota[group]
    if kept.sum() != quota.sum():
        raise ValueError("a quota asks for more than its group has")
    return Selection(
        kept=kept,
        score=score.astype(np.float64, copy=False),
        group=group.astype(np.int32, copy=False),
        rank=rank,
        quota=quota.astype(np.int64, copy=False),
        group_word=group_word,
        order_word=order_word,
        group_names=group_names,
    )


def label_groups(labels: Labels) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Put each sample into the group of its rarest label; those without one share the last group, ``(no label)``.

    Returns the groups, (n,) int32, their sizes and their names.
    """
    group = labels.rarest()
    names = labels.names
    if (group < 0).any():
        group = np.where(group < 0, len(names), group).astype(np.int32)
        names = (*names, "(no label)")
    return group, np.bincount(group, minlength=len(names)), names
