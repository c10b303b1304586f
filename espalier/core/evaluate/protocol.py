"""Which samples a subset's probes train on and which they are tested on: one rule for all comparisons.

Pure masks; nothing is trained here. The rule in full stands in docs/quality.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from espalier.core.evaluate.codes import Codes, pairs, take
from espalier.core.evaluate.split import holdout
from espalier.core.rng import generator

EVALUATION = ("test", "val")
HELD_OUT, NONE = "held-out tenth", "none"


@dataclass(frozen=True)
class Protocol:
    """Who trains and who tests.

    Attributes
    ----------
    train : ndarray of shape (n,), bool
        Training rows that reach pruning: what subsets are measured among.
    test : ndarray of shape (n,), bool
        Rows that the probes are tested on; never in ``train``.
    source : str
        Where ``test`` comes from: "test", "val", "held-out tenth", or "none" without labels.
    """

    train: np.ndarray
    test: np.ndarray
    source: str


def train_and_test(
    roles: np.ndarray, reach: np.ndarray, labels: Codes | None, *, seed: int = 0, most: int | None = None
) -> Protocol:
    """Divide the samples of a dataset into those that train and those that test.

    Samples of the subsets test and val never train, whichever of the two is tested on. The whole ``test``
    subset tests, else the whole ``val``; where neither has a labelled sample, a seeded, stratified tenth of the
    labelled training rows does, and leaves them. A dataset that has no other subsets than test and val is
    read as if it had none. More test rows than ``most`` are thinned by a seeded draw.

    Parameters
    ----------
    roles : ndarray of shape (n,), str
        Role of each sample's subset: "train", "val", "test", or any other name (a training subset).
    reach : ndarray of shape (n,), bool
        Which samples reach pruning; test rows need not.
    labels : ndarray of shape (n,), int, or compressed rows, or None
        Label codes.
    seed : int, default 0
        Of the held-out tenth, and of the thinning.
    most : int, optional
        Most rows to test on; all by default.
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
