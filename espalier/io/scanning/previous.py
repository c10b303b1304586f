"""What the previous scan of a dataset found, so that files that did not change are not read again.

In memory are 16 bytes a row; the rest stays in the stored table, of which each batch reads its own rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    import duckdb

FACTS = ("uri", "sha256", "n_bytes", "mtime_ns", "width", "height", "orientation")
"""Columns of a row that stands for an unchanged file, beside its arrays."""

ARRAYS = ("grid", "thumb")


@dataclass(frozen=True)
class PreviousScan:
    """The rows of the previous scan, by uri; made by :func:`previous_scan`.

    ``codes`` are hashes of the uris, (n,) uint64, ascending; ``rows`` where in the stored table the row of each is.
    """

    codes: np.ndarray
    rows: np.ndarray
    _db: "duckdb.DuckDBPyConnection"

    def find(self, uris: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Return the rows of those uris that were read then: FACTS, and ARRAYS as arrays or None."""
        if not len(uris) or not len(self.codes):
            return {}
        self._db.register("asked", pa.table({"uri": pa.array(uris, pa.string())}))
        codes = self._db.sql("SELECT hash(uri) AS code FROM asked").to_arrow_table()["code"].to_numpy()
        places = np.minimum(np.searchsorted(self.codes, codes), len(self.codes) - 1)
        rows = np.unique(self.rows[places[self.codes[places] == codes]])
        if not len(rows):
            return {}
        self._db.register("wanted", pa.table({"row": rows}))
        query = f"SELECT {', '.join(FACTS + ARRAYS)} FROM data WHERE rowid IN (SELECT row FROM wanted)"
        stored = self._db.sql(query).to_arrow_table()
        rows = stored.select(FACTS).to_pylist()
        for name in ARRAYS:
            for row, array in zip(rows, stored[name], strict=True):
                row[name] = None if array.values is None else array.values.to_numpy()
        return {row["uri"]: row for row in rows}


@contextmanager
def previous_scan(file: Path) -> Iterator[PreviousScan]:
    """Open the rows of a stored ``raw_dataset``; unreadable files and texts are left out, so they are read again."""
    from espalier.io.warehouse import Table  # a process that reads a dataset for the first time needs no database

    with Table(file).connect() as db:
        query = "SELECT hash(uri) AS code, rowid AS row FROM data WHERE error IS NULL AND uri <> '' ORDER BY ALL"
        stored = db.sql(query).to_arrow_table()
        yield PreviousScan(stored["code"].to_numpy(), stored["row"].to_numpy(), db)
