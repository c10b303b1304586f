"""``reasons``: for every sample, in words, why it was kept or dropped, from the Selection alone.

Built from a text a rank and a text a group, so the work a sample is two additions of strings.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

from espalier.core.prune.base import Rule, Selection
from espalier.core.recipe import Recipe

_TEXT = np.dtypes.StringDType()


def reasons(selection: Selection, recipe: Recipe) -> np.ndarray:
    """Say why each sample was kept or dropped.

    Parameters
    ----------
    selection : Selection
    recipe : Recipe
        Whose selection it is.

    Returns
    -------
    ndarray of shape (n,), numpy.dtypes.StringDType
        For example ``kept: 4th hardest of the 12 kept in cluster 17``,
        ``dropped: 9th hardest in cluster 17, which keeps 5 of 12``.
    """
    n = len(selection.kept)
    rule = np.zeros(n, np.uint8) if selection.rule is None else selection.rule
    out = np.empty(n, _TEXT)
    for known, text in _WITHOUT_RANK.items():
        out[rule == known] = text
    low = np.flatnonzero(rule == Rule.FILTERED)
    if len(low):
        out[low] = _low(selection, low, recipe)
    rows = np.flatnonzero(~np.isin(rule, [*_WITHOUT_RANK, Rule.FILTERED]))
    place, group = _places(selection, rows), selection.group[rows]
    kept_tail, dropped_tail = _tails(selection)
    by_method = rule[rows] == Rule.METHOD
    for kind, tail, chosen in (
        ("kept: ", kept_tail, by_method & selection.kept[rows]),
        ("dropped: ", dropped_tail, by_method & ~selection.kept[rows]),
        (
            f"kept: its label keeps at least {recipe.scope.min_per_class} (min_per_class); ",
            dropped_tail,
            rule[rows] == Rule.CLASS,
        ),
        ("dropped: gave way to a sample that must stay; ", dropped_tail, rule[rows] == Rule.DISPLACED),
    ):
        out[rows[chosen]] = _joined(kind, place[chosen], tail[group[chosen]])
    return out


_WITHOUT_RANK = {
    Rule.WHOLE: "kept: its subset is not pruned",
    Rule.PINNED: "kept: by verdict",
    Rule.BARRED: "dropped: by verdict",
}


def _low(selection: Selection, rows: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Say of filtered rows how low their CLIP score is."""
    assert selection.clip_scores is not None
    scores, codes = np.unique(np.round(selection.clip_scores[rows].astype(np.float64), 3), return_inverse=True)
    least = f"{recipe.scope.min_clip_score:g} (min_clip_score)"
    words = [
        f"dropped: CLIP score {score:.3f}, below {least}"
        if np.isfinite(score)
        else f"dropped: it has no text to score its picture by, and at least {least} is asked"
        for score in scores.tolist()
    ]
    return np.array(words, _TEXT)[codes]


def ordinals(numbers: np.ndarray) -> np.ndarray:
    """Return ``1st``, ``2nd``, ``3rd``, ``4th``, ``11th``, ``21st`` ... for non-negative integers."""
    last, teens = numbers % 10, (numbers // 10) % 10 == 1
    ending = np.where(teens | (last == 0) | (last > 3), 0, last)
    return _joined(numbers.astype(_TEXT), np.array(["th", "st", "nd", "rd"], _TEXT)[ending])


def _joined(*parts: Any) -> np.ndarray:
    return reduce(np.strings.add, parts)


def _places(selection: Selection, rows: np.ndarray) -> np.ndarray:
    """Return each row's place in words: ``4th hardest``, ``drawn 4th``."""
    ranks, inverse = np.unique(selection.rank[rows], return_inverse=True)
    ordinal, word = ordinals(ranks), selection.order_word
    before = word in ("drawn", "picked", "placed")
    places = (_joined(f"{word} ", ordinal) if before else _joined(ordinal, f" {word}"))[inverse]
    if word == "picked":  # nobody picked those, whatever their rank
        places[~selection.kept[rows]] = "never the farthest from those kept"
    return places


def _tails(selection: Selection) -> tuple[np.ndarray, np.ndarray]:
    """Return what follows the place, for each group: when kept, and when dropped."""
    size = np.bincount(selection.group[selection.group >= 0], minlength=len(selection.quota))
    kept, dropped = [], []
    names = selection.group_names or range(len(size))
    for name, quota, members in zip(names, selection.quota.tolist(), size.tolist(), strict=True):
        where = f"{selection.group_word} {name}"
        if not selection.group_word:
            kept.append(f" of the {quota} kept")
            dropped.append(f"; {quota or 'none'} of {members} are kept")
        elif quota == members:
            kept.append(f" in {where}, which keeps all {members}")
            dropped.append(f" in {where}, which keeps all {members}")
        else:
            kept.append(f" of the {quota} kept in {where}")
            dropped.append(f" in {where}, which keeps {quota or 'none'} of {members}")
    return np.array(kept, _TEXT), np.array(dropped, _TEXT)
