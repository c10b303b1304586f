"""Making a model usable by a name: it is fetched, run once, and only then named.

Not here: the names' files (``espalier.io.encoders.names``).
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from espalier.core.errors import UsageError
from espalier.core.names import slugify
from espalier.io.encoders.catalogue import catalogue_entry
from espalier.io.encoders.check import check
from espalier.io.encoders.fetch import fetch
from espalier.io.encoders.loading import load_encoder
from espalier.io.encoders.names import AddedName, added, check_name, resolve, stays_here, write
from espalier.io.encoders.spec import MODEL_SUFFIXES, EncoderSpec

_PLAIN_STEMS = ("model", "openvino_model")
_SECONDS = 0.5


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
