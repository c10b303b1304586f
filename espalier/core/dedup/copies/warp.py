"""Sampling many small pictures at once, each through an affine map: one call of OpenCV's remap for a whole batch."""

from __future__ import annotations

from functools import cache
from types import ModuleType

import numpy as np

OUTSIDE = 1e4  # what lies round a picture; a sample that any of it enters is known by its size
INSIDE = 50.0  # samples below this are of the picture alone


@cache
def centres(side: int) -> np.ndarray:
    """Pixel centres of a side in coordinates from -1 to 1: (side,) float32."""
    return (2 * np.arange(side, dtype=np.float32) + 1) / side - 1


def framed(pictures: np.ndarray) -> np.ndarray:
    """Put a frame of ``OUTSIDE``, one pixel wide, round pictures: (b, s + 2, s + 2) float32."""
    b, side = pictures.shape[:2]
    frames = np.full((b, side + 2, side + 2), OUTSIDE, np.float32)
    frames[:, 1:-1, 1:-1] = pictures
    return frames


def warp(frames: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Sample framed pictures where the maps lead from their pixel grids.

    Parameters
    ----------
    frames : ndarray of shape (b, s + 2, s + 2), float32
        At most 32,766 rows in all, as OpenCV counts.
    maps : ndarray of shape (b, 2, 3)

    Returns
    -------
    ndarray of shape (b, s, s), float32
        Bilinear samples, ``INSIDE`` or more where the map leaves the picture.
    """
    b, tile = frames.shape[:2]
    side = tile - 2
    at = centres(side)
    a = maps.astype(np.float32) * np.float32(side / 2)
    a[:, :, 2] += side / 2 + 0.5
    x = (a[:, 0, 0, None] * at + a[:, 0, 2, None])[:, None, :] + (a[:, 0, 1, None] * at)[:, :, None]
    y = (a[:, 1, 0, None] * at + a[:, 1, 2, None])[:, None, :] + (a[:, 1, 1, None] * at)[:, :, None]
    np.clip(x, 0, tile - 1, out=x)
    np.clip(y, 0, tile - 1, out=y)
    y += (np.arange(b, dtype=np.float32) * tile)[:, None, None]
    cv2 = _opencv()
    samples = cv2.remap(frames.reshape(b * tile, tile), x.reshape(b, -1), y.reshape(b, -1), cv2.INTER_LINEAR)
    return samples.reshape(b, side, side)


@cache
def _opencv() -> ModuleType:
    """Import OpenCV without threads of its own: those that verify are many enough."""
    import cv2

    cv2.setNumThreads(1)
    return cv2
