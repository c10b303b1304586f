"""A small minimiser: limited-memory BFGS with a preconditioner and a backtracking line search.

Nocedal and Wright, Numerical Optimization (2nd ed.), algorithm 7.4 with H0 given by the caller, steps by
the Armijo rule (3.1, 3.5). Deterministic; knows nothing of probes or data.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_ARMIJO = 1e-4
_SHORTEST = 1e-8
_NOISE = 1e-8  # share of the loss that single-precision products may move it by


@dataclass(frozen=True)
class Minimum:
    """Where the minimiser stopped: the point, its loss, steps taken, and whether the gradient is small."""

    x: np.ndarray
    loss: float
    n_iter: int
    converged: bool


def minimise(
    objective: Callable[[np.ndarray], tuple[float, np.ndarray]],
    start: np.ndarray,
    *,
    precondition: Callable[[np.ndarray], np.ndarray],
    tol: float,
    max_iter: int,
    memory: int = 10,
) -> Minimum:
    """Minimise a smooth convex function.

    Parameters
    ----------
    objective : callable
        Gives the loss and the gradient (float64, of the shape of ``start``) at a point.
    start : ndarray, float64
    precondition : callable
        Applies a positive definite approximation of the inverse Hessian.
    tol : float
        Stop when no entry of the gradient is larger.
    max_iter : int
    memory : int, default 10
        Pairs of steps and gradient changes kept.
    """
    x = start
    loss, gradient = objective(x)
    pairs: deque[tuple[np.ndarray, np.ndarray, float]] = deque(maxlen=memory)
    for step in range(max_iter):
        if np.abs(gradient).max() <= tol:
            return Minimum(x, loss, step, True)
        direction = -_two_loops(gradient, pairs, precondition)
        found = _line_search(objective, x, loss, gradient, direction)
        if found is None:
            if not pairs:
                return Minimum(x, loss, step, False)
            pairs.clear()  # the memory misled; go on from plain steepest descent
            continue
        new, new_loss, new_gradient = found
        s, y = new - x, new_gradient - gradient
        curvature = float(np.vdot(s, y))
        if curvature > 1e-12 * float(np.vdot(y, y)):
            pairs.append((s, y, curvature))
        x, loss, gradient = new, new_loss, new_gradient
    return Minimum(x, loss, max_iter, bool(np.abs(gradient).max() <= tol))


def _two_loops(
    gradient: np.ndarray,
    pairs: deque[tuple[np.ndarray, np.ndarray, float]],
    precondition: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    q = gradient.copy()
    weights = []
    for s, y, curvature in reversed(pairs):
        weights.append(float(np.vdot(s, q)) / curvature)
        q -= weights[-1] * y
    q = precondition(q)
    if pairs:
        s, y, curvature = pairs[-1]
        q *= curvature / float(np.vdot(y, precondition(y)))
    for (s, y, curvature), weight in zip(pairs, reversed(weights), strict=True):
        q += (weight - float(np.vdot(y, q)) / curvature) * s
    return q


def _line_search(
    objective: Callable[[np.ndarray], tuple[float, np.ndarray]],
    x: np.ndarray,
    loss: float,
    gradient: np.ndarray,
    direction: np.ndarray,
) -> tuple[np.ndarray, float, np.ndarray] | None:
    slope = float(np.vdot(direction, gradient))
    step = 1.0
    while slope < 0 and step > _SHORTEST:
        new = x + step * direction
        new_loss, new_gradient = objective(new)
        excess = new_loss - loss - step * slope
        if new_loss <= loss + _ARMIJO * step * slope + _NOISE * abs(loss):
            return new, new_loss, new_gradient
        step = float(np.clip(-slope * step * step / (2 * excess), 0.1 * step, 0.5 * step))
    return None
