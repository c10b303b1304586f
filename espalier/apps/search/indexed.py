"""The approximate indexes: one a dataset, over the hashes of the samples that were kept, stored beside its tables.

An index is built once for each state of a dataset's embeddings. It gives the samples worth a closer look; the ranking
itself stays exact (``index.py``), so every distance shown is a true one and only the reach is approximate.
"""

import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from espalier.apps.search.rows import Rows
from espalier.apps.search.spaces import Space
from espalier.core.errors import EspalierError
from espalier.core.search.approximate import ApproximateHamming, IndexReport
from espalier.core.search.hamming import Hamming
from espalier.core.search.joined import Joined
from espalier.io.atomic import written
from espalier.io.warehouse import Table, Warehouse

FOLDER = "explore_index"  # below the warehouse; goes with the dataset when that is forgotten
RECALL = 0.95
_LEAST = 64  # neighbours that recall is measured at; doubled until they are enough


class ApproximateIndex:
    """The kept samples of several datasets, each dataset in an index of its own, over a space of hashes.

    ``k`` is the most neighbours that will be asked for. ``tell`` is told when an index has to be built.
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
        wanted = max(_LEAST, 1 << (k - 1).bit_length())
        self.tell = tell
        self._parts: list[tuple[np.ndarray, ApproximateHamming]] = []
        for name, table in embeddings.items():
            own = pc.equal(rows.facts["dataset"], name).to_numpy()
            kept = np.flatnonzero(own & rows.embedded)
            whole = len(kept) == 1 + kept[-1] - kept[0]  # then nothing has to be copied
            hashes = space.features[kept[0] : kept[-1] + 1] if whole else space.features[kept]
            stored_at = warehouse.root / FOLDER / name, table.meta.data_version
            data = Joined([Hamming(hashes)])
            self._parts.append((kept, self._stored(*stored_at, data, wanted) or self._built(*stored_at, data, wanted)))
        self.k = min(index.report.k for _, index in self._parts)

    def nearest(self, queries: np.ndarray, k: int) -> np.ndarray:
        """Return the rows of about the k nearest kept samples of each query, a dataset: int64, in no order."""
        return np.unique(
            np.concatenate([kept[index.search(queries, min(k, len(kept)))[0].ravel()] for kept, index in self._parts])
        )

    @property
    def recall(self) -> float:
        """The least recall that was measured for one of the datasets."""
        return min(index.report.recall for _, index in self._parts)

    @property
    def measured(self) -> str:
        """What was measured, in a sentence."""
        reports = [index.report for _, index in self._parts]
        share = sum(r.scanned * len(kept) for r, (kept, _) in zip(reports, self._parts, strict=True))
        share /= sum(len(kept) for kept, _ in self._parts)
        return (
            f"Approximate: recall {self.recall:.3f} of the {self.k:,} nearest, measured on "
            f"{min(r.n_sample for r in reports):,} samples; {share:.1%} of the hashes were compared."
        )

    def _stored(self, folder: Path, version: str, data: Joined, k: int) -> ApproximateHamming | None:
        """Return the index that is stored for a version of the embeddings, if measured at k neighbours or more."""
        for path in sorted(folder.glob(f"{version}-*.npz"), key=_measured_at):
            if _measured_at(path) < k:
                continue
            try:
                with np.load(path, allow_pickle=False) as stored:
                    report = IndexReport(**json.loads(str(stored["report"])))
                    return ApproximateHamming.load(data, stored["index"], report)
            except (EspalierError, OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
                self.tell(f"The stored index of {folder.name} cannot be read and is built again.")
        return None

    def _built(self, folder: Path, version: str, data: Joined, k: int) -> ApproximateHamming:
        """Build an index and store it; one that cannot be stored is used all the same."""
        self.tell(
            f"Building the approximate index of {folder.name} ({len(data):,} hashes); it is kept for later questions."
        )
        made = ApproximateHamming.build(data, target=RECALL, k=k, n_sample=200, n_lists=None, seed=0)
        try:
            _store(made, folder, version)
        except OSError as error:
            self.tell(f"The index of {folder.name} cannot be kept in {folder}: {error.strerror or error}.")
        return made


def _store(made: ApproximateHamming, folder: Path, version: str) -> None:
    """Write an index whole, then remove those of other versions and those that it serves for."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{version}-{made.report.k}.npz"
    with written(path, "index") as fresh, fresh.open("wb") as file:
        np.savez(file, index=made.dump(), report=np.array(json.dumps(asdict(made.report))))
    for other in set(folder.glob("*.npz")) - {path}:
        other.unlink(missing_ok=True)


def _measured_at(path: Path) -> int:
    k = path.stem.rpartition("-")[2]
    return int(k) if k.isdecimal() else 0
