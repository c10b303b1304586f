"""The near-duplicate grid of an image: area means of 9 x 9 cells a colour channel, in fixed point.

The one step of near duplicates that touches pixels; it runs while the scan has the image decoded. The means are exact:
a pixel on the border of two cells counts in both by its share. All sums are sums of whole numbers below 2^24 (float32)
or 2^53 (float64), so the result does not depend on BLAS, its threads or the tiles.
"""

from functools import lru_cache

import numpy as np

CELLS = 9
"""Cells a side; the feature has their 8 differences a row and a column."""

GRID_SIDE = 64
"""Shorter side, in pixels, that a reduced decode must keep: 7 pixels a cell."""

GRID_LENGTH = CELLS * CELLS * 3

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


@lru_cache(maxsize=256)
def _shares(length: int) -> np.ndarray:
    """Ninths of each pixel that lie in each cell, shape (9, length), float32 whole numbers from 0 to 9."""
    pixel = np.arange(length, dtype=np.int64) * CELLS
    cell = np.arange(CELLS, dtype=np.int64)[:, None] * length
    overlap = np.minimum(pixel + CELLS, cell + length) - np.maximum(pixel, cell)
    return np.maximum(overlap, 0).astype(np.float32)
