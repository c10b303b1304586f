"""A transform between two copies in words: what was done to a sample's picture to come from the other's."""

import math
from collections.abc import Sequence

LEAST_SHIFT = 0.015  # of a side: half a pixel of the thumbnails that were aligned
LEAST_SCALE = 0.02
LEAST_TURN = 2.0  # degrees


def in_words(transform: Sequence[float], *, mirrored: bool, width: int, height: int) -> str:
    """Describe a transform, for example ``shifted by 3 px, 12 % larger, mirrored``; "" for none.

    Parameters
    ----------
    transform : sequence of six floats
        Row by row, from coordinates of the sample to those of the other, -1 to 1 on each side.
    mirrored : bool
        The other's mirror image is meant.
    width, height : int
        Pixels of the sample.
    """
    a, b, x, c, d, y = transform
    across, down = math.hypot(a, c), math.hypot(b, d)  # of the other's sides, what the sample's sides show
    parts = [_shifted(x / across / 2, y / down / 2, width, height), _scaled(1 / across - 1, 1 / down - 1)]
    turn = abs(math.degrees(math.atan2(c * height - b * width, a * width + d * height)))
    parts += [f"turned by {turn:.0f} degrees" if turn >= LEAST_TURN else "", "mirrored" if mirrored else ""]
    return ", ".join(part for part in parts if part)


def _shifted(right: float, down: float, width: int, height: int) -> str:
    if max(abs(right), abs(down)) < LEAST_SHIFT:
        return ""
    return f"shifted by {max(1, round(math.hypot(right * width, down * height)))} px"


def _scaled(across: float, down: float) -> str:
    if abs(across - down) < LEAST_SCALE:
        both = (across + down) / 2
        return f"{abs(both):.0%} {'larger' if both > 0 else 'smaller'}".replace("%", " %") if _tells(both) else ""
    sides = [(across, "wider", "narrower"), (down, "taller", "lower")]
    told = [
        f"{abs(side):.0%} {more if side > 0 else less}".replace("%", " %") for side, more, less in sides if _tells(side)
    ]
    return " and ".join(told)


def _tells(scale: float) -> bool:
    return abs(scale) >= LEAST_SCALE
