"""The short way for plain JPEGs: straight to libjpeg-turbo, which Pillow uses, too.

The values are Pillow's to the bit, in four fifths of the time. All that is out of the ordinary (EXIF, several pictures,
other colours, damage) is left to ``espalier.io.images.decode``, which has the words for it.
"""

from typing import NamedTuple

import numpy as np

_HEADER = 1 << 17  # the marks come first in a file; before them may stand JFIF with a thumbnail of 64 KiB
_MARKS = (b"Exif\0", b"MPF\0")


class PlainJpeg(NamedTuple):
    """A decoded JPEG: its full width and height, and (h, w, 4) uint8 pixels whose fourth byte has no meaning."""

    width: int
    height: int
    pixels: np.ndarray


def plain_jpeg(data: bytes, at_least: int | None, max_pixels: int) -> PlainJpeg | None:
    """Decode an undamaged colour JPEG without EXIF, at 1/2, 1/4 or 1/8 where ``at_least`` allows; None for others."""
    if not data.startswith(b"\xff\xd8") or any(mark in data[:_HEADER] for mark in _MARKS):
        return None
    import simplejpeg

    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if colours != "YCbCr" or height * width > max_pixels:
            return None
        scale = _scale(height, width, at_least)
        least = {"min_height": -(-height // scale), "min_width": -(-width // scale), "min_factor": scale}
        pixels = simplejpeg.decode_jpeg(data, "RGBX", **(least if scale > 1 else {}))
    except (ValueError, MemoryError):
        return None
    return PlainJpeg(width, height, pixels)


def _scale(height: int, width: int, at_least: int | None) -> int:
    """Return what the sides may be divided by, as Pillow's ``draft`` chooses it."""
    return next((scale for scale in (8, 4, 2) if at_least and min(height, width) // at_least >= scale), 1)
