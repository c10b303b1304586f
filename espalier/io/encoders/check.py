"""A look at an encoder before it is used: what it takes and gives, and how fast it is here on made-up pictures."""

import time
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from espalier.core.rng import generator
from espalier.io.encoders.encoder import Encoder

_PICTURES = 16
_TEXTS, _TEXT_SECONDS = 32, 1.0
_SIZE = (320, 240)


def check(encoder: Encoder, seconds: float = 2.0) -> dict[str, Any]:
    """Run an encoder for some seconds; return ``describe()`` with shapes and speeds.

    ``images_per_second`` is for JPEGs of 320 x 240 from memory to vectors; with a text side, ``texts_per_second``.
    """
    compiled = encoder.compiled()
    store = _jpegs()
    for _ in encoder.encode_images(enumerate(store), store.__getitem__):
        pass
    start = time.perf_counter()
    n = sum(len(batch.rows) for batch in encoder.encode_images(_until(start + seconds, store), store.__getitem__))
    measured = {
        **encoder.describe(),
        "input": f"{list(compiled.input(0).get_shape())} uint8, layout NHWC, RGB and one unused",
        "output": f"{list(compiled.output(0).get_shape())} float32",
        "images_per_second": round(n / (time.perf_counter() - start), 1),
    }
    if encoder.has_text:
        measured["texts_per_second"] = _texts_per_second(encoder, min(seconds, _TEXT_SECONDS))
    return measured


def _texts_per_second(encoder: Encoder, seconds: float) -> float:
    texts = [f"a photo of a thing number {i}" for i in range(_TEXTS)]
    encoder.encode_text(texts[:1])
    start, n = time.perf_counter(), 0
    while not n or time.perf_counter() < start + seconds:
        encoder.encode_text(texts)
        n += len(texts)
    return round(n / (time.perf_counter() - start), 1)


def _jpegs() -> dict[str, bytes]:
    """Make pictures that cost as much to decode as photographs do: coarse structure with some grain."""
    rng = generator(0, "pictures of an encoder's check")
    store = {}
    for number in range(_PICTURES):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize(_SIZE)
        grain = rng.normal(0, 12, (_SIZE[1], _SIZE[0], 1))
        picture = np.clip(np.asarray(coarse) + grain, 0, 255).astype(np.uint8)
        out = BytesIO()
        Image.fromarray(picture).save(out, "JPEG", quality=85)
        store[str(number)] = out.getvalue()
    return store


def _until(end: float, store: dict[str, bytes]) -> Iterator[tuple[int, str]]:
    names = list(store)
    row = 0
    while time.perf_counter() < end:
        yield row, names[row % len(names)]
        row += 1
