"""Affine maps of the plane as (n, 2, 3) arrays, in coordinates that run from -1 to 1 on each side of a picture."""

from __future__ import annotations

import numpy as np


def identity(n: int) -> np.ndarray:
    """Make n maps that leave everything where it is: (n, 2, 3) float64."""
    maps = np.zeros((n, 2, 3))
    maps[:, 0, 0] = maps[:, 1, 1] = 1
    return maps


def of_window(window: tuple[float, float, float, float]) -> np.ndarray:
    """Make the map (2, 3) from a whole picture to a window (half width, half height, centre) of another."""
    wide, high, x, y = window
    return np.array([[wide, 0, x], [0, high, y]])


def compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """First ``inner``, then ``outer``; both (n, 2, 3)."""
    both = outer[:, :, :2] @ inner
    both[:, :, 2] += outer[:, :, 2]
    return both


def determinant(maps: np.ndarray) -> np.ndarray:
    """How much each map enlarges areas: (n,)."""
    return maps[:, 0, 0] * maps[:, 1, 1] - maps[:, 0, 1] * maps[:, 1, 0]


def invert(maps: np.ndarray) -> np.ndarray:
    """Turn each map round; (n, 2, 3)."""
    scale = 1 / determinant(maps)
    back = np.empty_like(maps)
    back[:, 0, 0], back[:, 1, 1] = maps[:, 1, 1] * scale, maps[:, 0, 0] * scale
    back[:, 0, 1], back[:, 1, 0] = -maps[:, 0, 1] * scale, -maps[:, 1, 0] * scale
    back[:, :, 2] = -np.einsum("nij,nj->ni", back[:, :, :2], maps[:, :, 2])
    return back


def exchanged(maps: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """See the maps from the other picture: a -> b becomes b -> a, and a -> mirror(b) becomes b -> mirror(a)."""
    back = invert(maps)
    return np.where(mirrored[:, None, None], reflected(back), back)


def reflected(maps: np.ndarray) -> np.ndarray:
    """Give the same maps between the mirror images of both pictures."""
    turned = maps.copy()
    turned[:, 0, 1:] *= -1
    turned[:, 1, 0] *= -1
    return turned
