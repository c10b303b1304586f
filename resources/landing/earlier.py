"""What an earlier scan found, so that files that did not change are not read again."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pyarrow as pa

Previous = Callable[[str, int | None, int], Mapping[str, Any] | None]
"""(uri, n_bytes or None when only reading tells, mtime_ns) -> the row of an earlier scan, or None."""


def lookup(batches: Iterable[pa.RecordBatch]) -> Previous:
    """Make a :data:`Previous` from the rows of an earlier scan; unreadable ones are read again."""
    kept = [batch.filter(batch["error"].is_null()) for batch in batches]
    table = pa.Table.from_batches(kept).combine_chunks()
    rows = {uri: row for row, uri in enumerate(table["uri"].to_pylist())}
    wanted = ("sha256", "n_bytes", "mtime_ns", "width", "height", "orientation", "error", "grid")
    columns = {name: table[name] for name in wanted}

    def find(uri: str, n_bytes: int | None, mtime_ns: int) -> Mapping[str, Any] | None:
        row = rows.get(uri)
        if row is None or not mtime_ns or columns["mtime_ns"][row].as_py() != mtime_ns:
            return None
        if n_bytes is not None and columns["n_bytes"][row].as_py() != n_bytes:
            return None
        return {name: column[row].as_py() for name, column in columns.items()}

    return find
