"""Which samples a subset's probes train on and which they are tested on: one rule for all comparisons.

Pure masks; nothing is trained here. The rule in full stands in docs/quality.md. Where a dataset has no test or val
subset of its own, a tenth is held out: stratified by (first) label and seeded; a class of one stays in training.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from espalier.core.errors import EspalierError
from espalier.core.evaluate.codes import Codes, first, n_rows, pairs, take
from espalier.core.rng import generator

EVALUATION = ("test", "val")
HELD_OUT, NONE = "held-out tenth", "none"


@dataclass(frozen=True)
class Protocol:
    """Who trains and who tests: two masks, (n,) bool, that do not meet.

    ``train`` are training rows that reach pruning, what subsets are measured among; ``test`` those that the probes are
    tested on, from the ``source`` "test", "val", "held-out tenth", or "none" without labels.
    """

    train: np.ndarray
    test: np.ndarray
    source: str


def train_and_test(
    roles: np.ndarray, reach: np.ndarray, labels: Codes | None, *, seed: int = 0, most: int | None = None
) -> Protocol:
    """Divide the samples of a dataset into those that train and those that test.

    Samples of the subsets test and val never train, whichever of the two is tested on. The whole ``test`` subset tests,
    else the whole ``val``; where neither has a labelled sample, a seeded, stratified tenth of the labelled training
    rows does, and leaves them. A dataset that has no other subsets than test and val is read as if it had none. More
    test rows than ``most`` are thinned by a seeded draw.

    ``roles``, (n,) str, are those of the samples' subsets ("train", "val", "test", or any other name: a training
    subset); ``reach``, (n,) bool, says which samples reach pruning, as test rows need not.
    """
    named = np.isin(roles, EVALUATION)
    if named.all():
        named = np.zeros(len(roles), bool)
        roles = np.full(len(roles), "")
    train = reach & ~named
    nobody = np.zeros(len(roles), bool)
    labelled = nobody.copy()
    if labels is not None:
        labelled[pairs(labels)[0]] = True
    if labels is None or not (labelled & train).any():
        return Protocol(train, nobody, NONE)
    for role in EVALUATION:
        test = roles == role
        if (test & labelled).any():
            return Protocol(train, _thin(test, most, seed), role)
    rows = np.flatnonzero(train)
    test = nobody
    test[rows[holdout(take(labels, rows), seed=seed)]] = True
    if not test.any():
        return Protocol(train, test, NONE)
    return Protocol(train & ~test, _thin(test, most, seed), HELD_OUT)


def _thin(test: np.ndarray, most: int | None, seed: int) -> np.ndarray:
    rows = np.flatnonzero(test)
    if most is None or len(rows) <= most:
        return test
    out = np.zeros(len(test), bool)
    out[generator(seed, "tested").choice(rows, most, replace=False)] = True
    return out


def holdout(codes: Codes, *, share: float = 0.1, seed: int = 0) -> np.ndarray:
    """Draw ``round(share * labelled)`` samples to test on, stratified by the first label code: (n,) bool.

    Each class is within one sample of its share and keeps at least one sample to train on, so fewer are drawn if
    classes of one make up most of the set. Samples without a label are never drawn: nothing could be tested on them.
    """
    if not 0 < share < 1:
        raise EspalierError(f"The held-out share is {share}.", "Give a number between 0 and 1.")
    label = first(codes)
    labelled = np.flatnonzero(label >= 0)
    if not len(labelled):
        return np.zeros(n_rows(codes), bool)
    _, place, size = np.unique(label[labelled], return_inverse=True, return_counts=True)
    draw = generator(seed, "holdout")
    # Within a class the order is random; between classes the remainders' ties fall randomly too, so that
    # many small classes do not always lose the same ones.
    order = np.lexsort((draw.random(len(labelled)), place))
    rank = np.empty(len(labelled), np.int64)
    rank[order] = np.arange(len(labelled)) - np.repeat(np.cumsum(size) - size, size)
    quota = _quota(size, round(share * len(labelled)), draw)
    out = np.zeros(n_rows(codes), bool)
    out[labelled[rank < quota[place]]] = True
    return out


def _quota(size: np.ndarray, target: int, draw: np.random.Generator) -> np.ndarray:
    """Share ``target`` out in proportion to ``size`` by largest remainder, never a whole class."""
    exact = size * (target / size.sum())
    quota = np.minimum(np.floor(exact), size - 1).astype(np.int64)
    room = np.flatnonzero((quota < size - 1) & (quota < np.ceil(exact)))
    missing = min(int(target - quota.sum()), len(room))
    order = np.lexsort((draw.random(len(room)), -(exact - quota)[room]))
    quota[room[order[: max(missing, 0)]]] += 1
    if math.fsum(quota) > target:
        raise AssertionError("more held out than asked")
    return quota
