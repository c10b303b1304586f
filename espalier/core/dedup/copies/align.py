"""Affine alignment of many pairs of small pictures at once.

Gauss-Newton in its inverse compositional form (Baker and Matthews, 2004) with a gain for each pair: the derivative is
taken of one picture only, once; each round samples the other picture, compares and corrects the map. All pairs of a
batch take a round together, so that a round of a pair of 32 x 32 costs 17 microseconds; OpenCV's ``findTransformECC``
takes 10 milliseconds a pair. Not here: what is aligned (``copies.maps``), and how alike the aligned are.
"""

from __future__ import annotations

import numpy as np

from espalier.core.dedup.copies.affine import compose, invert
from espalier.core.dedup.copies.warp import INSIDE, centres, framed, warp

BATCH = 64  # pairs: their arrays stay in the cache
LEAST_OVERLAP = 0.3
_DAMPING = 0.015
_REFRESH = 3  # rounds for which the second derivatives are kept
_STEP = 0.25  # the most that a number of the map changes in a round
_TINY = 1e-6


def align(templates: np.ndarray, pictures: np.ndarray, start: np.ndarray, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Find for each pair the map from the template to the picture.

    Parameters
    ----------
    templates, pictures : ndarray of shape (b, s, s), float32
        Zero mean round about everywhere, as ``copies.maps`` gives them; at most ``BATCH`` at a time are best.
    start : ndarray of shape (b, 2, 3), float64
    rounds : int

    Returns
    -------
    maps : ndarray of shape (b, 2, 3), float64
        The best that was met.
    correlation : ndarray of shape (b,), float32
        Of the two where they overlap; -1 where they never overlapped by ``LEAST_OVERLAP``.
    """
    b = len(templates)
    fixed = templates.reshape(b, -1)
    slopes = _slopes(templates)
    frames = framed(pictures)
    maps, best, correlation = start.copy(), start.copy(), np.full(b, -1, np.float32)
    inverse = np.empty((b, 6, 6))
    for turn in range(rounds + 1):
        moved = warp(frames, maps).reshape(b, -1)
        inside = (moved < INSIDE).astype(np.float32)
        moved *= inside
        count = inside.sum(axis=1) + np.float32(_TINY)
        moved -= (moved.sum(axis=1) / count)[:, None]
        moved *= inside
        seen = fixed - (np.einsum("bk,bk->b", fixed, inside) / count)[:, None]
        seen *= inside
        own = np.einsum("bk,bk->b", seen, seen) + np.float32(_TINY)
        other = np.einsum("bk,bk->b", moved, moved) + np.float32(_TINY)
        both = np.einsum("bk,bk->b", seen, moved)
        likeness = both / np.sqrt(own * other)
        better = (likeness > correlation) & (count >= LEAST_OVERLAP * fixed.shape[1])
        correlation[better], best[better] = likeness[better], maps[better]
        if turn == rounds:
            break
        if turn % _REFRESH == 0:
            inverse = _inverse(slopes, inside)
        moved *= (own / np.maximum(both, np.float32(0.1) * own))[:, None]
        moved -= seen
        step = inverse @ np.matmul(slopes, moved[:, :, None]).astype(np.float64)
        step = np.clip(step.reshape(b, 2, 3), -_STEP, _STEP)
        step[:, 0, 0] += 1
        step[:, 1, 1] += 1
        maps = compose(maps, invert(step))
    return best, correlation


def gradients(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Central differences a pixel, one-sided at the border: across and down, each of the pictures' shape."""
    across, down = np.empty_like(pictures), np.empty_like(pictures)
    np.subtract(pictures[:, :, 2:], pictures[:, :, :-2], out=across[:, :, 1:-1])
    across[:, :, 1:-1] *= np.float32(0.5)
    across[:, :, 0] = pictures[:, :, 1] - pictures[:, :, 0]
    across[:, :, -1] = pictures[:, :, -1] - pictures[:, :, -2]
    np.subtract(pictures[:, 2:], pictures[:, :-2], out=down[:, 1:-1])
    down[:, 1:-1] *= np.float32(0.5)
    down[:, 0] = pictures[:, 1] - pictures[:, 0]
    down[:, -1] = pictures[:, -1] - pictures[:, -2]
    return across, down


def _slopes(templates: np.ndarray) -> np.ndarray:
    """Change of every pixel with every number of the map: (b, 6, s * s) float32."""
    b, side = templates.shape[:2]
    at = centres(side)
    slopes = np.empty((b, 6, side, side), np.float32)
    for first, gradient in zip((0, 3), gradients(templates), strict=True):
        np.multiply(gradient, np.float32(side / 2), out=slopes[:, first + 2])
        np.multiply(slopes[:, first + 2], at, out=slopes[:, first])
        np.multiply(slopes[:, first + 2], at[:, None], out=slopes[:, first + 1])
    return slopes.reshape(b, 6, -1)


def _inverse(slopes: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Inverse of the damped second derivatives: (b, 6, 6) float64."""
    second = ((slopes * inside[:, None]) @ slopes.transpose(0, 2, 1)).astype(np.float64)
    damping = _DAMPING * np.trace(second, axis1=1, axis2=2) / 6 + _TINY
    return np.linalg.inv(second + damping[:, None, None] * np.eye(6))
