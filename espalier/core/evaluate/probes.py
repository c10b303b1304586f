"""The probes, how well labels can be told from vectors: logistic regression, and the vote of the nearest neighbours.

What the former minimises is scikit-learn's LogisticRegression objective with C = 1 / l2: the summed cross-entropy plus
l2 / 2 times the squared weights, intercepts free. The way down is scipy's L-BFGS-B in coordinates in which Boehning's
bound of the Hessian (1992, "Multinomial logistic regression algorithm", a fixed matrix made of X'X) is the unit matrix;
that takes some 40 steps where the plain coordinates take 150. Products run in float32 on the vectors as they lie,
blocked over samples; sums are kept in float64. The neighbours are exact, O(n_train * n_test * dim) in BLAS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from espalier.core.errors import EspalierError
from espalier.core.evaluate.codes import Codes, n_rows, pairs
from espalier.core.linalg import as_unit_rows
from espalier.core.search.cosine import Cosine

_BLOCK = 16384  # samples a product
_TESTED = 1024  # test samples whose neighbours are sought at a time
_BOUND = 0.2  # share of 1 / n_classes taken for p (1 - p) in the first Hessian; 0.01 to 1 differ by 15 %


@dataclass(frozen=True)
class Probe:
    """A fitted probe and how well it does.

    ``accuracy`` is the share of the ``n_test`` labelled test samples whose predicted class is one of their labels (NaN
    without any), ``loss`` the minimised objective. The weights, (dim, n_classes) float64, are for vectors that were
    centred and scaled as ``center`` and ``scale`` say; ``classes`` are the label codes seen in training, ascending.
    ``converged``: the mean gradient fell below ``tol``.
    """

    accuracy: float
    loss: float
    weights: np.ndarray
    intercepts: np.ndarray
    classes: np.ndarray
    center: np.ndarray
    scale: float
    n_iter: int
    converged: bool
    n_train: int
    n_test: int

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the label code predicted for each row of ``x``: (n,) int64; ties go to the lower code."""
        weights = self.weights / self.scale
        offset = self.intercepts - self.center @ weights
        out = np.empty(len(x), np.int64)
        for start in range(0, len(x), _BLOCK):
            z = x[start : start + _BLOCK] @ weights.astype(np.float32) + offset
            out[start : start + _BLOCK] = z.argmax(axis=1)
        return self.classes[out]


def logistic_probe(
    train_x: np.ndarray,
    train_y: Codes,
    test_x: np.ndarray,
    test_y: Codes,
    *,
    l2: float = 0.1,
    rescale: bool = True,
    tol: float = 1e-5,
    max_iter: int = 300,
) -> Probe:
    """Train a multinomial logistic regression on one set of vectors and test it on another.

    Parameters
    ----------
    train_x, test_x : ndarray of shape (n, dim), float32
    train_y, test_y : ndarray of shape (n,), int, or compressed rows
        Label codes; negative means none, and such samples are left out. A training sample with m labels
        counts as 1 / m of each; a test sample is right when its prediction is any of its labels.
    l2 : float, default 0.1
        Weight of the penalty against the *summed* loss, scikit-learn's 1 / C.
    rescale : bool, default True
        Subtract the training mean and divide by the root mean squared distance from it, so that one ``l2``
        serves every encoder (0.1 was best or within a point of it for 450 to 4,500 samples of 1,280
        dimensions). The training set decides; the test set follows.
    tol : float, default 1e-5
        Stop when no entry of the gradient of the *mean* loss is larger.
    max_iter : int, default 300

    Raises
    ------
    EspalierError
        When no training sample has a label.
    """
    rows, codes = pairs(train_y)
    if not len(rows):
        raise EspalierError("No training sample has a label.", "A probe needs labels.")
    if not l2 > 0:
        raise EspalierError(f"l2 is {l2}.", "Give a number above 0.")
    classes, targets = np.unique(codes, return_inverse=True)
    labelled, position = np.unique(rows, return_inverse=True)
    if len(labelled) < len(train_x):
        train_x = train_x[labelled]
    weight = 1.0 / np.bincount(position)[position]
    center, scale = _center_scale(train_x) if rescale else (np.zeros(train_x.shape[1]), 1.0)
    problem = _Problem(train_x, position, targets, weight, len(classes), center, scale, l2)
    params, loss, n_iter, converged = _minimise(problem, tol * len(train_x), max_iter)
    probe = Probe(
        float("nan"), loss, params[:-1], params[-1], classes, center, scale, n_iter, converged, len(train_x), 0
    )
    accuracy, n_test = score(probe.predict, test_x, test_y)
    return Probe(**{**probe.__dict__, "accuracy": accuracy, "n_test": n_test})


