"""Names of encoders: those that a user added, those of the catalogue, and what is here of them.

A name that was added is a file ``names/<name>.json`` in the home's folder of models; it goes before one of the
catalogue, and both go before a path (write ``./name`` for a folder). Not here: fetching and loading.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from espalier.core.errors import EspalierError
from espalier.core.names import check_slug
from espalier.io.atomic import written
from espalier.io.encoders.catalogue import catalogue_entry
from espalier.io.encoders.spec import EncoderSpec

_FOLDER = "names"


@dataclass(frozen=True)
class AddedName:
    """A name that a user added: what was ``given``, and what it stands for (a hub's revision is its commit)."""

    name: str
    spec: EncoderSpec
    dim: int
    text: bool
    given: str


def added(models: Path | None) -> dict[str, AddedName]:
    """Return the names that were added, in their order."""
    folder = models / _FOLDER if models is not None else None
    files = sorted(folder.glob("*.json")) if folder is not None and folder.is_dir() else []
    return {file.stem: _read(file) for file in files if not file.name.startswith(".")}


def resolve(spec: EncoderSpec, models: Path | None) -> EncoderSpec:
    """Return the spec that a name stands for, with the options given beside the name on top.

    Bundles of the catalogue keep their name; a spec that is no name stays as it is.
    """
    file = _file(spec.model, models)
    if file is not None:
        meant = _read(file).spec
        return replace(meant, options=spec.options.over(meant.options))
    entry = catalogue_entry(spec.model)
    if entry is None:
        return spec
    meant = EncoderSpec.parse(entry.spec or entry.name)
    return replace(meant, options=spec.options.over(meant.options))


def is_name(model: str, models: Path | None) -> bool:
    """Tell whether a spec's model is a name: builtin, added, or of the catalogue."""
    return model == "builtin" or catalogue_entry(model) is not None or _file(model, models) is not None


def stays_here(spec: EncoderSpec) -> bool:
    """Tell whether a resolved spec is a model on this machine, so that no network is needed."""
    return not spec.model.startswith(("hf:", "http:", "https:")) and catalogue_entry(spec.model) is None


def write(entry: AddedName, models: Path) -> None:
    """Keep a name that ``check_name`` gave; its file appears whole."""
    folder = models / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"spec": entry.spec.plain(), "dim": entry.dim, "text": entry.text, "given": entry.given}
    with written(folder / f"{entry.name}.json") as fresh:
        fresh.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def check_name(name: str) -> str:
    """Return a name that an encoder may be added by: a slug, or one of the catalogue."""
    if catalogue_entry(name) is not None:
        return name
    return check_slug(name, "name of an encoder")


def _file(name: str, models: Path | None) -> Path | None:
    """Return the file of a name that was added."""
    if models is None or not name or set(name) & set("/\\:.") or len(name) > 255:
        return None
    file = models / _FOLDER / f"{name}.json"
    return file if file.is_file() else None


def _read(file: Path) -> AddedName:
    try:
        facts: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        spec = EncoderSpec.parse(facts["spec"])
        return AddedName(file.stem, spec, int(facts["dim"]), bool(facts["text"]), str(facts["given"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EspalierError(
            f"{file} cannot be understood: {error!r}", f"Add {file.stem} again, with --overwrite."
        ) from None
