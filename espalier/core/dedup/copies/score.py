"""How surely two aligned pictures are one: the correlation of their gradients' directions, less its uncertainty.

In the frame of the coarser of the two, where sampling loses least, each pixel's gradient is divided by its strength
plus 0.01, so that every edge counts by its direction and flat ground hardly at all. The correlation r of these over
the overlap is lowered in two ways. First to a lower bound, by Fisher's transform, that depends on how many pixels
carry it: two silhouettes on white have few. Second by how much the map rotates or shears: cropping, scaling and
squeezing do neither, so pictures that need it must be the more alike. Not here: alignment, thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from espalier.core.dedup.copies.affine import determinant, exchanged
from espalier.core.dedup.copies.align import gradients
from espalier.core.dedup.copies.warp import INSIDE, framed, warp

SOFTENING = 0.01  # gradients (intensities 0..1 a pixel) below this are noise
INDEPENDENT = 8.0  # neighbouring pixels that say the same
DEVIATIONS = 1.5  # below the correlation lies the bound
SKEW_COST = 0.5
_MOST = 0.9999


@dataclass(frozen=True)
class Scores:
    """Of aligned pairs, all of shape (m,) float32.

    Attributes
    ----------
    similarity : ndarray
        The bound; near 1 for one picture, 0 or less for strangers.
    overlap : ndarray
        Share of the coarser picture (whose frame the comparison uses) that the other covers.
    detail : ndarray
        Pixels' worth of edges that both have in the overlap.
    """

    similarity: np.ndarray
    overlap: np.ndarray
    detail: np.ndarray


def score(first: np.ndarray, second: np.ndarray, maps: np.ndarray) -> Scores:
    """Compare aligned pairs.

    Parameters
    ----------
    first, second : ndarray of shape (b, s, s), uint8
        ``second`` already mirrored where that is asked.
    maps : ndarray of shape (b, 2, 3)
        From ``first`` to ``second``.
    """
    enlarges = determinant(maps) < 1  # second's pixels are the larger ones: it becomes the frame
    turned = np.where(enlarges[:, None, None], exchanged(maps, np.zeros(len(maps), bool)), maps)
    frame = np.where(enlarges[:, None, None], second, first).astype(np.float32) / np.float32(255)
    other = np.where(enlarges[:, None, None], first, second).astype(np.float32) / np.float32(255)
    moved = warp(framed(other), turned)
    inside = moved < INSIDE
    moved *= inside
    counts = inside.copy()  # a gradient at the overlap's border would be one of the border
    counts[:, 1:] &= inside[:, :-1]
    counts[:, :-1] &= inside[:, 1:]
    counts[:, :, 1:] &= inside[:, :, :-1]
    counts[:, :, :-1] &= inside[:, :, 1:]
    x, y, weight = _directions(frame, counts)
    u, v, other_weight = _directions(moved, counts)
    both = np.einsum("byx,byx->b", x, u) + np.einsum("byx,byx->b", y, v)
    power = np.einsum("byx->b", weight) * np.einsum("byx->b", other_weight)
    correlation = both / np.sqrt(power + np.float32(1e-6))
    detail = np.einsum("byx->b", np.sqrt(weight * other_weight))
    deviation = 1 / np.sqrt(np.maximum(detail / INDEPENDENT, 1))
    bound = np.tanh(np.arctanh(np.clip(correlation, -_MOST, _MOST)) - DEVIATIONS * deviation)
    similarity = bound - SKEW_COST * skew(maps)
    return Scores(similarity.astype(np.float32), inside.mean(axis=(1, 2)).astype(np.float32), detail)


def skew(maps: np.ndarray) -> np.ndarray:
    """How much maps rotate and shear, 0 for crops, scaling and squeezes: (b,)."""
    return np.maximum(np.abs(maps[:, 0, 1]), np.abs(maps[:, 1, 0]))


def _directions(pictures: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients divided by their strength, zero where nothing counts, and their squared length."""
    across, down = gradients(pictures)
    squared = across * across + down * down
    share = counts / (np.sqrt(squared) + np.float32(SOFTENING))
    across *= share
    down *= share
    squared *= share
    squared *= share
    return across, down, squared
