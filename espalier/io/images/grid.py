"""What near duplicates are found by: a grid of area means a colour channel, in fixed point, and a grey thumbnail.

The one step of near duplicates that touches pixels; it runs while the scan has the image decoded. The grid's means are
exact: a pixel on the border of two cells counts in both by its share. All sums are sums of whole numbers below 2^24
(float32) or 2^53 (float64), so the result does not depend on BLAS, its threads or the tiles.
"""

from functools import cache, lru_cache
from types import ModuleType

import numpy as np

CELLS = 9
"""Cells a side; the feature has their 8 differences a row and a column."""

GRID_SIDE = 64
"""Shorter side, in pixels, that a reduced decode must keep: 7 pixels a cell."""

GRID_LENGTH = CELLS * CELLS * 3

THUMB_SIDE = 32

# A tile of the image as float32: rows, and columns times channels. OpenBLAS multiplies up to 4 * 65536 terms on the
# caller's thread; beyond them it wakes threads of its own, which beside the scan's threads makes a 320 x 240 picture
# 10 times as slow. A tile of this size also stays in the cache.
_ROWS, _COLUMNS = 128, 224


def area_grid(rgb: np.ndarray) -> np.ndarray:
    """Return the area means of a 9 x 9 grid a channel of a (h, w, 3 or 4) uint8 image, as (243,) uint16.

    Row by row, cell by cell, R G B; 65535 is full intensity (257 units a grey level), rounded half up, so that
    ``grid.reshape(9, 9, 3)`` is the small image. Any size from 1 x 1 will do: cells of small images share pixels. A
    fourth channel is not looked at.
    """
    if rgb.ndim != 3 or rgb.shape[2] not in (3, 4) or rgb.dtype != np.uint8 or rgb.size == 0:
        raise ValueError(f"expected a (h, w, 3 or 4) uint8 image, got {rgb.dtype} of shape {rgb.shape}")
    height, width, channels = rgb.shape
    down, across = _shares(height), _shares(width)
    flat = rgb.reshape(height, width * channels)
    rows = np.zeros((CELLS, width * channels), dtype=np.float64)
    for left in range(0, width * channels, _COLUMNS):
        columns = slice(left, left + _COLUMNS)
        for top in range(0, height, _ROWS):
            tile = slice(top, top + _ROWS)
            rows[:, columns] += down[:, tile] @ flat[tile, columns].astype(np.float32)
    cells = np.matmul(across.astype(np.float64), rows.reshape(CELLS, width, channels))[:, :, :3]
    area = height * width  # each cell's weights sum to this
    return ((cells.astype(np.int64) * 514 + area) // (2 * area)).astype(np.uint16).reshape(GRID_LENGTH)


def grey_thumb(rgb: np.ndarray) -> np.ndarray:
    """Shrink an image to grey 32 x 32, whatever its shape: area means, interpolated where a side is shorter.

    Parameters
    ----------
    rgb : ndarray of shape (h, w, 3) or (h, w, 4), uint8
        A fourth channel is not looked at.

    Returns
    -------
    ndarray of shape (1024,), uint8
    """
    cv2 = _opencv()
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY if rgb.shape[2] == 3 else cv2.COLOR_RGBA2GRAY)
    how = cv2.INTER_AREA if min(grey.shape) >= THUMB_SIDE else cv2.INTER_LINEAR
    return cv2.resize(grey, (THUMB_SIDE, THUMB_SIDE), interpolation=how).reshape(-1)


@cache
def _opencv() -> ModuleType:
    """Import OpenCV without threads of its own: the scan's threads are many enough."""
    import cv2

    cv2.setNumThreads(1)
    return cv2


@lru_cache(maxsize=256)
def _shares(length: int) -> np.ndarray:
    """Ninths of each pixel that lie in each cell, shape (9, length), float32 whole numbers from 0 to 9."""
    pixel = np.arange(length, dtype=np.int64) * CELLS
    cell = np.arange(CELLS, dtype=np.int64)[:, None] * length
    overlap = np.minimum(pixel + CELLS, cell + length) - np.maximum(pixel, cell)
    return np.maximum(overlap, 0).astype(np.float32)
