"""``kcenter``: greedy k-center, every sample kept is the farthest from those kept before.

Whence: Gonzalez 1985, the farthest-first traversal (coverage radius at most twice the optimum); as a core-set:
Sener and Savarese 2018 (arXiv 1708.00489). The picks are those of the plain algorithm, found lazily and in
blocks: a distance can only shrink as more are picked, so an old one is an upper bound, and only the samples
whose bound reaches the top are brought up to date, by one matrix product for many.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from espalier.prune.base import Features, Method, Selection

if TYPE_CHECKING:
    from espalier.recipe import Scope

BLOCK = 1024  # candidates brought up to date together: 512 to 4,096 are within a tenth of each other
_TOGETHER = 128
_PICKS_AT_ONCE = 8192
_PICKED, _LEFT_OUT = -1.0, -2.0
_SAME = 1e-6  # float32 rounding of a dot product of unit vectors


@dataclass(frozen=True)
class KCenter(Method):
    """Keep the sample nearest to the mean, then again and again the one farthest from all kept."""

    name: ClassVar[str] = "kcenter"
    summary: ClassVar[str] = "greedy k-center: each pick is the farthest from those before; best coverage"
    accepts: ClassVar[frozenset[str]] = frozenset({"subsets", "min_per_class", "space"})

    @property
    def needs(self) -> frozenset[str]:
        """The embeddings."""
        return frozenset({"vectors"})

    def draws(self, scope: Scope) -> bool:  # noqa: ARG002
        """Nothing is drawn."""
        return False

    def __call__(self, features: Features, *, target: int, rng: np.random.Generator) -> Selection:  # noqa: ARG002
        """Traverse farthest first; what is not picked is ranked by its distance to the picks."""
        self.check(features, target)
        assert features.vectors is not None
        picks, gain, rest = farthest_first(features.vectors, target)
        score = rest.astype(np.float64)
        score[picks] = gain
        kept = np.zeros(features.n, bool)
        kept[picks] = True
        left = np.flatnonzero(~kept)
        rank = np.empty(features.n, np.int64)
        rank[picks] = np.arange(1, target + 1)
        rank[left[np.argsort(-rest[left], kind="stable")]] = np.arange(target + 1, features.n + 1)
        return Selection(
            kept=kept,
            score=score,
            group=np.zeros(features.n, np.int32),
            rank=rank,
            quota=np.array([target], np.int64),
            order_word="farthest",
        )


def farthest_first(vectors: np.ndarray, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Traverse unit vectors farthest first, beginning nearest to the mean; ties to the lower row.

    Parameters
    ----------
    vectors : ndarray of shape (n, d), float32
        Unit rows.
    target : int
        How many to pick, at most n.

    Returns
    -------
    picks : ndarray of shape (target,), int64
        Rows in the order of picking.
    gain : ndarray of shape (target,), float32
        Cosine distance of each pick to those before it; 2 for the first.
    rest : ndarray of shape (n,), float32
        Cosine distance of each row to the nearest pick, or a bound above it for rows never looked at again.
    """
    n = len(vectors)
    picks, gain = np.empty(target, np.int64), np.full(target, 2.0, np.float32)
    bound = np.full(n, 2.0, np.float32)
    if target == 0:
        return picks, gain, bound
    picks[0] = np.argmax(vectors @ vectors.mean(axis=0, dtype=np.float64).astype(np.float32))
    bound = _distance(vectors, vectors[picks[0]])
    bound[picks[0]] = _PICKED
    seen = np.ones(n, np.int64)  # bound[i] is exact for the first seen[i] picks
    done = 1
    while done < target:
        rows, outside, outside_row = _top(bound, BLOCK)
        _refresh(bound, seen, rows, vectors, picks[:done])
        block, near = vectors[rows], bound[rows]
        while done < target:
            best = int(np.argmax(near))
            if near[best] < outside or (near[best] == outside and rows[best] > outside_row):
                break
            picks[done], gain[done] = rows[best], near[best]
            done += 1
            np.minimum(near, _distance(block, block[best]), out=near)
            near[best] = _PICKED
        bound[rows], seen[rows] = near, done
    return picks, gain, np.maximum(bound, 0)


def _distance(vectors: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return cosine distances; what is nought but for rounding is nought, so that copies tie."""
    distance = 1 - vectors @ others.T
    distance[distance < _SAME] = 0
    return distance


def _top(bound: np.ndarray, size: int) -> tuple[np.ndarray, float, int]:
    """Return the rows of the greatest bounds, ascending, and the greatest bound left out with its row."""
    if len(bound) <= size:
        return np.arange(len(bound)), -np.inf, len(bound)
    edge = np.partition(bound, len(bound) - size)[len(bound) - size]
    inside = bound > edge
    ties = np.flatnonzero(bound == edge)
    inside[ties[: size - int(inside.sum())]] = True
    left = np.where(inside, _LEFT_OUT, bound)
    row = int(np.argmax(left))
    return np.flatnonzero(inside), float(left[row]), row


def _refresh(bound: np.ndarray, seen: np.ndarray, rows: np.ndarray, vectors: np.ndarray, picks: np.ndarray) -> None:
    """Bring the bounds of ``rows`` up to date with ``picks``, in place; those equally far behind together."""
    behind = rows[(seen[rows] < len(picks)) & (bound[rows] >= 0)]
    behind = behind[np.argsort(seen[behind], kind="stable")]
    for start in range(0, len(behind), _TOGETHER):
        some = behind[start : start + _TOGETHER]
        for first in range(int(seen[some].min()), len(picks), _PICKS_AT_ONCE):
            new = vectors[picks[first : first + _PICKS_AT_ONCE]]
            bound[some] = np.minimum(bound[some], _distance(vectors[some], new).min(axis=1))
        seen[some] = len(picks)
