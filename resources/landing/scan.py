"""Turns samples into rows of ``raw_dataset``: each file is read once, for all that is known of it.

What belongs here: the row's schema, the pool of threads, the words in ``error``. What does not: which samples
there are (``resources.formats``), decoding (``resources.pictures.images``), the feature (``resources.pictures.grid``),
and storing.

A sample that cannot be read, that changes or vanishes meanwhile, is a row with its reason and never stops the
scan. Rows come in the reader's order, for any number of threads; the warehouse sorts them by sample_id.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from resources.formats.base import Reader, Sample
from resources.pictures.grid import GRID_SIDE, area_grid
from resources.pictures.images import MAX_PIXELS, UnreadableImage, inspect
from resources.reading.blobs import MAX_BYTES, BlobError, read_blob, stat_blob

GRID_LENGTH = 243
BATCH = 1024
_CHUNK = 16

RAW_SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("subset", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        ("sha256", pa.string()),
        ("n_bytes", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("orientation", pa.int8()),
        ("labels", pa.list_(pa.string())),
        ("caption", pa.string()),
        ("uid", pa.string()),
        ("error", pa.string()),
        ("grid", pa.list_(pa.uint16(), GRID_LENGTH)),
    ]
)

Previous = Callable[[str, int | None, int], Mapping[str, Any] | None]
"""(uri, n_bytes or None when only reading tells, mtime_ns) -> the row of an earlier scan, or None."""


@dataclass(frozen=True, slots=True)
class _Facts:
    """What reading one sample found; the columns of RAW_SCHEMA that do not come from its dataset."""

    sha256: str | None = None
    n_bytes: int | None = None
    mtime_ns: int | None = None
    width: int | None = None
    height: int | None = None
    orientation: int | None = None
    error: str | None = None
    grid: np.ndarray | None = None


def scan(
    reader: Reader,
    *,
    threads: int,
    previous: Previous | None = None,
    progress: Callable[[int], None] | None = None,
    batch_size: int = BATCH,
    max_pixels: int = MAX_PIXELS,
) -> Iterator[pa.RecordBatch]:
    """Read every sample of a dataset once.

    Parameters
    ----------
    reader : Reader
        The dataset.
    threads : int
        How many files are read and decoded at a time; each holds at most one file and its reduced picture.
    previous : Previous, optional
        Finds the row of an earlier scan; a file with the same uri, size and mtime is not read again.
    progress : callable, optional
        Called with the number of samples just finished.
    batch_size : int
        Rows of a batch. At most two batches are in flight.
    max_pixels : int
        Images with more are refused.

    Yields
    ------
    pyarrow.RecordBatch
        Of ``RAW_SCHEMA``, in the reader's order. A sample id that was there before is an error row under the
        id
        ``<id>#repeat-<row>``, so that ids stay unique.

    Raises
    ------
    EspalierError
        When the dataset cannot be listed or holds no sample.
    """
    seen, waiting = SeenIds(), deque[tuple[list[Sample], list[Future[list[_Facts]]]]]()
    pool = ThreadPoolExecutor(max(1, threads), thread_name_prefix="scan")
    try:
        for batch in reader.batches(batch_size):
            samples = seen.check([_writable(sample) for sample in batch])
            chunks = [samples[start : start + _CHUNK] for start in range(0, len(samples), _CHUNK)]
            waiting.append((samples, [pool.submit(_inspect_all, chunk, previous, max_pixels) for chunk in chunks]))
            if len(waiting) > 1:
                yield _collected(*waiting.popleft(), progress)
        while waiting:
            yield _collected(*waiting.popleft(), progress)
    finally:
        pool.shutdown(cancel_futures=True)


def lookup(batches: Iterable[pa.RecordBatch]) -> Previous:
    """Make a :data:`Previous` from the rows of an earlier scan; unreadable ones are read again."""
    kept = [batch.filter(batch["error"].is_null()) for batch in batches]
    table = (pa.Table.from_batches(kept) if kept else RAW_SCHEMA.empty_table()).combine_chunks()
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


class SeenIds:
    """Remembers sample ids in 16 bytes each, as sorted blocks of digests that double in size."""

    def __init__(self) -> None:
        self._blocks: list[np.ndarray] = []
        self._rows = 0

    def check(self, batch: list[Sample]) -> list[Sample]:
        """Return the batch with samples whose id was there before, or is empty, turned into errors."""
        digests = np.array([_digest(sample.sample_id) for sample in batch], dtype="V16").view("S16")
        repeated = np.ones(len(batch), dtype=bool)
        repeated[np.unique(digests, return_index=True)[1]] = False
        for block in self._blocks:
            places = np.minimum(np.searchsorted(block, digests), len(block) - 1)
            repeated |= block[places] == digests
        self._add(np.sort(digests[~repeated]))
        checked = [
            self._refused(sample, row) if bad else sample
            for row, (sample, bad) in enumerate(zip(batch, repeated, strict=True))
        ]
        self._rows += len(batch)
        return checked

    def _add(self, block: np.ndarray) -> None:
        while self._blocks and len(self._blocks[-1]) <= 2 * len(block):
            block = np.sort(np.concatenate([self._blocks.pop(), block]), kind="stable")
        if len(block):
            self._blocks.append(block)

    def _refused(self, sample: Sample, row: int) -> Sample:
        return Sample(
            f"{sample.sample_id}#repeat-{self._rows + row}",
            sample.subset,
            sample.uri,
            sample.labels,
            sample.caption,
            sample.uid,
            f"the sample id {sample.sample_id!r} is there already",
        )


def _writable(sample: Sample) -> Sample:
    """Return the sample, or an error when no column or no kept.txt can hold its texts (JSON allows half characters)."""
    texts = (sample.sample_id, sample.subset, sample.uri, sample.caption or "", sample.uid or "", *sample.labels)
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        sample_id, subset, uri, caption, uid, *labels = (
            text.encode("utf-8", "backslashreplace").decode() for text in texts
        )
        reason = sample.error or "a text of it is not Unicode"
        return Sample(sample_id, subset, uri, tuple(labels), caption or None, uid or None, reason)
    if "\n" in sample.sample_id and sample.error is None:
        return replace(sample, error="a line break in the sample id, which kept.txt could not hold")
    return sample


def _digest(sample_id: str) -> bytes:
    return hashlib.blake2b(sample_id.encode(), digest_size=16).digest()


def _inspect_all(samples: list[Sample], previous: Previous | None, max_pixels: int) -> list[_Facts]:
    return [_inspect(sample, previous, max_pixels) for sample in samples]


def _inspect(sample: Sample, previous: Previous | None, max_pixels: int) -> _Facts:
    if sample.error is not None:
        return _Facts(error=sample.error)
    if not sample.uri:
        return _text_facts(sample.caption)
    try:
        known = previous(sample.uri, *stat_blob(sample.uri)) if previous is not None else None
        if known is not None and (known["width"] or 0) * (known["height"] or 0) <= max_pixels:
            return _remembered(known)
        blob = read_blob(sample.uri)
    except BlobError as error:
        return _Facts(error=str(error))
    except OSError as error:
        return _Facts(error=f"cannot be read: {error.strerror or error}")
    common: dict[str, Any] = {"sha256": blob.sha256, "n_bytes": blob.n_bytes, "mtime_ns": blob.mtime_ns}
    if blob.data is None:
        return _Facts(**common, error=f"{blob.n_bytes >> 20} MiB, more than the limit of {MAX_BYTES >> 20}")
    try:
        info, rgb = inspect(blob.data, GRID_SIDE, max_pixels=max_pixels)
        grid = area_grid(rgb)
    except UnreadableImage as error:
        return _Facts(**common, error=str(error))
    except MemoryError:
        return _Facts(**common, error="not enough memory to decode it")
    return _Facts(**common, width=info.width, height=info.height, orientation=info.orientation, grid=grid)


def _text_facts(text: str | None) -> _Facts:
    """Return the facts of a sample that is a text and no picture."""
    if not text:
        return _Facts(error="there is neither a picture nor a text")
    data = text.encode()
    return _Facts(sha256=hashlib.sha256(data).hexdigest(), n_bytes=len(data), mtime_ns=0)


def _remembered(row: Mapping[str, Any]) -> _Facts:
    grid = row["grid"]
    values = {name: row[name] for name in ("sha256", "n_bytes", "mtime_ns", "width", "height", "orientation", "error")}
    return _Facts(**values, grid=None if grid is None else np.asarray(grid, dtype=np.uint16))


def _collected(
    samples: list[Sample], futures: list[Future[list[_Facts]]], progress: Callable[[int], None] | None
) -> pa.RecordBatch:
    facts: list[_Facts] = []
    for future in futures:
        done = future.result()
        facts += done
        if progress is not None:
            progress(len(done))
    return _record_batch(samples, facts)


def _record_batch(samples: list[Sample], facts: list[_Facts]) -> pa.RecordBatch:
    absent = np.array([fact.grid is None for fact in facts], dtype=bool)
    grids = np.zeros((len(facts), GRID_LENGTH), dtype=np.uint16)
    if not absent.all():
        grids[~absent] = np.stack([fact.grid for fact in facts if fact.grid is not None])
    columns: dict[str, Any] = {
        name: [getattr(sample, name) for sample in samples]
        for name in ("sample_id", "subset", "uri", "labels", "caption")
    }
    columns["uid"] = [
        sample.uid or (fact.sha256 and fact.sha256[:32]) for sample, fact in zip(samples, facts, strict=True)
    ]
    for name in ("sha256", "n_bytes", "mtime_ns", "width", "height", "orientation", "error"):
        columns[name] = [getattr(fact, name) for fact in facts]
    columns["grid"] = pa.FixedSizeListArray.from_arrays(pa.array(grids.ravel()), GRID_LENGTH, mask=pa.array(absent))
    return pa.RecordBatch.from_arrays(
        [
            columns[field.name] if field.name == "grid" else pa.array(columns[field.name], field.type)
            for field in RAW_SCHEMA
        ],
        schema=RAW_SCHEMA,
    )
