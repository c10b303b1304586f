"""What the ``embeddings`` asset stores, wherever its vectors come from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from espalier.io.vectors.texts import Texts
from espalier.io.warehouse import Piece


@dataclass(frozen=True)
class Vectors:
    """The vectors of the survivors, and why some have none.

    ``batches`` have sample_id, sha256, vector, hash, in order of sample_id, for the samples that have one: ``have``,
    (n,) bool. ``failed`` is sample_id and reason of the others. ``texts`` are those that the vectors are of, where they
    are of texts. ``cleanup`` may go once the rows are stored.
    """

    batches: Iterator[pa.RecordBatch]
    schema: pa.Schema
    have: np.ndarray
    failed: pa.Table
    stats: Mapping[str, Any]
    metadata: Mapping[str, Any]
    texts: Texts | None = None
    cleanup: tuple[Piece, ...] = ()


def errors_table(needed: pa.Table, failed: np.ndarray, reasons: list[str]) -> pa.Table:
    """Return sample_id and reason of the rows of ``needed`` where ``failed``: (n,) bool."""
    ids = needed["sample_id"].filter(pa.array(failed))
    return pa.table({"sample_id": ids, "reason": pa.array(reasons, pa.string())})
