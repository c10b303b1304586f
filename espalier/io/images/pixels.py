"""What tells whether two files hold the same picture: a digest of the decoded pixels, of many pictures in threads.

Pictures are equal when they are so as shown: alpha over white, EXIF orientation applied, 8 bits a channel. Of greater
depths the values count, too. An animation has no digest: only its first frame is looked at.
"""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO

import numpy as np
from PIL import Image

from espalier.io.files.blobs import BlobError, read_bytes
from espalier.io.images.decode import UnreadableImage, decode_rgb, probe


def pixel_digests(
    uris: Sequence[str], *, threads: int, max_pixels: int, progress: Callable[[int], None] | None = None
) -> list[str | None]:
    """Digest the pixels of pictures: equal for equal ones; None for what cannot be read now, and for animations."""
    digests = []
    with ThreadPoolExecutor(max(1, threads), thread_name_prefix="pixels") as pool:
        for digest in pool.map(partial(_digest, max_pixels=max_pixels), uris):
            digests.append(digest)
            if progress is not None:
                progress(1)
    return digests


def formats(uris: Sequence[str], *, threads: int, max_pixels: int) -> list[str]:
    """Return the format of each file, as its bytes tell; '' for what cannot be read now."""
    with ThreadPoolExecutor(max(1, threads), thread_name_prefix="pixels") as pool:
        return list(pool.map(partial(_format, max_pixels=max_pixels), uris))


def _digest(uri: str, max_pixels: int) -> str | None:
    try:
        data = read_bytes(uri)
        rgb = decode_rgb(data, max_pixels=max_pixels)
        with Image.open(BytesIO(data)) as image:
            if getattr(image, "is_animated", False) and image.format != "MPO":
                return None
            deep = np.asarray(image) if image.mode.startswith(("I", "F")) else None
    except (BlobError, UnreadableImage):
        return None
    digest = hashlib.blake2b(repr(rgb.shape).encode(), digest_size=16)
    digest.update(rgb.data)
    if deep is not None:
        digest.update(np.ascontiguousarray(deep, dtype=np.float64).data)
    return digest.hexdigest()


def _format(uri: str, max_pixels: int) -> str:
    try:
        return probe(read_bytes(uri), max_pixels=max_pixels).format
    except (BlobError, UnreadableImage):
        return ""
