"""Making a model usable by a name: it is fetched, run once on made-up pictures, and only then named.

Not here: the names' files (``espalier.io.encoders.names``).
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from espalier.core.errors import UsageError
from espalier.core.names import slugify
from espalier.core.rng import generator
from espalier.io.encoders.catalogue import catalogue_entry
from espalier.io.encoders.encoder import Encoder
from espalier.io.encoders.fetch import fetch
from espalier.io.encoders.loading import load_encoder
from espalier.io.encoders.names import AddedName, added, check_name, resolve, stays_here, write
from espalier.io.encoders.spec import MODEL_SUFFIXES, EncoderSpec

_PLAIN_STEMS = ("model", "openvino_model")
_SECONDS = 0.5
_PICTURES = 16
_TEXTS, _TEXT_SECONDS = 32, 1.0
_SIZE = (320, 240)


def add(
    given: str, models: Path, name: str | None = None, *, overwrite: bool = False
) -> tuple[AddedName, dict[str, Any]]:
    """Fetch a model, see that it loads and encodes, and keep a name for it: the given one, or its own as a slug.

    Returns the entry and what ``check`` tells. ``overwrite`` lets the name have meant another model.
    """
    spec = EncoderSpec.parse(given)
    if spec.model == "builtin":
        raise UsageError("The builtin encoder is always there.", "Name it builtin.")
    name = check_name(name if name is not None else _own_name(spec))
    if name == "builtin" or (catalogue_entry(name) not in (None, catalogue_entry(spec.model))):
        raise UsageError(f"{name} is a name of Espalier's own.", "Give another with --name.")
    pinned = _pinned(resolve(spec, models), models)
    taken = added(models).get(name)
    if taken is not None and taken.spec != pinned and not overwrite:
        raise UsageError(f"{name} is {taken.spec} already.", "Give another --name, or --overwrite.")
    encoder = load_encoder(pinned, cache_dir=models)
    measured = check(encoder, _SECONDS)
    entry = AddedName(name, pinned, encoder.dim, encoder.joint, given)
    write(entry, models)
    return entry, measured


def _own_name(spec: EncoderSpec) -> str:
    """Return a name for a model that was given none."""
    if catalogue_entry(spec.model) is not None:
        return spec.model
    path = Path(spec.model.removeprefix("hf:").partition("@")[0])
    stem = path.stem if path.suffix in MODEL_SUFFIXES else path.name
    return slugify(path.absolute().parent.name if stem in _PLAIN_STEMS else stem)


def _pinned(spec: EncoderSpec, models: Path) -> EncoderSpec:
    """Return a spec that means the same tomorrow and from any folder: absolute paths, a hub's commit."""
    if stays_here(spec):
        return replace(spec, model=str(Path(spec.model).expanduser().absolute()))
    if not spec.model.startswith("hf:"):
        return spec
    snapshot = fetch(spec, models)
    repo = spec.model.partition("@")[0]
    return replace(spec, model=f"{repo}@{snapshot.name}")


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
