"""Pictures inside a page: small enough that whoever stores the page several times does not mind."""

import base64
import io

MOST_BYTES = 150_000
"""Of a picture as it stands in the page, in base64. Dagster keeps it three times for each event."""
QUALITY, LEAST_SIDE = 80, 200


def in_markdown(png: bytes, words: str, most: int = MOST_BYTES) -> str:
    """Return a PNG as a Markdown image that holds its own bytes: as it is, or as a JPEG small enough for a page."""
    kind, data = ("png", png) if _length(png) <= most else ("jpeg", _reduced(png, most))
    return f"![{words}](data:image/{kind};base64,{base64.b64encode(data).decode()})"


def _length(data: bytes) -> int:
    return 4 * -(-len(data) // 3)


def _reduced(png: bytes, most: int) -> bytes:
    """Make a JPEG, narrower until it fits; its bytes grow about as its area does."""
    from PIL import Image

    picture = Image.open(io.BytesIO(png)).convert("RGB")
    while True:
        out = io.BytesIO()
        picture.save(out, format="jpeg", quality=QUALITY)
        data = out.getvalue()
        shrink = min(0.9, (most / _length(data)) ** 0.5)
        size = (round(picture.width * shrink), round(picture.height * shrink))
        if _length(data) <= most or max(size) < LEAST_SIDE:
            return data
        picture = picture.resize(size, Image.Resampling.BOX)
