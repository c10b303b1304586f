"""Decoding of single images: bytes in, upright 8-bit RGB out, or a short reason why not.

Choices: a name's extension is never looked at, the bytes decide; alpha is laid over white, as viewers do; 16-bit grey
is scaled by its full range (257 levels to one); floats are taken as 0..1 or 0..255 when they fit and stretched
otherwise; the first frame stands for an animation; colour profiles are not applied; only formats that Pillow decodes
itself are opened (EPS would start Ghostscript). Sizes are refused above ``max_pixels``, by default ``MAX_PIXELS``.
"""

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from io import BytesIO

import numpy as np
import pyarrow as pa
from PIL import Image, UnidentifiedImageError

MAX_PIXELS = 178_956_970
"""Images of more pixels than this are refused as decompression bombs, before a pixel is decoded."""

FORMATS = (
    *("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "AVIF"),
    *("TGA", "PCX", "SGI", "QOI", "ICO"),
)

_EXIF_ORIENTATION = 274
_TURNED = (5, 6, 7, 8)
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_MAGIC = (
    (b"\xff\xd8", "JPEG"),
    (b"\x89PNG", "PNG"),
    (b"GIF8", "GIF"),
    (b"RIFF", "WEBP"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
)
_STRANGERS = (
    (b"<!doctype html", "HTML?"),
    (b"<html", "HTML?"),
    (b"<svg", "SVG?"),
    (b"<?xml", "XML or SVG?"),
    (b"%pdf", "PDF?"),
    (b"%!ps", "PostScript?"),
    (b"pk\x03\x04", "ZIP archive?"),
    (b"\x1f\x8b", "gzip archive?"),
    (b"{", "JSON?"),
)

_HEADER = 1 << 17  # the marks come first in a file; before them may stand JFIF with a thumbnail of 64 KiB
_MARKS = (b"Exif\0", b"MPF\0")

# The bound is our own: it is checked below, for each call, from the header. Pillow's is one global number.
Image.MAX_IMAGE_PIXELS = None
# Damaged metadata is of no interest here; damaged pixels raise.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


class UnreadableImage(Exception):
    """The bytes are no image that can be read; ``str()`` is a short reason, such as "truncated JPEG"."""


@dataclass(frozen=True)
class ImageInfo:
    """What the header says of an image: size as displayed, EXIF orientation (1 to 8), Pillow's name of the format."""

    width: int
    height: int
    orientation: int
    format: str


def probe(data: bytes, *, max_pixels: int | None = None) -> ImageInfo:
    """Read size, orientation and format from the header, without decoding pixels; the file's beginning will do."""
    with _open(data, max_pixels) as image:
        return _info(image)


def inspect(data: bytes, at_least: int, *, max_pixels: int | None = None) -> tuple[ImageInfo, np.ndarray]:
    """Do what ``probe`` and ``decode_rgb`` do, opening the image once; the pixels are as ``pixels_of`` gives them."""
    plain = _plain_jpeg(data, at_least, max_pixels)
    if plain is not None:
        return plain
    with _open(data, max_pixels) as image:
        info = _info(image)
        return info, pixels_of(_decoded(image, info.orientation, at_least))


def decode_rgb(data: bytes, at_least: int | None = None, *, max_pixels: int | None = None) -> np.ndarray:
    """Decode an image to upright 8-bit RGB: (h, w, 3) uint8, C-contiguous.

    A JPEG may be decoded at 1/2, 1/4 or 1/8 of its scale as long as its shorter side keeps ``at_least`` pixels; other
    formats, and None, are decoded in full. Raises UnreadableImage for what cannot be read to its end.
    """
    return np.ascontiguousarray(decode_image(data, at_least, max_pixels=max_pixels))


def decode_image(data: bytes, at_least: int | None = None, *, max_pixels: int | None = None) -> Image.Image:
    """Decode as ``decode_rgb`` does, to a Pillow image of mode RGB that can be resized without a copy."""
    with _open(data, max_pixels) as image:
        return _decoded(image, _orientation(image), at_least)


def decode_pixels(data: bytes, at_least: int | None = None, *, max_pixels: int | None = None) -> np.ndarray:
    """Decode as ``decode_image`` does, to (h, w, 4) uint8 pixels as ``pixels_of`` gives them."""
    plain = _plain_jpeg(data, at_least, max_pixels)
    return pixels_of(decode_image(data, at_least, max_pixels=max_pixels)) if plain is None else plain[1]


def pixels_of(image: Image.Image) -> np.ndarray:
    """Return the (h, w, 4) uint8 pixels of a Pillow image of mode RGB, the fourth byte without meaning.

    They are Pillow's own memory, read-only and without a copy, but for images beyond its blocks of 16 MiB.
    """
    try:
        return pa.array(image).values.to_numpy().reshape(image.height, image.width, 4)
    except ValueError:  # more than one block
        return np.asarray(image.convert("RGBA"))


def _info(image: Image.Image) -> ImageInfo:
    orientation = _orientation(image)
    width, height = image.size
    # Pillow gives the size of a turned TIFF as displayed already.
    if orientation in _TURNED and image.format != "TIFF":
        width, height = height, width
    return ImageInfo(width, height, orientation, image.format or "")


def _decoded(image: Image.Image, orientation: int, at_least: int | None) -> Image.Image:
    """Load the pixels, reduced if that is allowed, as upright RGB."""
    if at_least and image.format in ("JPEG", "MPO"):
        image.draft(None, (at_least, at_least))
    image.load()
    upright = _to_rgb(image)
    turn = None if image.format == "TIFF" else _TRANSPOSES.get(orientation)
    return upright if turn is None else upright.transpose(turn)


@cache
def _formats() -> tuple[str, ...]:
    """Register Pillow's decoders and name those of ``FORMATS`` that this build has."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@contextmanager
def _open(data: bytes, max_pixels: int | None) -> Iterator[Image.Image]:
    """Open the image, check its size, and turn every failure inside into an UnreadableImage."""
    if not len(data):
        raise UnreadableImage("empty file")
    kind = next((name for magic, name in _MAGIC if data.startswith(magic)), "")
    try:
        with Image.open(BytesIO(data), formats=_formats()) as image:
            kind = image.format or kind
            limit = MAX_PIXELS if max_pixels is None else max_pixels
            width, height = image.size
            if width * height > limit:
                raise UnreadableImage(f"too large: {width} x {height} pixels, the limit is {limit}")
            if not width * height:
                raise UnreadableImage(f"no pixels: {width} x {height}")
            yield image
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise UnreadableImage(_what_else(data, kind)) from None
    except MemoryError:
        raise UnreadableImage(f"not enough memory to decode this {kind or 'image'}") from None
    except Exception as error:  # decoders raise nearly every type on damaged bytes
        raise UnreadableImage(_in_words(error, kind or "image")) from error


def _what_else(data: bytes, kind: str) -> str:
    """Say what bytes are that no decoder recognised."""
    if kind:
        return f"broken {kind} header"
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for magic, name in _STRANGERS:
        if head.startswith(magic):
            return f"not an image ({name})"
    if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc"):
        return "HEIC is not supported"
    if not any(data[:512]):
        return "not an image (zero bytes only)"
    if all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in data[:512]):
        return "not an image (text?)"
    return "not an image"


def _in_words(error: Exception, kind: str) -> str:
    """Put a decoder's exception into a few words."""
    text = " ".join(str(error).split())
    low = text.lower()
    if any(word in low for word in ("truncated", "not enough", "unexpected end", "eof", "ran out")):
        return f"truncated {kind}"
    if isinstance(error, (EOFError, struct.error)):
        return f"truncated {kind}"
    return f"broken {kind}: {text or type(error).__name__}"[:120]


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation that the header holds; damaged EXIF counts as none, as in viewers."""
    if image.format == "PNG" and not {"exif", "Raw profile type exif"} & image.info.keys():
        return 1  # getexif would decode the whole file to look behind the pixels
    try:
        value = image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _to_rgb(image: Image.Image) -> Image.Image:
    """Turn any mode into RGB."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_to_8_bits(np.asarray(image))).convert("RGB")
    if image.mode == "LAB":
        return _lab_to_rgb(image)
    if image.has_transparency_data:
        over = image.convert("RGBA")
        white = Image.new("RGBA", over.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, over).convert("RGB")
    return image.convert("RGB")


def _to_8_bits(grey: np.ndarray) -> np.ndarray:
    """Scale one channel of 16-bit, 32-bit or float values to 0..255."""
    full = 65535.0 if grey.dtype.itemsize == 2 else 0.0
    values = np.nan_to_num(grey.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if not full and low >= 0:
        # Pillow gives 16-bit grey of some formats as 32-bit integers.
        ranges = (1.0, 255.0) if grey.dtype.kind == "f" else (255.0, 65535.0)
        full = next((top for top in ranges if high <= top), 0.0)
    if not full:
        values, full = values - low, (high - low) or 1.0
    return np.rint(values * (255.0 / full)).astype(np.uint8)


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    """Turn CIE L*a*b* into sRGB; Pillow's convert does not know how."""
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    turned = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    if turned is None:
        raise ValueError("L*a*b* colours cannot be converted")
    return turned


def _plain_jpeg(data: bytes, at_least: int | None, max_pixels: int | None) -> tuple[ImageInfo, np.ndarray] | None:
    """Decode an undamaged colour JPEG without EXIF, at 1/2, 1/4 or 1/8 where ``at_least`` allows; None for others.

    The short way, straight to libjpeg-turbo, which Pillow uses, too: the values are Pillow's to the bit, in four fifths
    of the time. All that is out of the ordinary (EXIF, several pictures, other colours, damage) is left to Pillow.
    """
    if not data.startswith(b"\xff\xd8") or any(mark in data[:_HEADER] for mark in _MARKS):
        return None
    import simplejpeg

    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if colours != "YCbCr" or height * width > (MAX_PIXELS if max_pixels is None else max_pixels):
            return None
        # What the sides may be divided by, as Pillow's draft chooses it.
        scale = next((scale for scale in (8, 4, 2) if at_least and min(height, width) // at_least >= scale), 1)
        least = {"min_height": -(-height // scale), "min_width": -(-width // scale), "min_factor": scale}
        pixels = simplejpeg.decode_jpeg(data, "RGBX", **(least if scale > 1 else {}))
    except (ValueError, MemoryError):
        return None
    return ImageInfo(width, height, 1, "JPEG"), pixels
