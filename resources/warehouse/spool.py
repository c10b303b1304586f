"""Rows put aside on the disk while they come, so that a stage of any length holds only a batch of them."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from resources.leftovers import beside


def spooled(batches: Iterable[pa.RecordBatch], schema: pa.Schema, target: Path) -> pa.RecordBatchReader:
    """Write all batches to a file beside ``target`` and return a reader of them, in order, to be read once.

    The file has no name any more when this returns: its room is free again as soon as the reader is gone, also
    when the process is killed.

    Raises
    ------
    OSError
        When the disk is full or may not be written; what ``batches`` raises passes through. Nothing is left.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    path = beside(target, target.stem, ".tmp")
    try:
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as out:
            for batch in batches:
                out.write_batch(batch)
        return pa.ipc.open_stream(pa.OSFile(str(path)))
    finally:
        path.unlink(missing_ok=True)
