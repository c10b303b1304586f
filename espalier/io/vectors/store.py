"""The vector store of a dataset while it is embedded: resumable Parquet parts, and what is reused from elsewhere.

Vectors are keyed by (sha256 of the content, encoder id). A part is written whole and then renamed, so a killed run
loses at most the part it was writing; the next run embeds only what no part and no stored table holds. Vectors of
another encoder id are never looked at. One run at a time embeds a dataset: a second one waits, and then finds what
the first has stored.
"""

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from espalier.io.atomic import written
from espalier.io.warehouse import Table, Warehouse
from espalier.io.warehouse.pool import attached, quoted
from espalier.io.warehouse.spool import array_aside
from espalier.io.warehouse.table import array_block, array_column

PART_ROWS = 8192
_OF_ROWS = "SELECT n.row, v.vector, v.hash FROM needed n JOIN vectors v USING (sha256)"


@dataclass
class VectorStore:
    """Parts of one dataset and stored tables of all datasets, for one encoder.

    ``encoder_id`` names the parts in ``folder``; those of other encoders are left alone until the folder is removed.
    ``dim`` and ``hash_bytes`` are the widths of a vector and of a packed hash. ``tables`` are stored ``embeddings``
    made with the same encoder; ``source`` tells what of them holds the vectors: the samples (``data``), or the distinct
    texts beside them (``texts``), keyed by their digest. The lock is held until ``commit`` or ``discard``.
    """

    folder: Path
    encoder_id: str
    dim: int
    hash_bytes: int
    tables: list[Table] = field(default_factory=list)
    lock: IO[str] | None = None
    source: str = "data"

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    @classmethod
    def open(
        cls,
        store: Warehouse,
        dataset: str,
        encoder_id: str,
        dim: int,
        hash_bytes: int,
        tell: Callable[[str], object] = lambda _: None,
        *,
        source: str = "data",
        locked: bool = True,
    ) -> "VectorStore":
        """Find everything in the warehouse that was embedded by this encoder; ``tell`` says when it has to wait.

        Of two stores of one dataset in one process only the first is ``locked``; it removes the parts of both.
        """
        lock = taken_lock(store.parts("embeddings", dataset), tell) if locked else None
        tables = [t for name in store.datasets("embeddings") if (t := store.get("embeddings", name))]
        stat = "encoder_id" if source == "data" else "texts_id"
        same = [t for t in tables if t.meta.stats.get(stat) == encoder_id]
        return cls(store.parts("embeddings", dataset), encoder_id, dim, hash_bytes, same, lock, source)

    def missing(self, needed: pa.Table) -> pa.Table:
        """Return the rows of ``needed`` (sample_id, sha256 and more) to embed: each content once, first id first."""
        with self._connect(needed) as db:
            return db.sql(
                """SELECT * FROM
                   (SELECT DISTINCT ON (sha256) * FROM needed ORDER BY sha256, sample_id)
                   ANTI JOIN vectors USING (sha256) ORDER BY sample_id"""
            ).to_arrow_table()

    def add(self, sha256: pa.Array, vectors: np.ndarray, hashes: np.ndarray) -> None:
        """Write one part: (n,) digests, (n, dim) float32 unit vectors, (n, hash_bytes) uint8."""
        number = len(list(self.folder.glob(f"{self.encoder_id}-*.parquet")))
        path = self.folder / f"{self.encoder_id}-{number:06d}.parquet"
        rows = pa.table({"sha256": sha256, "vector": array_column(vectors), "hash": array_column(hashes)})
        with written(path) as fresh:
            pq.write_table(rows, fresh, compression="none", use_dictionary=False, write_statistics=False)

    def merged(self, needed: pa.Table) -> Iterator[pa.RecordBatch]:
        """Stream (sample_id, sha256, vector, hash) for every needed row that has a vector, in order of sample_id.

        Each vector is put in its row's place, in a file where they are many: sorting them takes more memory.
        """
        needed, n = needed.select(["sample_id", "sha256"]).sort_by("sample_id"), len(needed)
        vectors = array_aside((n, self.dim), np.float32, self.folder)
        hashes = array_aside((n, self.hash_bytes), np.uint8, self.folder)
        have = np.zeros(n, bool)
        with self._connect(needed.append_column("row", pa.array(np.arange(n)))) as db:
            for batch in db.sql(_OF_ROWS).to_arrow_reader(PART_ROWS):
                rows = batch["row"].to_numpy()
                vectors[rows], hashes[rows], have[rows] = array_block(batch["vector"]), array_block(batch["hash"]), True
        names = [needed[name].combine_chunks() for name in ("sample_id", "sha256")]
        there = np.flatnonzero(have)
        for start in range(0, len(there), PART_ROWS):
            rows = there[start : start + PART_ROWS]
            named = [name.take(pa.array(rows)) for name in names]
            blocks = [array_column(vectors[rows]), array_column(hashes[rows])]
            yield pa.RecordBatch.from_arrays([*named, *blocks], schema=self.schema())

    def schema(self) -> pa.Schema:
        """Return the schema of ``merged``."""
        return vector_schema(self.dim, self.hash_bytes)

    def commit(self) -> None:
        """Remove the parts: their vectors are in the stored table now."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.discard()

    def discard(self) -> None:
        """Keep the parts: the next run goes on from them."""
        if self.lock is not None:
            self.lock.close()

    @contextmanager
    def _connect(self, needed: pa.Table) -> Iterator[duckdb.DuckDBPyConnection]:
        """Lend a connection with the views ``needed`` and ``vectors``; a content stands in each of them once.

        Parts hold what no table held, each content once; tables may share contents, so one row of each is chosen.
        """
        digest = "sha256" if self.source == "data" else "sha256(text) AS sha256"
        columns = f"vector::FLOAT[{self.dim}] AS vector, hash::UTINYINT[{self.hash_bytes}] AS hash"
        stored = [f"SELECT {digest}, {columns} FROM t{number}.{self.source}" for number in range(len(self.tables))]
        parts = ", ".join(quoted(p) for p in sorted(self.folder.glob(f"{self.encoder_id}-*.parquet")))
        selects = []
        if stored:
            tables = f"SELECT * FROM ({' UNION ALL '.join(stored)}) SEMI JOIN needed USING (sha256)"
            selects.append(f"SELECT DISTINCT ON (sha256) * FROM ({tables})")
        if parts:
            selects.append(f"SELECT sha256, {columns} FROM read_parquet([{parts}])")
        empty = f"SELECT NULL::VARCHAR AS sha256, NULL::FLOAT[{self.dim}] AS vector, NULL::UTINYINT[{self.hash_bytes}]"
        with attached({f"t{number}": table.path for number, table in enumerate(self.tables)}) as db:
            db.register("needed", needed)
            db.execute(f"CREATE TEMP VIEW vectors AS {' UNION ALL '.join(selects or [f'{empty} AS hash WHERE false'])}")
            yield db


def vector_schema(dim: int, hash_bytes: int) -> pa.Schema:
    """Return the schema of rows with a vector and its packed hash."""
    return pa.schema(
        [
            ("sample_id", pa.string()),
            ("sha256", pa.string()),
            ("vector", pa.list_(pa.float32(), dim)),
            ("hash", pa.list_(pa.uint8(), hash_bytes)),
        ]
    )


def taken_lock(folder: Path, tell: Callable[[str], object]) -> IO[str]:
    """Take the lock of a folder of parts; it ends with the process, however that ends."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = folder.with_name(f".{folder.name}.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        tell("Another run is embedding this dataset; waiting until it has finished.")
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock
