"""Is this subset any good? Coverage, redundancy, balance and probes, judged beside random of the same size."""

from __future__ import annotations

from espalier.quality.balance import classes_lost, divergence
from espalier.quality.cover import Coverage, coverage, redundancy
from espalier.quality.judge import Quality, Verdict, judge
from espalier.quality.knn import knn_accuracy
from espalier.quality.logistic import Probe, logistic_probe
from espalier.quality.measure import measure
from espalier.quality.protocol import Protocol, train_and_test
from espalier.quality.split import holdout

__all__ = [
    "Coverage",
    "Probe",
    "Protocol",
    "Quality",
    "Verdict",
    "classes_lost",
    "coverage",
    "divergence",
    "holdout",
    "judge",
    "knn_accuracy",
    "logistic_probe",
    "measure",
    "redundancy",
    "train_and_test",
]
