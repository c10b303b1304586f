"""What encoders there are to be named, and which of them are on this machine; nothing is loaded, nothing is fetched."""

from dataclasses import dataclass
from pathlib import Path

from espalier.io.encoders import builtin
from espalier.io.encoders.catalogue import CATALOGUE
from espalier.io.encoders.fetch import downloaded, here, hub_models
from espalier.io.encoders.names import added, resolve
from espalier.io.encoders.spec import EncoderSpec


@dataclass(frozen=True)
class ListedEncoder:
    """A line of the list; ``kind`` is builtin, added, catalogue or cached (which lies in a cache and has no name).

    ``name`` is what to write, ``spec`` what it stands for; ``dim`` and ``text`` are None where nobody looked them up;
    ``here`` is where it lies on this machine, empty where it has to be fetched.
    """

    name: str
    kind: str
    spec: str
    dim: int | None
    text: bool | None
    here: str
    about: str


def list_encoders(models: Path) -> list[ListedEncoder]:
    """List the builtin encoder, what was added, the catalogue, and what else lies in the caches."""
    rows = [
        ListedEncoder("builtin", "builtin", "builtin", builtin.DIM, False, "code", "always there, needs no download")
    ]
    for entry in added(models).values():
        place = _place(entry.spec, models)
        rows.append(ListedEncoder(entry.name, "added", str(entry.spec), entry.dim, entry.text, place, entry.given))
    names = {row.name for row in rows}
    for ready in CATALOGUE:
        if ready.name in names:
            continue
        place = _place(resolve(EncoderSpec.parse(ready.name), None), models)
        told = ready.spec or ", ".join(ready.bundle.urls if ready.bundle else ())
        rows.append(ListedEncoder(ready.name, "catalogue", told, ready.dim, ready.text, place, ready.about))
    listed = {row.here for row in rows}
    for spec_text, path in (*downloaded(models), *hub_models()):
        if str(path) not in listed:
            rows.append(ListedEncoder(spec_text, "cached", spec_text, None, None, str(path), ""))
    return rows


def _place(spec: EncoderSpec, models: Path) -> str:
    return str(here(spec, models) or "")