def score(predict: Callable[[np.ndarray], np.ndarray], test_x: np.ndarray, test_y: Codes) -> tuple[float, int]:
    """Return the share of labelled test samples predicted right, and how many there are."""
    rows, codes = pairs(test_y)
    if n_rows(test_y) != len(test_x):
        raise EspalierError(f"{n_rows(test_y)} labels for {len(test_x)} vectors.", "Give one row each.")
    labelled = np.unique(rows)
    if not len(labelled):
        return float("nan"), 0
    guess = np.empty(len(test_x), np.int64)
    guess[labelled] = predict(test_x if len(labelled) == len(test_x) else test_x[labelled])
    return len(np.unique(rows[guess[rows] == codes])) / len(labelled), len(labelled)


def _center_scale(x: np.ndarray) -> tuple[np.ndarray, float]:
    center = x.mean(axis=0, dtype=np.float64)
    total = 0.0
    for start in range(0, len(x), _BLOCK):
        total += float(((x[start : start + _BLOCK] - center) ** 2).sum())
    scale = float(np.sqrt(total / len(x)))
    return center, scale if scale > 1e-6 else 1.0  # all rows alike: nothing to scale


class _Problem:
    """The objective: called with (dim + 1, n_classes) weights, the last row the intercepts."""

    def __init__(
        self,
        x: np.ndarray,
        rows: np.ndarray,
        targets: np.ndarray,
        weight: np.ndarray,
        n_classes: int,
        center: np.ndarray,
        scale: float,
        l2: float,
    ) -> None:
        self.x, self.rows, self.targets, self.weight = x, rows, targets, weight
        self.n_classes, self.center, self.scale, self.l2 = n_classes, center, scale, l2

    def __call__(self, params: np.ndarray) -> tuple[float, np.ndarray]:
        weights = params[:-1] / self.scale
        offset = (params[-1] - self.center @ weights).astype(np.float32)
        weights32 = weights.astype(np.float32)
        loss = self.l2 / 2 * float(np.vdot(params[:-1], params[:-1]))
        into = np.zeros((self.x.shape[1], self.n_classes))
        sums = np.zeros(self.n_classes)
        for start in range(0, len(self.x), _BLOCK):
            block = self.x[start : start + _BLOCK]
            z = block @ weights32
            z += offset
            z -= z.max(axis=1, keepdims=True)
            lo, hi = np.searchsorted(self.rows, [start, start + len(block)])
            rows, targets, weight = self.rows[lo:hi] - start, self.targets[lo:hi], self.weight[lo:hi]
            loss -= float(z[rows, targets] @ weight)
            np.exp(z, out=z)
            total = z.sum(axis=1)
            loss += float(np.log(total).sum(dtype=np.float64))
            z /= total[:, None]
            z[rows, targets] -= weight  # a (row, class) pair comes at most once
            into += block.T @ z
            sums += z.sum(axis=0, dtype=np.float64)
        gradient = np.empty_like(params)
        gradient[:-1] = (into - self.center[:, None] * sums) / self.scale + self.l2 * params[:-1]
        gradient[-1] = sums
        return loss, gradient

    def axes(self) -> np.ndarray:
        """Return A, (dim, dim) float32, with A'(c X'X + l2 I)A = I, c = 0.2 / n_classes."""
        n, dim = self.x.shape
        gram = np.zeros((dim, dim))
        for start in range(0, n, _BLOCK):
            z = ((self.x[start : start + _BLOCK] - self.center) / self.scale).astype(np.float32)
            gram += z.T @ z
        gram *= _BOUND / self.n_classes
        gram.flat[:: dim + 1] += self.l2
        return np.linalg.inv(np.linalg.cholesky(gram.astype(np.float32))).T


