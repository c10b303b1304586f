"""The embeddings that a card names in the place of an encoder, and their vectors laid out as samples are.

Here live what the user writes, the marks by which changed files are noticed, and the gathering. Not here: the layouts
of files (``espalier.io.precomputed.shards``) and whose vector is whose (``espalier.io.precomputed.embeddings``).

A spec is a path, or ``PATH#array=NAME&ids=COLUMN`` where a file has several arrays or columns of ids; in a card it may
be a mapping with the keys ``path``, ``array`` and ``ids``.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from espalier.core.errors import UsageError
from espalier.io.precomputed.embeddings import Alignment, OwnEmbeddings

NO_VECTOR = "no vector was brought for it"
_KEYS = ("path", "array", "ids")
_SUFFIXES = (".npy", ".npz", ".parquet", ".txt")
_BELOW = ("img_emb", "metadata")


@dataclass(frozen=True)
class Brought:
    """Where embeddings lie.

    Attributes
    ----------
    path : Path
        A file or a folder.
    array, ids : str or None
        Names of the array or column of vectors, and of the column of ids, where they are not the usual ones.
    """

    path: Path
    array: str | None = None
    ids: str | None = None

    @classmethod
    def parse(cls, value: str | Mapping[str, object]) -> "Brought":
        """Read a spec.

        Raises
        ------
        UsageError
            For an unknown key, or a missing path.
        """
        if isinstance(value, str):
            path, _, rest = value.strip().partition("#")
            pairs = [piece.partition("=") for piece in rest.split("&") if piece]
            given: dict[str, object] = {"path": path, **{name: text for name, _, text in pairs}}
        else:
            given = dict(value)
        unknown = [key for key in given if key not in _KEYS]
        texts = {key: text for key, text in given.items() if isinstance(text, str) and text}
        if unknown or not texts.get("path") or len(texts) < len(given):
            what = f"have no option {unknown[0]!r}" if unknown else f"are named by {value!r}"
            raise UsageError(f"The embeddings {what}.", "Write PATH, or PATH#array=NAME&ids=COLUMN.")
        return cls(Path(texts["path"]).expanduser(), texts.get("array"), texts.get("ids"))

    def absolute(self) -> "Brought":
        """Return it with its path absolute: runs start in other folders."""
        return Brought(Path(os.path.abspath(self.path)), self.array, self.ids)  # noqa: PTH100 (links stay)

    def __str__(self) -> str:
        """Return the spec as one text."""
        given = {"array": self.array, "ids": self.ids}
        named = "&".join(f"{key}={text}" for key, text in given.items() if text)
        return f"{self.path}#{named}" if named else str(self.path)

    def open(self) -> OwnEmbeddings:
        """Find the files and check their shapes; see ``OwnEmbeddings.open``."""
        return OwnEmbeddings.open(self.path, self.array)

    def marks(self) -> list[str]:
        """Tell the state of the files, so that replaced ones are noticed: name, size and time of each."""
        folders = [self.path, *(self.path / name for name in _BELOW)]
        files = [self.path] if self.path.is_file() else [f for d in folders if d.is_dir() for f in sorted(d.iterdir())]
        beside = [self.path.with_suffix(suffix) for suffix in (".parquet", ".txt")] if self.path.is_file() else []
        beside += [self.path.with_name(f"ids{suffix}") for suffix in (".parquet", ".txt", ".npy")] if beside else []
        found = [f for f in dict.fromkeys([*files, *beside]) if f.suffix in _SUFFIXES and f.is_file()]
        root = self.path.parent if self.path.is_file() else self.path
        return [f"{f.relative_to(root)}:{f.stat().st_size}:{f.stat().st_mtime_ns}" for f in found]


@dataclass(frozen=True)
class Gathered:
    """The vectors of the samples that are wanted.

    Attributes
    ----------
    have : ndarray of shape (n_wanted,), bool
        Those with a usable vector.
    vectors : ndarray of shape (have.sum(), dim), float32
        Unit rows, in the order wanted.
    errors : dict of int to str
        Why the others have none, by their place among those wanted.
    """

    have: np.ndarray
    vectors: np.ndarray
    errors: dict[int, str]

    def blocks(self, size: int) -> Iterator[np.ndarray]:
        """Yield the vectors, at most ``size`` at a time."""
        for start in range(0, len(self.vectors), size):
            yield self.vectors[start : start + size]


def gather(own: OwnEmbeddings, alignment: Alignment, rows: np.ndarray) -> Gathered:
    """Read the vectors of samples into an order.

    Parameters
    ----------
    own : OwnEmbeddings
    alignment : Alignment
    rows : ndarray of shape (n_wanted,), int
        Rows of the samples that are wanted, each once.
    """
    place = np.full(alignment.n_samples, -1, dtype=np.int64)
    place[rows] = np.arange(len(rows))
    have = np.zeros(len(rows), dtype=bool)
    out = np.empty((len(rows), own.dim), dtype=np.float32)
    missing = place[alignment.missing]
    errors = dict.fromkeys(missing[missing >= 0].tolist(), NO_VECTOR)
    for batch in own.read(alignment, place >= 0):
        out[place[batch.rows]] = batch.vectors
        have[place[batch.rows]] = True
        errors |= {int(place[row]): reason for row, reason in batch.errors}
    return Gathered(have, out if have.all() else out[have], errors)


def report(counts: Mapping[str, Any]) -> str:
    """Say in words how embeddings and samples fit; ``counts`` is ``Alignment.describe()``."""
    said = [f"{counts['matched']:,} of {counts['vectors']:,} vectors belong to a sample"]
    if counts["samples_without_vector"]:
        said.append(f"{counts['samples_without_vector']:,} samples have none")
    if counts["vectors_without_sample"]:
        shown = counts["first_without_sample"]
        more = ", ..." if counts["vectors_without_sample"] > len(shown) else ""
        ids = ", ".join(map(repr, shown))
        said.append(f"{counts['vectors_without_sample']:,} belong to no sample ({ids}{more})")
    if counts["repeated_ids"]:
        said.append(f"{counts['repeated_ids']:,} repeat an id, of which the first counts")
    return "; ".join(said) + "."
