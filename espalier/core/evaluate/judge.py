"""What is known of a subset's quality in one record, and the verdict against random subsets of its size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from espalier.core.errors import EspalierError

PROBE_FLOOR = 0.015  # on a clean set of 5,000, three seeds differ by that much without meaning
COVERAGE_FLOOR = 0.02  # of random's mean radius
_STANDARD_ERRORS = 2.0


@dataclass(frozen=True)
class Quality:
    """The quality of one subset.

    Attributes
    ----------
    n, n_kept : int
        Samples in the full set and in the subset.
    radius_max, radius_mean : float
        Largest and mean cosine distance of a dropped sample to its nearest kept one.
    n_dropped, n_measured : int
        Dropped samples, and how many of them the radii were measured on.
    redundancy : float or None
        Mean cosine similarity of a kept sample to its nearest other kept one; None below two samples.
    label_divergence, cluster_divergence : float or None
        Jensen-Shannon divergence (base 2) from the full set's mix; None without labels or clusters.
    classes_lost : tuple of int
        Label codes that the full set has and the subset has not.
    knn_accuracy, probe_accuracy : float or None
        Trained on the subset, tested on held-out samples; None where that is impossible.
    n_train, n_test : int
        Labelled samples that the probes trained and tested on.
    """

    n: int
    n_kept: int
    radius_max: float
    radius_mean: float
    n_dropped: int
    n_measured: int
    redundancy: float | None = None
    label_divergence: float | None = None
    cluster_divergence: float | None = None
    classes_lost: tuple[int, ...] = ()
    knn_accuracy: float | None = None
    probe_accuracy: float | None = None
    n_train: int = 0
    n_test: int = 0


@dataclass(frozen=True)
class Verdict:
    """How a recipe stands against random subsets of its size, in ``words`` for a person and in numbers.

    ``beats`` is True only if the ``difference``, positive when better than random whatever the metric's direction,
    exceeds the ``margin``. The metric is ``"probe_accuracy"`` where all records have it, else ``"radius_mean"``: of the
    recipe its mean over its records, of random mean and deviation (with n - 1; 0.0 for one).
    """

    words: str
    beats: bool
    metric: str
    recipe: float
    random_mean: float
    random_std: float
    difference: float
    margin: float
    n_random: int


def judge(recipe: Quality | Sequence[Quality], randoms: Sequence[Quality]) -> Verdict:
    """Say whether a recipe beats random at its size.

    The rule: on logistic-probe accuracy, where all records have one, a recipe beats random if its mean is
    above random's by more than two standard errors of the difference and by more than 1.5 points; without
    labels, if its mean coverage radius is below random's by more than two standard errors and by more than
    2 % of it. The standard error is random's deviation over its seeds times sqrt(1/m + 1/r), for m records
    of random and r of the recipe; it reads random's deviation as the recipe's too. With a single random
    record the deviation is unknown and the fixed floor alone decides, which the words say.

    Parameters
    ----------
    recipe : Quality or sequence of Quality
        One record, or one a seed.
    randoms : sequence of Quality
        Random subsets of the same size, one a seed.

    Raises
    ------
    EspalierError
        When there is no random record, or the sizes differ.
    """
    mine = [recipe] if isinstance(recipe, Quality) else list(recipe)
    if not mine or not randoms:
        raise EspalierError("There is nothing to compare.", "Measure the recipe and random at its size.")
    sizes = {(q.n, q.n_kept) for q in [*mine, *randoms]}
    if len(sizes) > 1:
        raise EspalierError(f"Subsets of different sizes were compared: {sorted(sizes)}.", "Judge at equal size.")
    probed = all(q.probe_accuracy is not None for q in [*mine, *randoms])
    metric = "probe_accuracy" if probed else "radius_mean"
    ours = float(np.mean([getattr(q, metric) for q in mine]))
    theirs = np.array([getattr(q, metric) for q in randoms], dtype=np.float64)
    mean, std = float(theirs.mean()), float(theirs.std(ddof=1)) if len(theirs) > 1 else 0.0
    error = _STANDARD_ERRORS * std * math.sqrt(1 / len(theirs) + 1 / len(mine))
    margin = max(error, PROBE_FLOOR if probed else COVERAGE_FLOOR * mean)
    difference = ours - mean if probed else mean - ours
    words = _words(difference, margin, mean, probed)
    if len(theirs) == 1:
        words += "; random was drawn once, so its deviation is unknown"
    return Verdict(words, difference > margin, metric, ours, mean, std, difference, margin, len(theirs))


def _words(difference: float, margin: float, mean: float, probed: bool) -> str:
    if probed:
        size, need = f"{abs(difference) * 100:.1f} points of probe accuracy", f"{margin * 100:.1f}"
    else:
        unit = mean or 1.0
        size, need = f"{abs(difference) / unit:.1%} of mean coverage radius", f"{margin / unit:.1%}"
    if difference > margin:
        return f"beats random by {size} (more than {need})"
    if difference < -margin:
        return f"worse than random by {size}"
    return f"does not beat random: {'+' if difference >= 0 else '-'}{size}, within {need}"
