"""Datumaro's NDR over a stored dataset: its pictures read and decoded in threads, the verdicts as a table.

What belongs here: who takes part, reading, and the words for each fate. What does not: the algorithm
(``espalier.core.dedup.ndr``), and the chain's own duplicates, which this neither reads nor changes.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
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

IN_FLIGHT = 4  # pictures a thread that are decoded or wait to be
COLUMNS = ("sample_id", "subset", "fate", "duplicate_of", "similarity")


@dataclass(frozen=True)
class StoredNdr:
    """What NDR decided about the samples of one dataset.

    Attributes
    ----------
    dataset : str
    parameters : Ndr
    samples : pyarrow.Table
        A row a sample of the working subset: sample_id, subset (the one it came from), fate (kept, ``brought
        back``, duplicate, ``cut``), duplicate_of and similarity (null where it was no duplicate).
    others : dict of str to int
        Samples of each subset that NDR did not work in.
    unreadable : dict of str to str
        Samples whose picture could not be read now, with the reason; they take no part and stay.
    search : SearchReport
        How pairs were sought, and what share of them was found.
    """

    dataset: str
    parameters: Ndr
    samples: pa.Table
    others: dict[str, int]
    unreadable: dict[str, str]
    search: SearchReport

    def removed(self) -> list[dict[str, Any]]:
        """Return the samples that go to the duplicated subset, in order of their ids."""
        gone = pa.array([fate in ("duplicate", "cut") for fate in self.samples["fate"].to_pylist()], pa.bool_())
        rows: list[dict[str, Any]] = self.samples.filter(gone).to_pylist()
        return [row | {"similarity": row["similarity"] and round(row["similarity"], 6)} for row in rows]

    def summary(self) -> dict[str, Any]:
        """Return counts, parameters and what was removed, as plain values."""
        fates = {c["values"]: c["counts"] for c in self.samples["fate"].value_counts().to_pylist()}
        before = dict(sorted(_counted(self.samples["subset"]).items()))
        removed = self.removed()
        after = dict(before)
        for row in removed:
            after[row["subset"]] -= 1
        return {
            "dataset": self.dataset,
            "parameters": asdict(self.parameters),
            "n_samples": len(self.samples),
            "n_kept": fates.get("kept", 0) + fates.get("brought back", 0),
            "n_duplicates": fates.get("duplicate", 0),
            "n_brought_back": fates.get("brought back", 0),
            "n_cut": fates.get("cut", 0),
            "n_unreadable": len(self.unreadable),
            **self.search.describe(),
            "subsets": _subsets(before, after, self.others, self.parameters.duplicated_subset, len(removed)),
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

    Raises
    ------
    UsageError
        For an unknown subset, or more bits than the feature has entries.
    EspalierError
        When there are fewer samples than ``num_cut``.
    """
    facts = raw_dataset.arrow(["sample_id", "subset", "uri"], where="error IS NULL AND uri <> ''")
    names = np.array([name or UNNAMED for name in facts["subset"].to_pylist()], dtype=str)
    rows = parameters.working_rows(names)
    parameters.check(len(rows), feature_length(parameters.block_shape))
    facts = facts.set_column(1, "subset", pa.array(names.tolist(), pa.string()))
    apart = np.ones(len(names), bool)
    apart[rows] = False
    return Members(facts.take(pa.array(rows)), _counted(facts["subset"].filter(pa.array(apart))))


def run_ndr(
    dataset: str,
    found: Members,
    parameters: Ndr,
    *,
    threads: int,
    progress: Callable[[int], None] | None = None,
) -> StoredNdr:
    """Read the pictures and decide.

    Parameters
    ----------
    dataset : str
        Its name, for the answer.
    found : Members
        From :func:`members`.
    parameters : Ndr
    threads : int
        Pictures decoded at a time; the result does not depend on it.
    progress : callable, optional
        Called with the number of pictures just read.

    Returns
    -------
    StoredNdr

    Raises
    ------
    EspalierError
        When fewer pictures can be read than ``num_cut``.
    """
    features = np.empty((len(found.facts), feature_length(parameters.block_shape)), dtype=np.float32)
    ids, errors = found.facts["sample_id"].to_pylist(), {}
    pictures = _features(found.facts["uri"].to_pylist(), parameters.block_shape, threads)
    for row, feature in enumerate(pictures):
        if isinstance(feature, str):
            errors[ids[row]] = feature
        else:
            features[row] = feature
        if progress is not None:
            progress(1)
    read = np.array([sample not in errors for sample in ids], dtype=bool)
    if not read.any():
        raise EspalierError(f"No picture of {dataset!r} can be read.", "Check that the files are still there.")
    facts = found.facts.filter(pa.array(read))
    subsets = np.array(facts["subset"].to_pylist(), dtype=str)
    result = replace(parameters, working_subset=None)(features[read] if errors else features, subsets)
    return StoredNdr(dataset, parameters, _table(facts, result), found.others, errors, result.search)


def _features(uris: list[str], block_shape: tuple[int, int], threads: int) -> Iterator[np.ndarray | str]:
    """Yield the feature of each picture, or why it cannot be read; few pictures are held at a time."""
    waiting: deque[Future[np.ndarray | str]] = deque()
    pool = ThreadPoolExecutor(max(1, threads), thread_name_prefix="ndr")
    try:
        for uri in uris:
            waiting.append(pool.submit(_feature, uri, block_shape))
            if len(waiting) >= IN_FLIGHT * max(1, threads):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _feature(uri: str, block_shape: tuple[int, int]) -> np.ndarray | str:
    try:
        return ndr_features([decode_rgb(read_bytes(uri))], block_shape)[0]
    except (BlobError, UnreadableImage) as error:
        return str(error)


def _table(facts: pa.Table, result: NdrResult) -> pa.Table:
    alike = result.similarity > 0
    fate = np.where(
        result.kept, np.where(alike, "brought back", "kept"), np.where(result.duplicate_of >= 0, "duplicate", "cut")
    )
    owners = pa.array(result.duplicate_of, mask=result.duplicate_of < 0)
    columns = (
        facts["sample_id"],
        facts["subset"],
        pa.array(fate.tolist(), pa.string()),
        facts["sample_id"].combine_chunks().take(owners),
        pa.array(result.similarity, mask=~alike),
    )
    return pa.table(dict(zip(COLUMNS, columns, strict=True)))


def _counted(column: pa.ChunkedArray) -> dict[str, int]:
    return {c["values"]: c["counts"] for c in column.value_counts().to_pylist()}


def _subsets(
    before: dict[str, int], after: dict[str, int], others: dict[str, int], gone_to: str, n_removed: int
) -> dict[str, dict[str, int]]:
    """Count each subset before and after; removed samples join those that ``gone_to`` has already."""
    names = sorted({*before, *others, gone_to})
    return {
        name: {
            "before": before.get(name, 0) + others.get(name, 0),
            "after": after.get(name, 0) + others.get(name, 0) + (n_removed if name == gone_to else 0),
        }
        for name in names
    }
