"""The approximate indexes: one a dataset, over the hashes of the samples that were kept, stored beside its tables.

An index is built once for each state of a dataset's embeddings. It gives the samples worth a closer look; the ranking
itself stays exact (``explored.py``), so every distance shown is a true one and only the reach is approximate.
"""

import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO

import numpy as np

from espalier.errors import EspalierError
from espalier.explore.approximate import ApproximateHamming, IndexReport
from espalier.explore.joined import Joined
from espalier.explore.part import Hamming
from resources.exploring.rows import Rows
from resources.exploring.spaces import Space
from resources.leftovers import beside, remove_leftovers
from resources.warehouse import Table, Warehouse

FOLDER = "explore_index"  # below the warehouse; goes with the dataset when that is forgotten
RECALL = 0.95
_LEAST = 64  # neighbours that recall is measured at; doubled until they are enough


class Indexed:
    """The kept samples of several datasets, each dataset in an index of its own.

    Parameters
    ----------
    warehouse : Warehouse
    embeddings : mapping of str to Table
    rows : Rows
    space : Space
        Of hashes.
    k : int
        Most neighbours that will be asked for.
    tell : callable
        Is told when an index has to be built.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        embeddings: Mapping[str, Table],
        rows: Rows,
        space: Space,
        k: int,
        tell: Callable[[str], object],
    ) -> None:
        self.k = _LEAST
        while self.k < k:
            self.k *= 2
        self._parts: list[tuple[np.ndarray, ApproximateHamming]] = []
        for number, (name, table) in enumerate(embeddings.items()):
            kept = np.flatnonzero(rows.embedded[rows.part(number)])
            data = Joined([Hamming(space.parts[number][kept])])
            folder = warehouse.root / FOLDER / name
            index = _stored_or_built(folder, f"{table.meta.data_version}-{self.k}", data, self.k, name, tell)
            self._parts.append((kept + rows.starts[number], index))

    def nearest(self, queries: np.ndarray, k: int) -> np.ndarray:
        """Return the rows of about the k nearest kept samples of each query, a dataset: int64, in no order."""
        found = [kept[index.search(queries, min(k, len(kept)))[0].ravel()] for kept, index in self._parts]
        return np.unique(np.concatenate(found))

    @property
    def recall(self) -> float:
        """The least recall that was measured for one of the datasets."""
        return min(index.report.recall for _, index in self._parts)

    @property
    def words(self) -> str:
        """What was measured, in a sentence."""
        reports = [index.report for _, index in self._parts]
        share = sum(r.scanned * len(kept) for r, (kept, _) in zip(reports, self._parts, strict=True))
        share /= sum(len(kept) for kept, _ in self._parts)
        return (
            f"Approximate: recall {self.recall:.3f} of the {reports[0].k:,} nearest, measured on "
            f"{min(r.n_sample for r in reports):,} samples; {share:.1%} of the hashes were compared."
        )


def _stored_or_built(
    folder: Path, key: str, data: Joined, k: int, name: str, tell: Callable[[str], object]
) -> ApproximateHamming:
    path = folder / f"{key}.npz"
    if path.exists():
        try:
            with np.load(path, allow_pickle=False) as stored:
                return ApproximateHamming.load(data, stored["index"], IndexReport(**json.loads(str(stored["report"]))))
        except (EspalierError, OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            tell(f"The stored index of {name} cannot be read and is built again.")
    tell(f"Building the approximate index of {name} ({len(data):,} hashes); it is kept for later questions.")
    made = ApproximateHamming.build(data, target=RECALL, k=k, n_sample=200, n_lists=None, seed=0)
    try:
        _store(folder, path, made)
    except OSError as error:
        tell(f"The index of {name} cannot be kept in {folder}: {error.strerror or error}.")
    return made


def _store(folder: Path, path: Path, made: ApproximateHamming) -> None:
    """Write an index whole, then remove those of other states."""
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder, "index")
    fresh = beside(path, "index", ".tmp")
    try:
        with fresh.open("wb") as file:
            _write(file, made)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    for other in folder.glob("*.npz"):
        if other != path:
            other.unlink(missing_ok=True)


def _write(file: IO[bytes], made: ApproximateHamming) -> None:
    np.savez(file, index=made.dump(), report=np.array(json.dumps(asdict(made.report))))
