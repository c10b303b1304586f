"""Datumaro's NDR over a stored dataset: its pictures read and decoded in threads, the verdicts as a table.

The algorithm is ``espalier.core.dedup.ndr``; the chain's own duplicates are neither read nor changed.
"""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from espalier.core.dedup.ndr import Ndr, NdrResult, feature_length, ndr_features
from espalier.core.dedup.near.neighbours import SearchReport
from espalier.core.errors import EspalierError
from espalier.io.files.blobs import BlobError, read_bytes
from espalier.io.images.decode import UnreadableImage, decode_rgb
from espalier.io.warehouse import Table

UNNAMED = "default"
"""What Datumaro calls the subset of samples that have none."""

BLOCK = 4096  # pictures that wait for a thread
COLUMNS = ("sample_id", "subset", "fate", "duplicate_of", "similarity")


@dataclass(frozen=True)
class StoredNdr:
    """What NDR decided about the samples of one dataset.

    ``samples`` has a row a sample of the working subset: sample_id, subset (the one it came from), fate (kept,
    ``brought back``, duplicate, ``cut``), duplicate_of and similarity (null where it was no duplicate). ``others``
    counts each subset that NDR did not work in. ``unreadable`` pictures take no part and stay, each with the reason.
    """

    dataset: str
    parameters: Ndr
    samples: pa.Table
    others: dict[str, int]
    unreadable: dict[str, str]
    search: SearchReport

    def removed(self) -> list[dict[str, Any]]:
        """Return the samples that go to the duplicated subset, in order of their ids."""
        return [
            row | {"similarity": row["similarity"] and round(row["similarity"], 6)}
            for row in self.samples.to_pylist()
            if row["fate"] in ("duplicate", "cut")
        ]

    def summary(self) -> dict[str, Any]:
        """Return counts, parameters and what was removed, as plain values."""
        fates, removed = Counter(self.samples["fate"].to_pylist()), self.removed()
        before = Counter(self.samples["subset"].to_pylist()) + Counter(self.others)
        after = before - Counter(row["subset"] for row in removed)
        after[self.parameters.duplicated_subset] += len(removed)
        names = sorted({*before, self.parameters.duplicated_subset})
        return {
            "dataset": self.dataset,
            "parameters": asdict(self.parameters),
            "n_samples": len(self.samples),
            "n_kept": fates["kept"] + fates["brought back"],
            "n_duplicates": fates["duplicate"],
            "n_brought_back": fates["brought back"],
            "n_cut": fates["cut"],
            "n_unreadable": len(self.unreadable),
            **self.search.describe(),
            "subsets": {name: {"before": before[name], "after": after[name]} for name in names},
            "removed": removed,
            "unreadable": self.unreadable,
        }


@dataclass(frozen=True)
class Members:
    """The samples that NDR works in (columns sample_id, subset, uri), and how many of each other subset stay."""

    facts: pa.Table
    others: dict[str, int]


def members(raw_dataset: Table, parameters: Ndr) -> Members:
    """Find the samples of the working subset, and refuse parameters that cannot be met.

    Samples without a subset are those of ``default``, as Datumaro names it.
    """
    subset = f"coalesce(nullif(subset, ''), '{UNNAMED}') AS subset"
    facts = raw_dataset.arrow(["sample_id", subset, "uri"], where="error IS NULL AND uri <> ''")
    names = np.array(facts["subset"].to_pylist(), dtype=str)
    rows = parameters.working_rows(names)
    parameters.check(len(rows), feature_length(parameters.block_shape))
    return Members(facts.take(pa.array(rows)), dict(Counter(np.delete(names, rows).tolist())))


def run_ndr(
    dataset: str,
    members: Members,
    parameters: Ndr,
    *,
    threads: int,
    progress: Callable[[int], None] | None = None,
) -> StoredNdr:
    """Read the pictures of :func:`members` and decide; the result does not depend on the number of threads.

    Refused where fewer pictures can be read than ``num_cut``.
    """
    features = np.empty((len(members.facts), feature_length(parameters.block_shape)), dtype=np.float32)
    ids, errors = members.facts["sample_id"].to_pylist(), {}
    uris, read = members.facts["uri"].to_pylist(), partial(_feature, block_shape=parameters.block_shape)
    pool = ThreadPoolExecutor(max(1, threads), thread_name_prefix="ndr")
    try:
        blocks = (pool.map(read, uris[start : start + BLOCK]) for start in range(0, len(uris), BLOCK))
        for row, feature in enumerate(chain.from_iterable(blocks)):
            if isinstance(feature, str):
                errors[ids[row]] = feature
            else:
                features[row] = feature
            if progress is not None:
                progress(1)
    finally:
        pool.shutdown(cancel_futures=True)
    readable = np.array([sample not in errors for sample in ids], dtype=bool)
    if not readable.any():
        raise EspalierError(f"No picture of {dataset!r} can be read.", "Check that the files are still there.")
    facts = members.facts.filter(pa.array(readable))
    subsets = np.array(facts["subset"].to_pylist(), dtype=str)
    result = replace(parameters, working_subset=None)(features[readable] if errors else features, subsets)
    return StoredNdr(dataset, parameters, _table(facts, result), members.others, errors, result.search)


def _feature(uri: str, block_shape: tuple[int, int]) -> np.ndarray | str:
    """Return the feature of a picture, or why it cannot be read."""
    try:
        return ndr_features([decode_rgb(read_bytes(uri))], block_shape)[0]
    except (BlobError, UnreadableImage) as error:
        return str(error)


def _table(facts: pa.Table, result: NdrResult) -> pa.Table:
    alike = result.similarity > 0
    fate = np.select(
        [result.kept & alike, result.kept, result.duplicate_of >= 0], ["brought back", "kept", "duplicate"], "cut"
    )
    columns = (
        facts["sample_id"],
        facts["subset"],
        pa.array(fate.tolist(), pa.string()),
        facts["sample_id"].combine_chunks().take(pa.array(result.duplicate_of, mask=result.duplicate_of < 0)),
        pa.array(result.similarity, mask=~alike),
    )
    return pa.table(dict(zip(COLUMNS, columns, strict=True)))
