"""What is stored for an asset partition: the draft of it, its record, and the read-only table that it becomes."""

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import duckdb
import numpy as np
import pyarrow as pa

from espalier.core.errors import EspalierError
from espalier.core.names import RENAMED_OPTIONS
from espalier.io.warehouse.pool import attached

BLOCK_ROWS = 16384


Rows: TypeAlias = pa.Table | pa.RecordBatchReader


@dataclass(frozen=True)
class Draft:
    """Tables about to be stored together.

    ``rows`` become the main table ``data``, ordered by the column ``sort`` ("": in order already); ``side`` tables are
    stored as they come. ``stats`` are counts that the command line and the next stages read without opening the tables.
    """

    rows: Rows
    sort: str = "sample_id"
    side: Mapping[str, Rows] = field(default_factory=dict)
    stats: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Meta:
    """Where a stored partition came from; kept inside its file, so it is swapped in with the rows.

    ``recipe`` is "" for assets with one dimension. ``inputs`` has the data version of each upstream partition at that
    time. ``data_version`` is 128 bits of the rows' contents, whatever their order: equal contents give equal versions.
    """

    asset: str
    dataset: str
    recipe: str
    code_version: str
    params: Mapping[str, Any]
    inputs: Mapping[str, str]
    data_version: str = ""
    n_rows: int = 0
    stats: Mapping[str, Any] = field(default_factory=dict)

    def dumps(self) -> str:
        """Write as JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def loads(cls, text: str) -> "Meta":
        """Read what ``dumps`` wrote."""
        record = json.loads(text)
        params = {RENAMED_OPTIONS.get(name, name): value for name, value in record["params"].items()}
        return cls(**record | {"params": params})


class Table:
    """One asset partition (a DuckDB file, stored or staged), opened read-only on first use.

    The main table is ``data``, in order of its key (sample_id or cluster); ``side`` tables have names.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @functools.cached_property
    def meta(self) -> Meta:
        """The record stored with the rows, as it is when first asked for."""
        state = self.state()
        if state not in _RECORDS:
            record = self.arrow(["record"], "_meta")["record"][0].as_py()
            _RECORDS[state] = Meta.loads(record)
        return _RECORDS[state]

    def state(self) -> tuple[int, int, int]:
        """Tell which file stands at the path now; a file written anew has another state, a renamed one the same."""
        now = self.path.stat()
        return now.st_dev, now.st_ino, now.st_mtime_ns

    @contextmanager
    def connect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the file read-only, as it is now, for the length of a block.

        It is attached, not connected to: DuckDB gives a second connection to a path the database that the first one
        opened, even when another file stands there since.
        """
        with ExitStack() as stack:
            try:
                db = stack.enter_context(attached({"stored": self.path}))
                db.execute("USE stored")
            except duckdb.Error as error:
                raise unreadable(self.path, error) from error
            yield db

    def __len__(self) -> int:
        return self.meta.n_rows

    def batches(
        self, columns: Sequence[str], table: str = "data", where: str = "true", rows: int = BLOCK_ROWS
    ) -> Iterator[pa.RecordBatch]:
        """Stream ``columns`` (names or SQL expressions) in stored order, at most ``rows`` rows a batch."""
        with self.connect() as db:
            query = f"SELECT {', '.join(columns)} FROM {table} WHERE {where}"
            yield from db.sql(query).to_arrow_reader(rows)

    def arrow(self, columns: Sequence[str], table: str = "data", where: str = "true") -> pa.Table:
        """Return ``columns`` as one Arrow table."""
        with self.connect() as db:
            return db.sql(f"SELECT {', '.join(columns)} FROM {table} WHERE {where}").to_arrow_table()

    def column(self, column: str, table: str = "data", where: str = "true") -> np.ndarray:
        """Return one column of numbers or booleans as a numpy array of shape (n_rows,)."""
        return self.arrow([column], table, where).column(0).to_numpy()

    def matrix(
        self, column: str, table: str = "data", where: str = "true", rows: np.ndarray | None = None
    ) -> np.ndarray:
        """Return an array column as (n_rows, width), filled block by block (no second copy in memory).

        With ``rows``, (n_rows,) bool, only those that are True.
        """
        if rows is None:
            rows = np.ones(int(self.column("count(*)", table, where)[0]), bool)
        out, start, row = None, 0, 0
        for batch in self.batches([column], table, where):
            block = array_block(batch.column(0))
            if out is None:
                out = np.empty((np.count_nonzero(rows), block.shape[1]), block.dtype)
            chosen = rows[row : row + len(block)]
            row, stop = row + len(block), start + int(np.count_nonzero(chosen))
            out[start:stop] = block if chosen.all() else block[chosen]
            start = stop
        return np.empty((0, 0), np.float32) if out is None else out


def unreadable(path: Path, error: duckdb.Error) -> EspalierError:
    """Make the error for a file that is no readable database."""
    first = str(error).strip().splitlines()[0].rstrip(".")
    return EspalierError(f"{path} cannot be read: {first}.", "Delete it; the next run makes it anew.")


def array_block(column: pa.Array) -> np.ndarray:
    """View a fixed-size list column without nulls as (n, width) without a copy."""
    flat = column.flatten().to_numpy(zero_copy_only=True)
    return flat.reshape(-1, column.type.list_size)


def array_column(matrix: np.ndarray) -> pa.Array:
    """Wrap (n, width) numbers as a fixed-size list column, which DuckDB stores as an ARRAY."""
    flat = pa.array(np.ascontiguousarray(matrix).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, matrix.shape[1])


def centroid_table(centroids: np.ndarray) -> pa.Table:
    """Return centroids, (k, d), as a side table: cluster and centroid."""
    return pa.table(
        {"cluster": pa.array(np.arange(len(centroids), dtype=np.int32)), "centroid": array_column(centroids)}
    )


_RECORDS: dict[tuple[int, int, int], Meta] = {}
"""Records of files read before in this process; a stored file never changes, so neither does its record."""


@contextmanager
def session(**tables: Table | pa.Table) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the tables read-only under the names given; the connection closes at the end of the block.

    The main table of ``clusters=...`` is the view ``clusters``; its side tables are ``in_clusters.<name>``.
    """
    stored = {name: table for name, table in tables.items() if isinstance(table, Table)}
    with attached({f"in_{name}": table.path for name, table in stored.items()}) as db:
        for name, table in tables.items():
            if name in stored:
                db.execute(f"CREATE TEMP VIEW {name} AS SELECT * FROM in_{name}.data")
            else:
                db.register(name, table)
        yield db
