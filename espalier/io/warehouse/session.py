"""SQL across partitions and Arrow tables: a DuckDB connection with each given table as a view."""

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from espalier.io.warehouse.pool import attached
from espalier.io.warehouse.table import Table


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