def _minimise(problem: _Problem, tol: float, max_iter: int) -> tuple[np.ndarray, float, int, bool]:
    """Return the least point, its loss, the steps taken, and whether no entry of the gradient exceeds ``tol``."""
    try:
        from scipy.optimize import OptimizeResult, minimize
    except ModuleNotFoundError as error:
        raise EspalierError(
            "The logistic probe needs scipy, which is not installed.", 'Run: pip install "espalier[platform]"'
        ) from error
    axes, free = problem.axes(), (_BOUND / problem.n_classes * len(problem.x)) ** -0.5
    shape = len(axes) + 1, problem.n_classes
    steepest = np.inf

    def place(z: np.ndarray) -> np.ndarray:
        z = z.reshape(shape)
        return np.concatenate([axes @ z[:-1].astype(np.float32), free * z[-1:]])

    def objective(z: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal steepest
        loss, gradient = problem(place(z))
        steepest = np.abs(gradient).max()
        return loss, np.concatenate([axes.T @ gradient[:-1].astype(np.float32), free * gradient[-1:]]).ravel()

    def stop(intermediate_result: OptimizeResult) -> None:  # noqa: ARG001 (scipy calls it by this name)
        if steepest <= tol:
            raise StopIteration

    options = {"maxiter": max_iter, "ftol": 0, "gtol": 0}
    best = minimize(objective, np.zeros(shape).ravel(), method="L-BFGS-B", jac=True, callback=stop, options=options)
    return place(best.x), float(best.fun), int(best.nit), bool(steepest <= tol)


def knn_accuracy(train_x: np.ndarray, train_y: Codes, test_x: np.ndarray, test_y: Codes, k: int = 10) -> float:
    """Vote among the k nearest training samples of each test sample, by cosine.

    Parameters
    ----------
    train_x, test_x : ndarray of shape (n, dim), float32
        Unit rows (checked).
    train_y, test_y : ndarray of shape (n,), int, or compressed rows
        Label codes; negative means none, and such samples are left out. A neighbour with m labels gives
        each 1 / m of its vote; a test sample is right when the winner is any of its labels.
    k : int, default 10
        Neighbours asked; all of them when there are fewer. Equal votes go to the class whose neighbours
        are nearer (summed similarity), then to the lower code; equal neighbours go by row.

    Returns
    -------
    float
        In [0, 1]; NaN when no test sample has a label.
    """
    if k < 1:
        raise EspalierError(f"k is {k}.", "Ask for at least 1 neighbour.")
    train_x, test_x = as_unit_rows(train_x, "train_x"), as_unit_rows(test_x, "test_x")
    rows, codes = pairs(train_y)
    if not len(rows):
        raise EspalierError("No training sample has a label.", "A probe needs labels.")
    labelled, position = np.unique(rows, return_inverse=True)
    classes, targets = np.unique(codes, return_inverse=True)
    base = train_x if len(labelled) == len(train_x) else train_x[labelled]
    counts = np.bincount(position)
    starts = np.concatenate([[0], np.cumsum(counts)])

    def predict(x: np.ndarray) -> np.ndarray:
        out = np.empty(len(x), np.int64)
        for start in range(0, len(x), _TESTED):
            block = x[start : start + _TESTED]
            near, distance = Cosine(base).nearest(block, min(k, len(base)))
            several = counts[near.ravel()]
            flat = np.repeat(starts[near.ravel()] - (np.cumsum(several) - several), several)
            voted = targets[flat + np.arange(several.sum())]
            cell = np.repeat(np.repeat(np.arange(len(block)), near.shape[1]), several) * len(classes) + voted
            size = len(block) * len(classes)
            share = np.repeat(1.0 / several, several)
            votes = np.bincount(cell, share, size).reshape(len(block), -1).round(9)
            close = np.bincount(cell, share * np.repeat(2.0 - distance.ravel(), several), size)
            close = np.where(votes == votes.max(axis=1, keepdims=True), close.reshape(votes.shape), -1.0)
            out[start : start + len(block)] = close.argmax(axis=1)
        return classes[out]

    return score(predict, test_x, test_y)[0]
