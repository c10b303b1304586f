"""Is this subset any good? Coverage, redundancy, balance and probes, judged against random of the same size."""

from __future__ import annotations

from espalier.core.evaluate.codes import divergence
from espalier.core.evaluate.cover import coverage, redundancy
from espalier.core.evaluate.evaluation import Evaluation
from espalier.core.evaluate.judge import Quality, judge
from espalier.core.evaluate.probes import knn_accuracy, logistic_probe
from espalier.core.evaluate.protocol import Protocol, holdout, train_and_test

__all__ = [
    "Evaluation",
    "Protocol",
    "Quality",
    "coverage",
    "divergence",
    "holdout",
    "judge",
    "knn_accuracy",
    "logistic_probe",
    "redundancy",
    "train_and_test",
]
