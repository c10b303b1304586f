"""Is this subset any good? Coverage, redundancy, balance and probes, judged against random of the same size."""

from __future__ import annotations

from espalier.core.evaluate.codes import classes_lost, divergence
from espalier.core.evaluate.cover import Coverage, coverage, redundancy
from espalier.core.evaluate.evaluation import Evaluation
from espalier.core.evaluate.judge import Quality, Verdict, judge
from espalier.core.evaluate.knn import knn_accuracy
from espalier.core.evaluate.logistic import Probe, logistic_probe
from espalier.core.evaluate.protocol import Protocol, holdout, train_and_test

__all__ = [
    "Coverage",
    "Evaluation",
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
    "redundancy",
    "train_and_test",
]
