"""A descriptor of layout that forgives shifts, squeezes and recolouring: oriented gradients in coarse cells.

From a grey thumbnail of 32 x 32: the gradient of every pixel, divided by the mean strength round it, split into eight
directions, summed in 3 x 3 and 5 x 5 cells that overlap like tents; square roots, each cell minus its mean, unit norm.
The same is taken of windows of the picture (its middle and its corners), so that a crop meets the part of the
original that it shows and a framed picture the original. Mirroring only permutes the numbers.
Not here: whitening (``copies.whiten``), the search (``copies.propose``).
"""

from __future__ import annotations

from functools import cache

import numpy as np

SIDE = 32
DIRECTIONS = 8
CELLS = (3, 5)
LENGTH = DIRECTIONS * sum(c * c for c in CELLS)
SOFTENING = 0.02  # gradients (intensities 0..1 a pixel) below this count by their strength
_ROUND = 8  # the strength round a pixel is that of its cell of 8 x 8 such, interpolated
_BLOCK = 64

FULL = (1.0, 1.0, 0.0, 0.0)
"""A window: half width, half height, and centre, in coordinates from -1 to 1."""

INNER = 0.78
WINDOWS = (
    FULL,
    (INNER, INNER, 0.0, 0.0),
    *((INNER, INNER, x * (1 - INNER), y * (1 - INNER)) for y in (-1, 1) for x in (-1, 1)),
)


def descriptors(thumbs: np.ndarray, windows: tuple[tuple[float, float, float, float], ...] = (FULL,)) -> np.ndarray:
    """Describe pictures.

    Parameters
    ----------
    thumbs : ndarray of shape (n, 32, 32), uint8
    windows : tuple of windows, default the whole picture

    Returns
    -------
    ndarray of shape (n, len(windows), 272), float32
        Each of norm 1; zeros for a picture without gradients.
    """
    pool = _pool(windows)
    out = np.empty((len(thumbs), len(windows), LENGTH), np.float32)
    for start in range(0, len(thumbs), _BLOCK):
        part = directions(thumbs[start : start + _BLOCK])
        sums = (part.reshape(-1, SIDE * SIDE) @ pool.T).reshape(len(part), DIRECTIONS, len(windows), -1)
        cells = np.sqrt(np.maximum(sums, 0).transpose(0, 2, 3, 1))  # b, windows, cells, directions
        cells -= cells.mean(axis=3, keepdims=True)
        at = 0
        for c in CELLS:  # each grid of cells weighs the same
            grid = cells[:, :, at : at + c * c]
            grid /= np.sqrt(np.einsum("bwcd,bwcd->bw", grid, grid) * len(CELLS) + 1e-12)[:, :, None, None]
            at += c * c
        out[start : start + _BLOCK] = cells.reshape(len(part), len(windows), LENGTH)
    return out


def mirror(described: np.ndarray) -> np.ndarray:
    """Describe the same pictures mirrored left to right; the windows' places are mirrored, too."""
    return described[..., _mirrored()]


def directions(thumbs: np.ndarray) -> np.ndarray:
    """Split gradients into directions: (b, 8, 32, 32) float32 from (b, 32, 32) uint8."""
    grey = np.pad(thumbs.astype(np.float32) / np.float32(255), ((0, 0), (1, 1), (1, 1)), mode="edge")
    across = grey[:, 1:-1, 2:] - grey[:, 1:-1, :-2]
    down = grey[:, 2:, 1:-1] - grey[:, :-2, 1:-1]
    strength = np.sqrt(across * across + down * down)
    near, back = _round()
    around = back @ (near @ strength @ near.T) @ back.T + np.float32(SOFTENING)
    share = (strength / around) ** np.float32(1 / 8)  # the fourth power below makes a square root of it
    share /= strength + np.float32(1e-6)
    across *= share
    down *= share
    out = np.empty((len(thumbs), DIRECTIONS, SIDE, SIDE), np.float32)
    half = DIRECTIONS // 2
    for k in range(half):
        angle = np.float32(np.pi * k / half)
        along = across * np.cos(angle) + down * np.sin(angle)
        np.maximum(along, 0, out=out[:, k])
        np.maximum(-along, 0, out=out[:, half + k])
    out *= out
    out *= out
    return out


def tents(cells: int, half: float, centre: float) -> np.ndarray:
    """Weights of the pixels of a side in cells that reach to their neighbours' middles: (cells, 32) float32."""
    pixel = (2 * np.arange(SIDE) + 1) / SIDE - 1
    place = ((pixel - centre) / half + 1) / 2 * cells - 0.5
    return np.maximum(0, 1 - np.abs(place - np.arange(cells)[:, None])).astype(np.float32)


@cache
def _pool(windows: tuple[tuple[float, float, float, float], ...]) -> np.ndarray:
    """Weights of all pixels in all cells of all windows: (windows * 34, 1024) float32."""
    rows = [
        np.einsum("yi,xj->yxij", tents(c, high, y), tents(c, wide, x)).reshape(c * c, -1)
        for wide, high, x, y in windows
        for c in CELLS
    ]
    return np.concatenate(rows)


@cache
def _round() -> tuple[np.ndarray, np.ndarray]:
    weights = tents(_ROUND, 1.0, 0.0)
    return weights / weights.sum(1, keepdims=True), (weights / weights.sum(0, keepdims=True)).T


@cache
def _mirrored() -> np.ndarray:
    place = np.arange(LENGTH)
    half = DIRECTIONS // 2
    turned = (half - np.arange(DIRECTIONS)) % DIRECTIONS  # an angle a becomes pi - a
    parts, at = [], 0
    for c in CELLS:
        size = c * c * DIRECTIONS
        parts.append(place[at : at + size].reshape(c, c, DIRECTIONS)[:, ::-1][..., turned].ravel())
        at += size
    return np.concatenate(parts)
