"""``raw_dataset``: what landed, one row a sample, each file read once."""

import pyarrow as pa
import pyarrow.compute as pc

from espalier.core.errors import EspalierError
from espalier.io.scanning.request import ScanRequest
from espalier.io.scanning.scan import RAW_SCHEMA
from espalier.io.warehouse import Draft
from espalier.io.warehouse.spool import spooled
from espalier.stages.context import StageContext, StageResult
from espalier.stages.graph import STAGES

SHOWN = 20
"""Unreadable files that the page lists."""


def run(context: StageContext) -> StageResult:
    """Read every sample that landed, once; a row each, with the reason where it cannot be read."""
    zone = context.home.zone()
    listing = zone.fingerprint(context.dataset)
    previous = context.replaced  # options change which files are read, but not what is known of one that was
    known = str(previous.path) if previous and previous.meta.code_version == STAGES["raw_dataset"].version else ""
    pixels = context.options.max_pixels
    reading = context.read(ScanRequest(zone.root, context.dataset, listing.fingerprint, known, context.threads, pixels))
    counts = _Counts()
    with context.bar("reading files", listing.n_files) as advance:
        batches = map(counts.take, reading.batches(advance))
        rows = spooled(batches, RAW_SCHEMA, context.home.store().path("raw_dataset", context.dataset))
    summary = reading.summary
    if zone.fingerprint(context.dataset).fingerprint != listing.fingerprint:
        raise EspalierError(
            f"The files of {context.dataset!r} changed while they were read.", "Run again when they have settled."
        )
    names = summary.categories
    return StageResult(
        Draft(
            rows,
            side={
                "categories": pa.table(
                    {"category": pa.array(range(len(names)), pa.int32()), "name": pa.array(names, pa.string())}
                )
            },
            stats={
                "n_raw": counts.n_raw,
                "n_unreadable": counts.n_unreadable,
                "n_categories": len(names),
                "n_bytes": counts.n_bytes,
                "format": summary.format,
            },
        ),
        shown={f"unreadable (first {SHOWN})": counts.errors} if counts.errors else {},
        inputs={"listing": listing.fingerprint},
    )


class _Counts:
    """What is told of the rows, counted while they pass by."""

    def __init__(self) -> None:
        self.n_raw = self.n_unreadable = self.n_bytes = 0
        self.errors: list[dict[str, str]] = []

    def take(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        self.n_raw += len(batch)
        self.n_bytes += pc.sum(batch["n_bytes"]).as_py() or 0
        broken = batch.filter(batch["error"].is_valid())
        self.n_unreadable += len(broken)
        self.errors += broken.slice(0, SHOWN - len(self.errors)).select(["sample_id", "error"]).to_pylist()
        return batch
