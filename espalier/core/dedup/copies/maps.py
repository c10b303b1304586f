"""What pictures are aligned on: their thumbnails with light and contrast evened out, over the whole or locally."""

from __future__ import annotations

from functools import cache

import numpy as np

SOFTENING = 0.03  # deviations (of intensities 0..1) below this stay small
REACH = 4.0  # pixels of a thumbnail of 32 over which contrast is evened out


def even(thumbs: np.ndarray) -> np.ndarray:
    """Halve thumbnails and even out each as a whole: (b, s, s) uint8 to (b, s / 2, s / 2) float32."""
    b, side = thumbs.shape[:2]
    small = thumbs.reshape(b, side // 2, 2, side // 2, 2).mean(axis=(2, 4), dtype=np.float32) / np.float32(255)
    small -= small.mean(axis=(1, 2), keepdims=True)
    small /= np.sqrt(np.mean(small * small, axis=(1, 2), keepdims=True)) + np.float32(SOFTENING)
    return small


def locally_even(thumbs: np.ndarray) -> np.ndarray:
    """Even out thumbnails round every pixel: (b, s, s) uint8 to float32 of the same shape."""
    side = thumbs.shape[1]
    grey = thumbs.astype(np.float32) / np.float32(255)
    blur = _gaussian(side, REACH * side / 32)
    grey -= blur @ grey @ blur.T
    spread = blur @ (grey * grey) @ blur.T
    grey /= np.sqrt(np.maximum(spread, 0)) + np.float32(SOFTENING)
    return grey


@cache
def _gaussian(side: int, deviation: float) -> np.ndarray:
    """Make a blur along one side, reflected at its ends: (side, side) float32 with rows that sum to 1."""
    at = np.arange(side)
    reach = int(4 * deviation) + 1
    weights = np.zeros((side, side))
    for step in range(-reach, reach + 1):
        place = (at + step) % (2 * side)
        place = np.where(place < side, place, 2 * side - 1 - place)
        np.add.at(weights, (at, place), np.exp(-0.5 * (step / deviation) ** 2))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
