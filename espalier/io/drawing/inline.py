"""Pictures inside a page: small enough that whoever stores the page several times does not mind."""

import base64
import io

MOST_BYTES = 150_000
"""Of a picture as it stands in the page, in base64. Dagster keeps it three times for each event."""
SHRINK, LEAST_SIDE = 0.8, 200


def in_markdown(png: bytes, words: str, most: int = MOST_BYTES) -> str:
    """Return a PNG as a Markdown image that holds its own bytes.

    As it is where that is small enough; else as a JPEG where that is smaller, made narrower until it fits.
    """
    kind, data = ("png", png) if _length(png) <= most else _reduced(png, most)
    return f"![{words}](data:image/{kind};base64,{base64.b64encode(data).decode()})"


def _length(data: bytes) -> int:
    return 4 * -(-len(data) // 3)


def _reduced(png: bytes, most: int) -> tuple[str, bytes]:
    from PIL import Image

    picture = Image.open(io.BytesIO(png)).convert("RGB")
    while True:
        encodings = {}
        for kind, options in (("png", {"optimize": True}), ("jpeg", {"quality": 80})):
            out = io.BytesIO()
            picture.save(out, format=kind, **options)
            encodings[kind] = out.getvalue()
        kind, data = min(encodings.items(), key=lambda encoding: len(encoding[1]))
        size = (round(picture.width * SHRINK), round(picture.height * SHRINK))
        if _length(data) <= most or max(size) < LEAST_SIDE:
            return kind, data
        picture = picture.resize(size, Image.Resampling.LANCZOS)
