"""``kcenter``: greedy k-center, every sample kept is the farthest from those kept before.

Whence: Gonzalez 1985, the farthest-first traversal (coverage radius at most twice the optimum); as a core-set:
Sener and Savarese 2018 (arXiv 1708.00489). The picks are those of the plain algorithm, found lazily and in
blocks: a distance can only shrink as more are picked, so an old one is an upper bound, and only the samples
whose bound reaches the top are brought up to date, many by one matrix product. Vectors are rounded to whole
4000ths, so that every product is exact in float32: the picks depend on no thread, block or processor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from espalier.core.prune.base import Features, Method, Selection
from espalier.core.prune.scope import Scope

BLOCK = 512  # candidates brought up to date together
SCALE = 4000.0  # products of unit vectors times this stay under 2**24, where float32 counts exactly
_TOGETHER = 128
_PICKS_AT_ONCE = 8192
_PICKED, _LEFT_OUT = -1, -2
_UNKNOWN = np.iinfo(np.int32).max  # no distance: rounded rows that are opposite can be farther apart than 2 * SCALE


@dataclass(frozen=True)
class KCenter(Method):
    """Keep the sample nearest to the mean, then again and again the one farthest from all kept."""

    name: ClassVar[str] = "kcenter"
    summary: ClassVar[str] = "greedy k-center: each pick is the farthest from those before; best coverage"
    needs: ClassVar[frozenset[str]] = frozenset({"vectors"})
    accepts: ClassVar[frozenset[str]] = frozenset({"subsets", "min_per_class", "min_clip_score", "space"})

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
            score=np.minimum(score, 2.0),
            group=np.zeros(features.n, np.int32),
            rank=rank,
            quota=np.array([target], np.int64),
            order_word="picked",
        )


def farthest_first(vectors: np.ndarray, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Traverse unit vectors farthest first, beginning nearest to the mean; ties to the lower row.

    Returns the rows picked in their order, (target,) int64; the cosine distance of each to those before it, to about
    1e-4, so perhaps a little above 2, and 2 for the first; and of every row to the nearest pick, or a bound above it
    for rows never looked at again, (n,) float64. Longer rows would make products inexact, so unit length is checked.
    """
    from espalier.core.linalg import as_unit_rows  # the methods are listed without the clustering

    vectors = as_unit_rows(vectors)
    n, dim = vectors.shape
    picks, gain = np.empty(target, np.int64), np.full(target, 2.0)
    if target == 0:
        return picks, gain, np.full(n, 2.0)
    picked = np.empty((target, dim), np.float32)
    picks[0] = _nearest_to_mean(vectors)
    picked[0] = _whole(vectors[picks[0]])
    bound = np.full(n, _UNKNOWN, np.int32)  # squared distances in units of 1 / SCALE**2
    seen = np.zeros(n, np.int64)  # bound[i] is exact for the first seen[i] picks
    bound[picks[0]] = _PICKED
    _refresh(bound, seen, np.arange(n), vectors, picked[:1])
    done = 1
    while done < target:
        rows, outside, outside_row = _top(bound, BLOCK)
        _refresh(bound, seen, rows, vectors, picked[:done])
        block, near = _whole(vectors[rows]), bound[rows]
        norms = _squares(block)
        while done < target:
            best = int(np.argmax(near))
            if near[best] < outside or (near[best] == outside and rows[best] > outside_row):
                break
            picks[done], gain[done], picked[done] = rows[best], near[best] / (2 * SCALE**2), block[best]
            done += 1
            # einsum, because so small a product by BLAS costs more in waking its threads than in work
            products = np.einsum("ij,j->i", block, block[best]).astype(np.int32)
            np.minimum(near, norms + norms[best] - 2 * products, out=near)
            near[best] = _PICKED
        bound[rows], seen[rows] = near, done
    return picks, gain, np.maximum(bound, 0) / (2 * SCALE**2)


def _nearest_to_mean(vectors: np.ndarray) -> int:
    """Return the row of the greatest product with the mean, in double precision, row by row."""
    mean = np.mean(vectors, axis=0, dtype=np.float64)
    blocks = (vectors[start : start + BLOCK].astype(np.float64) for start in range(0, len(vectors), BLOCK))
    return int(np.argmax(np.concatenate([np.einsum("ij,j->i", block, mean) for block in blocks])))


def _whole(vectors: np.ndarray) -> np.ndarray:
    """Return the vectors in whole units of 1 / SCALE, as float32."""
    return np.rint(vectors * np.float32(SCALE))


def _squares(whole: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", whole, whole).astype(np.int32)


def _top(bound: np.ndarray, size: int) -> tuple[np.ndarray, int, int]:
    """Return the rows of the greatest bounds, ascending, and the greatest bound left out with its row."""
    if len(bound) <= size:
        return np.arange(len(bound)), _LEFT_OUT, len(bound)
    edge = np.partition(bound, len(bound) - size)[len(bound) - size]
    inside = bound > edge
    ties = np.flatnonzero(bound == edge)
    inside[ties[: size - int(inside.sum())]] = True
    left = np.where(inside, _LEFT_OUT, bound)
    row = int(np.argmax(left))
    return np.flatnonzero(inside), int(left[row]), row


def _refresh(bound: np.ndarray, seen: np.ndarray, rows: np.ndarray, vectors: np.ndarray, picked: np.ndarray) -> None:
    """Bring the bounds of ``rows`` up to date with ``picked``, in place; those equally far behind together."""
    behind = rows[(seen[rows] < len(picked)) & (bound[rows] >= 0)]
    behind = behind[np.argsort(seen[behind], kind="stable")]
    for start in range(0, len(behind), _TOGETHER):
        some = behind[start : start + _TOGETHER]
        whole = _whole(vectors[some])
        norms = _squares(whole)
        for first in range(int(seen[some].min()), len(picked), _PICKS_AT_ONCE):
            new = picked[first : first + _PICKS_AT_ONCE]
            apart = (_squares(new) - 2 * (whole @ new.T).astype(np.int32)).min(axis=1)
            bound[some] = np.minimum(bound[some], norms + apart)
        seen[some] = len(picked)
