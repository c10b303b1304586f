"""Rows put aside on the disk while they come, so that a stage of any length holds only a batch of them."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike

from espalier.io.atomic import temporary


def spooled(batches: Iterable[pa.RecordBatch], schema: pa.Schema, target: Path) -> pa.RecordBatchReader:
    """Write all batches to a file beside ``target`` and return a reader of them, in order, to be read once.

    The file has no name any more when this returns: its room is free again as soon as the reader is gone, also when the
    process is killed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    path = temporary(target, target.stem, ".tmp")
    try:
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as out:
            for batch in batches:
                out.write_batch(batch)
        return pa.ipc.open_stream(pa.OSFile(str(path)))
    finally:
        path.unlink(missing_ok=True)


IN_MEMORY = 64 << 20
"""Bytes up to which an array is worth no file."""


def array_aside(shape: tuple[int, int], dtype: DTypeLike, folder: Path) -> np.ndarray:
    """Return an array of zeros to be filled; a large one lies in a file without a name, not in memory.

    Its pages are written back and dropped by the system when memory is wanted; its room is free again when the array is
    gone, also when the process is killed.
    """
    n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if n_bytes <= IN_MEMORY:
        return np.zeros(shape, dtype)
    with tempfile.TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, n_bytes)  # a disk that is full is told now, not by a signal later
        file.truncate(n_bytes)
        return np.memmap(file, dtype, "r+", shape=shape)
