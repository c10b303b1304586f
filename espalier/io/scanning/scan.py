"""Turns samples into rows of ``raw_dataset``: each file is read once, for all that is known of it.

A sample that cannot be read, that changes or vanishes meanwhile, is a row with its reason and never stops the scan.
Rows come in the reader's order, for any number of threads; the warehouse sorts them by sample_id.
"""

import hashlib
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from espalier.io.files.blobs import MAX_BYTES, BlobError, read_blob, stat_blob
from espalier.io.formats.read.base import Reader, Sample
from espalier.io.images.decode import MAX_PIXELS, UnreadableImage, inspect
from espalier.io.images.grid import GRID_LENGTH, GRID_SIDE, THUMB_SIDE, area_grid, grey_thumb
from espalier.io.scanning.previous import PreviousScan

THUMB_LENGTH = THUMB_SIDE**2
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
        ("thumb", pa.list_(pa.uint8(), THUMB_LENGTH)),
    ]
)


Facts = Mapping[str, Any]
"""What reading one sample tells: those columns of RAW_SCHEMA that do not come from its dataset."""


def scan(
    reader: Reader,
    *,
    threads: int,
    previous: PreviousScan | None = None,
    batch_size: int = BATCH,
    max_pixels: int = MAX_PIXELS,
    start: int = 0,
    stop: int | None = None,
    refused: Mapping[int, str] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Read every sample of a dataset once; yield batches of ``RAW_SCHEMA`` in the reader's order.

    A file with the uri, size and mtime that it has in ``previous`` is not read again. Each thread holds at most one
    file and its reduced picture; at most two batches are in flight, and of batches of one row only one. Only rows from
    ``start`` to ``stop`` are read, and ``refused`` ones are errors with that reason. A sample id that was there before
    is an error row under the id ``<id>#repeat-<row>``, so that ids stay unique.
    """
    ids, waiting, row = SampleIds(), deque[tuple[list[Sample], list[Future[list[Facts]]]]](), 0
    pool = ThreadPoolExecutor(max(1, threads), thread_name_prefix="scan")
    try:
        for batch in reader.batches(batch_size):
            samples = _wanted(ids.check([writable(sample) for sample in batch]), row, start, stop, refused or {})
            row += len(batch)
            if samples:
                known = previous.find([s.uri for s in samples if s.uri and not s.error]) if previous else {}
                chunks = [samples[at : at + _CHUNK] for at in range(0, len(samples), _CHUNK)]
                waiting.append((samples, [pool.submit(_inspect_all, chunk, known, max_pixels) for chunk in chunks]))
            if len(waiting) > (batch_size > 1):
                yield _collected(*waiting.popleft())
            if stop is not None and row >= stop:
                break
        while waiting:
            yield _collected(*waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _wanted(
    samples: list[Sample], first: int, start: int, stop: int | None, refused: Mapping[int, str]
) -> list[Sample]:
    """Return the samples, of which the first is row ``first``, between two rows; refused ones are errors."""
    checked = [
        replace(sample, error=refused[row]) if row in refused else sample for row, sample in enumerate(samples, first)
    ]
    return checked[max(0, start - first) : None if stop is None else max(0, stop - first)]


def _inspect_all(samples: list[Sample], known: Mapping[str, Facts], max_pixels: int) -> list[Facts]:
    return [_inspect(sample, known.get(sample.uri), max_pixels) for sample in samples]


def _inspect(sample: Sample, known: Facts | None, max_pixels: int) -> Facts:
    if sample.error is not None:
        return {"error": sample.error}
    if not sample.uri:
        return _text_facts(sample.caption)
    try:
        if known and _unchanged(known, *stat_blob(sample.uri), max_pixels):
            return known
        blob = read_blob(sample.uri)
    except BlobError as error:
        return {"error": str(error)}
    except OSError as error:
        return {"error": f"cannot be read: {error.strerror or error}"}
    facts = {"sha256": blob.sha256, "n_bytes": blob.n_bytes, "mtime_ns": blob.mtime_ns}
    if blob.data is None:
        return facts | {"error": f"{blob.n_bytes >> 20} MiB, more than the limit of {MAX_BYTES >> 20}"}
    try:
        info, rgb = inspect(blob.data, GRID_SIDE, max_pixels=max_pixels)
        pictures = {"grid": area_grid(rgb), "thumb": grey_thumb(rgb)}
    except UnreadableImage as error:
        return facts | {"error": str(error)}
    except MemoryError:
        return facts | {"error": "not enough memory to decode it"}
    return facts | {"width": info.width, "height": info.height, "orientation": info.orientation} | pictures


def _text_facts(text: str | None) -> Facts:
    """Return the facts of a sample that is a text and no picture."""
    if not text:
        return {"error": "there is neither a picture nor a text"}
    data = text.encode()
    return {"sha256": hashlib.sha256(data).hexdigest(), "n_bytes": len(data), "mtime_ns": 0}


def _unchanged(known: Facts, n_bytes: int | None, mtime_ns: int, max_pixels: int) -> bool:
    """Tell whether a file is what it was (its size may be unknown before it is read), and of a size that is allowed."""
    same = bool(mtime_ns) and known["mtime_ns"] == mtime_ns and n_bytes in (None, known["n_bytes"])
    return same and (known["width"] or 0) * (known["height"] or 0) <= max_pixels


def _collected(samples: list[Sample], futures: list[Future[list[Facts]]]) -> pa.RecordBatch:
    facts = [fact for future in futures for fact in future.result()]
    rows = [
        {
            "sample_id": sample.sample_id,
            "subset": sample.subset,
            "uri": sample.uri,
            "labels": sample.labels,
            "caption": sample.caption,
            "uid": sample.uid or fact.get("sha256", "")[:32] or None,
            **fact,
        }
        for sample, fact in zip(samples, facts, strict=True)
    ]
    columns = [_column([row.get(field.name) for row in rows], field.type) for field in RAW_SCHEMA]
    return pa.RecordBatch.from_arrays(columns, schema=RAW_SCHEMA)


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    """Make a column, of values or of arrays of one length."""
    if not pa.types.is_fixed_size_list(kind):
        return pa.array(values, kind)
    absent = np.array([value is None for value in values], dtype=bool)
    filled = np.zeros((len(values), kind.list_size), kind.value_type.to_pandas_dtype())
    if not absent.all():
        filled[~absent] = np.stack([value for value in values if value is not None])
    return pa.FixedSizeListArray.from_arrays(pa.array(filled.ravel()), kind.list_size, mask=pa.array(absent))


class SampleIds:
    """The ids of the samples so far, in 16 bytes each, as sorted blocks of digests that double in size."""

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


def writable(sample: Sample) -> Sample:
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
