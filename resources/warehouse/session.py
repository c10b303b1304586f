"""SQL across partitions: an in-memory DuckDB with each given table as a view."""

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from resources.warehouse.table import Table, quoted


@contextmanager
def session(**tables: Table) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the tables read-only under the names given; the connection closes at the end of the block.

    The main table of ``clusters=...`` is the view ``clusters``; its side tables are ``in_clusters.<name>``.
    """
    with duckdb.connect() as db:
        for name, table in tables.items():
            db.execute(f"ATTACH {quoted(table.path)} AS in_{name} (READ_ONLY)")
            db.execute(f"CREATE VIEW {name} AS SELECT * FROM in_{name}.data")
        yield db
