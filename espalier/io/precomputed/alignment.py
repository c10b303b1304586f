"""Whose vector is whose, and how to say it: the match of vectors' ids with a dataset's samples, and its report."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_SHOWN = 5


@dataclass(frozen=True)
class Alignment:
    """Which vector belongs to which sample.

    ``rows`` has for each vector, in the order of the shards, the row of its sample (int64; -1 where it belongs to
    none); ``missing`` the rows of the samples without a vector. ``n_extra`` ids no sample has, the first of which are
    ``extra``; ``n_repeated`` ids an earlier vector has. ``column`` holds the ids, empty where there is but one.
    """

    rows: np.ndarray
    n_samples: int
    missing: np.ndarray
    n_extra: int
    n_repeated: int
    extra: tuple[str, ...]
    column: str

    def describe(self) -> dict[str, Any]:
        """Return the counts as plain values."""
        return {
            "vectors": len(self.rows),
            "matched": int((self.rows >= 0).sum()),
            "samples_without_vector": len(self.missing),
            "vectors_without_sample": self.n_extra,
            "repeated_ids": self.n_repeated,
            "first_without_sample": list(self.extra),
            "id_column": self.column,
        }

    @classmethod
    def of_ids(cls, ids: pa.ChunkedArray, places: pa.ChunkedArray, n_samples: int, column: str) -> "Alignment":
        """Make one of the vectors' ids and of the samples' rows that ``pc.index_in`` gives for them."""
        rows = pc.fill_null(places, -1).to_numpy().astype(np.int64)
        known = np.flatnonzero(rows >= 0)
        first = np.zeros(len(rows), dtype=bool)
        _, at = np.unique(rows[known], return_index=True)
        first[known[at]] = True
        strangers = np.flatnonzero(rows < 0)
        repeated = int(len(known) - first.sum())
        rows = np.where(first, rows, -1)
        has = np.zeros(n_samples, dtype=bool)
        has[rows[first]] = True
        shown = tuple(str(ids[int(place)].as_py()) for place in strangers[:_SHOWN])
        return cls(rows, n_samples, np.flatnonzero(~has), len(strangers), repeated, shown, column)


def report(counts: Mapping[str, Any]) -> str:
    """Say in words how embeddings and samples fit; ``counts`` is ``Alignment.describe()``."""
    said = [f"{counts['matched']:,} of {counts['vectors']:,} vectors belong to a sample"]
    if counts["samples_without_vector"]:
        said.append(f"{counts['samples_without_vector']:,} samples have none")
    if counts["vectors_without_sample"]:
        shown = counts["first_without_sample"]
        more = ", ..." if counts["vectors_without_sample"] > len(shown) else ""
        ids = ", ".join(map(repr, shown))
        said.append(f"{counts['vectors_without_sample']:,} belong to no sample ({ids}{more})")
    if counts["repeated_ids"]:
        said.append(f"{counts['repeated_ids']:,} repeat an id, of which the first counts")
    return "; ".join(said) + "."
