"""Samples that must stay whatever the method says, and the room that is made for them.

Two reasons to stay: a human verdict, and a label that would fall below ``min_per_class``. The count does not
change: those that must stay come first in their group, and the last of a group give way. Nothing here
prunes by itself.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from espalier.core.errors import EspalierError
from espalier.core.prune.base import Labels, Rule, Selection
from espalier.core.quota import projected


def protect_labels(selection: Selection, labels: Labels, least: int, pinned: np.ndarray) -> np.ndarray:
    """Choose which samples to hold on to so that every label keeps at least ``least`` (or all it has): (n,) bool.

    Of each label those that the method likes best; labels are served from the rarest to the commonest, and a sample
    with several labels counts for each of them. Those ``pinned`` stay anyway, and count.
    """
    quota = selection.quota[selection.group]
    place = selection.rank / np.where(quota > 0, quota, 0.5)  # at most 1 where the method keeps
    sample = np.repeat(np.arange(len(place)), np.diff(labels.indptr))
    order = np.lexsort((sample, place[sample], labels.codes))
    liked = sample[order]
    size = np.bincount(labels.codes, minlength=len(labels.names))
    start = np.cumsum(size) - size
    held = pinned.copy()
    for label in np.argsort(size, kind="stable"):
        members = liked[start[label] : start[label] + size[label]]
        missing = min(least, len(members)) - int(held[members].sum())
        if missing > 0:
            held[members[~held[members]][:missing]] = True
    return held


def make_room(selection: Selection, pinned: np.ndarray, held: np.ndarray) -> Selection:
    """Keep ``held`` samples too, those ``pinned`` by verdict among them, at the cost of the last of the groups.

    The count stays; score, group, rank and quota too. ``kept`` and ``rule`` say what changed.
    """
    was, group = selection.kept, selection.group
    size = np.bincount(group, minlength=len(selection.quota))
    floor = np.bincount(group[held], minlength=len(size))
    quota = projected(selection.quota, int(was.sum()), floor, size)
    order = np.lexsort((selection.rank, ~held, group))
    position = np.empty(len(group), np.int64)
    position[order] = np.arange(len(group)) - np.repeat(np.cumsum(size) - size, size)
    kept = position < quota[group]
    rule = np.full(len(kept), Rule.METHOD, np.uint8)
    rule[held & ~was] = Rule.CLASS
    rule[was & ~kept] = Rule.DISPLACED
    rule[pinned] = Rule.PINNED
    return dataclasses.replace(selection, kept=kept, rule=rule)


def check_room(held: np.ndarray, pinned: np.ndarray, least: int, target: int) -> None:
    """Refuse when more must stay than the target allows, saying what asks for how many."""
    if pinned.sum() > target:
        raise EspalierError(
            f"{pinned.sum()} samples are to be kept by verdict, more than the {target} that the recipe keeps.",
            f"Keep at least n{pinned.sum()}, or take some verdicts back.",
        )
    if held.sum() > target:
        raise EspalierError(
            f"min_per_class={least} needs {held.sum()} samples, more than the {target} that the recipe keeps.",
            f"Keep at least n{held.sum()}, or lower min_per_class.",
        )
