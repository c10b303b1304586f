"""From a file's bytes to the fixed-size pixels that an encoder's graph takes.

Resizing and cropping are done in the decode threads: measured twice as fast as the same filter in the graph. Pillow
does it, pixel for pixel as reference pipelines do, but for one case: a picture that is enlarged bilinearly is enlarged
by OpenCV, at half the time and within one level of Pillow's (its cubic filter and its way of shrinking are other ones).
Everything after it (type, layout, colour order, mean, deviation) is compiled into the graph.
"""

from dataclasses import asdict, dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from espalier.io.images.decode import decode_image, decode_pixels, pixels_of

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

_MOST_CUT = 16
_MAGNIFIED = 1.5
_HALVES_UP = 2.0**-11  # added before rounding, which takes halves to the even number


@dataclass(frozen=True)
class Geometry:
    """How an image of any size becomes (height, width) pixels.

    The shorter side is brought to ``shorter`` and the middle is cut out; 0 stretches the whole image. Where it has at
    most ``tiny`` pixels no margin is cut: it is brought straight to the size of the input (on 32-pixel pictures a
    linear probe gains 3.6 points by it). A JPEG may be decoded smaller as long as it stays ``reduce`` times larger than
    what is needed; 0 decodes it in full.

    ``exact`` resizes the whole image, in full scale, and then crops. By default only what will be seen is resized, at
    half the cost; Pillow takes its edges in single precision, which moves a few values by one level. Networks in floats
    do not feel that, quantised ones do (cosine 0.995).
    """

    height: int
    width: int
    shorter: int
    filter: str = "bilinear"
    tiny: int = 64
    reduce: float = 2.0
    exact: bool = False

    def describe(self) -> dict[str, Any]:
        """Return the fields as plain values, for the encoder's id."""
        return {**asdict(self), "enlarge": "opencv" if self._enlarges else "pillow"}

    @property
    def at_least(self) -> int | None:
        """Shorter side that a reduced JPEG has to keep."""
        return None if self.exact else int(self.reduce * max(self.shorter, self.height, self.width)) or None

    def whole(self, width: int, height: int) -> tuple[int, int]:
        """Return the width and height that a whole image is brought to, rounded as torchvision's Resize does."""
        if not self.shorter:
            return self.width, self.height
        short = min(width, height)
        target = max(self.height, self.width) if short <= self.tiny else self.shorter
        across = target if width <= height else int(target * width / height)
        down = target if height <= width else int(target * height / width)
        return across, down

    def offset(self, across: int, down: int) -> tuple[int, int]:
        """Return left and top of the middle, rounded as torchvision's CenterCrop does."""
        return round((across - self.width) / 2), round((down - self.height) / 2)

    def box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Return the part of a ``width`` x ``height`` image that is seen, as left, top, right, bottom."""
        whole = self.whole(width, height)
        left, top = self.offset(*whole)
        across, down = width / whole[0], height / whole[1]
        right, bottom = (left + self.width) * across, (top + self.height) * down
        return left * across, top * down, min(right, float(width)), min(bottom, float(height))

    def pixels(self, data: bytes, max_pixels: int | None = None) -> np.ndarray:
        """Decode, resize and crop to (height, width, 4) uint8, of images of at most ``max_pixels``.

        The fourth byte has no meaning; it may be a read-only view of Pillow's memory. Raises UnreadableImage with a
        reason.
        """
        if not self._enlarges:
            return pixels_of(self._fit(decode_image(data, self.at_least, max_pixels=max_pixels)))
        pixels = decode_pixels(data, self.at_least, max_pixels=max_pixels)
        height, width = pixels.shape[:2]
        whole = self.whole(width, height)
        if width <= whole[0] and height <= whole[1] and self._is_near(whole):
            left, top = self.offset(*whole)
            return _enlarged(pixels, *whole)[top : top + self.height, left : left + self.width]
        image = Image.frombuffer("RGBX", (width, height), pixels, "raw", "RGBX", 0, 1)
        return pixels_of(self._fit(image))

    @property
    def _enlarges(self) -> bool:
        return self.filter == "bilinear" and not self.exact

    def _is_near(self, whole: tuple[int, int]) -> bool:
        """Tell whether a resized whole is no more than some times what is cut out of it (a line has no bounds)."""
        return whole[0] * whole[1] <= _MOST_CUT * self.width * self.height

    def _fit(self, image: Image.Image) -> Image.Image:
        size, filter_ = (self.width, self.height), FILTERS[self.filter]
        whole = self.whole(*image.size)
        if self.exact and self._is_near(whole):
            left, top = self.offset(*whole)
            resized = image if image.size == whole else image.resize(whole, filter_)
            return resized if whole == size else resized.crop((left, top, left + self.width, top + self.height))
        box = self.box(*image.size)
        return image if image.size == size and box == (0, 0, *size) else image.resize(size, filter_, box)


def _enlarged(pixels: np.ndarray, across: int, down: int) -> np.ndarray:
    """Bring (h, w, 4) pixels to a larger size bilinearly.

    Where a picture is magnified, neighbours differ by less than a level, and networks see how they were rounded
    (cosine 0.995): there, as in Pillow, the columns come first, are rounded, then the rows.
    """
    height, width = pixels.shape[:2]
    if (width, height) == (across, down):
        return pixels
    cv2 = _opencv()
    if max(across / width, down / height) <= _MAGNIFIED:
        return cv2.resize(pixels, (across, down), interpolation=cv2.INTER_LINEAR_EXACT)
    wide = cv2.resize(pixels.astype(np.float32), (across, height), interpolation=cv2.INTER_LINEAR)
    wide += _HALVES_UP
    high = cv2.resize(np.rint(wide, out=wide), (across, down), interpolation=cv2.INTER_LINEAR)
    return cv2.convertScaleAbs(high, beta=_HALVES_UP)


@cache
def _opencv() -> ModuleType:
    """Import OpenCV without threads of its own: the decode threads are many enough."""
    import cv2

    cv2.setNumThreads(1)
    return cv2
