"""Quotas: a million clusters exactly, and the projection beside a quadratic program solved by OSQP.

    python benchmarks/bench_quota.py        # OSQP is left out, and said so, when it is not installed
    python benchmarks/bench_quota.py --k 2000 --large 1000000

The quadratic program is the one of Density-Based Pruning: least squares to the wish, the sum fixed, bounds on each.
It is stated once with a dense identity, as the released code states it, and once sparsely. OSQP solves it
approximately; its answer is rounded as the released code does, to show by how much the sum is missed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks._measure import peak_mib, timed
from espalier.core.quota import density_quota, largest_remainder, project
from espalier.core.rng import generator


def made_up(k: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Complexities, sizes and a target of 30 %."""
    rng = generator(0, "quota", k)
    size = 1 + rng.geometric(1 / 200, k)
    return rng.uniform(0, 0.4, k), size, int(0.3 * size.sum())


def by_osqp(
    wish: np.ndarray, target: int, lower: np.ndarray, upper: np.ndarray, accuracy: float, dense: bool
) -> np.ndarray:
    import osqp
    from scipy import sparse

    k = len(wish)
    identity = sparse.csc_matrix(np.eye(k)) if dense else sparse.eye(k, format="csc")
    solver = osqp.OSQP()
    solver.setup(
        identity,
        -wish,
        sparse.vstack([np.ones((1, k)), identity], format="csc"),
        np.concatenate([[target], lower]),
        np.concatenate([[target], upper]),
        verbose=False,
        eps_abs=accuracy,
        eps_rel=accuracy,
        max_iter=100_000,
    )
    return solver.solve().x


def best_of(times: int, fn: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    """Call ``fn`` some times, so that imports and other work do not count; the result and the shortest time in ms."""
    runs = [timed(fn) for _ in range(times)]
    return runs[0][0], 1e3 * min(seconds for _, seconds in runs)


def beside_osqp(k: int) -> None:
    complexity, size, target = made_up(k)
    share = np.exp((complexity - complexity.max()) / 0.1)
    wish, lower = target * share / share.sum(), np.minimum(int(0.5 * target / k), size)
    exact, ours = best_of(20, lambda: project(wish, target, lower, size))
    quota, whole = best_of(20, lambda: density_quota(complexity, size, target))
    print(f"k = {k:,}: projection {ours:.2f} ms, whole quota {whole:.2f} ms, sum {quota.sum() - target:+d}")
    if not (find_spec("osqp") and find_spec("scipy")):
        print("OSQP: left out, it is not installed (pip install osqp scipy)")
        return
    for accuracy, dense in ((1e-3, True), (1e-3, False), (1e-6, False)):
        solved, theirs = best_of(
            5, lambda a=accuracy, d=dense: by_osqp(wish, target, lower.astype(float), size.astype(float), a, d)
        )
        outside = max(0.0, np.maximum(lower - solved, solved - size).max())
        stated = "dense" if dense else "sparse"
        print(
            f"OSQP at {accuracy:.0e}, {stated} identity: {theirs:.2f} ms, {theirs / ours:.0f} times the projection's, "
            f"{theirs / whole:.0f} times the whole quota's; rounded sum {np.rint(solved).sum() - target:+.0f}, "
            f"outside the bounds by {outside:.1e}, off the exact point by up to {np.abs(solved - exact).max():.1e}"
        )


def at_large(k: int) -> None:
    complexity, size, target = made_up(k)
    for name, quota in {
        "density": lambda: density_quota(complexity, size, target),
        "by size": lambda: largest_remainder(size, target, 0, size),
        "by weight": lambda: largest_remainder(complexity, target, 1, size),
    }.items():
        found, seconds = timed(quota)
        print(f"k = {k:,}, {name}: {seconds:.2f} s, sum {found.sum() - target:+d}, peak {peak_mib():.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--k", type=int, default=2_000)
    parser.add_argument("--large", type=int, default=1_000_000)
    given = parser.parse_args()
    beside_osqp(given.k)
    at_large(given.large)


if __name__ == "__main__":
    main()
