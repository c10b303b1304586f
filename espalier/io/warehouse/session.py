"""SQL across partitions: a DuckDB connection with each given table as a view."""

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from espalier.io.warehouse.pool import attached
from espalier.io.warehouse.table import Table


@contextmanager
def session(**tables: Table) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the tables read-only under the names given; the connection closes at the end of the block.

    The main table of ``clusters=...`` is the view ``clusters``; its side tables are ``in_clusters.<name>``. Without
    tables it is a place to ask Arrow tables that are registered in it.
    """
    with attached({f"in_{name}": table.path for name, table in tables.items()}) as db:
        for name in tables:
            db.execute(f"CREATE TEMP VIEW {name} AS SELECT * FROM in_{name}.data")
        yield db
