"""``raw_dataset``: what landed, one row a sample, each file read once."""

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from assets.checks import few_unreadable, ids_unique, some_readable
from assets.stage import Outcome, Work, stage_asset
from espalier.errors import EspalierError
from resources.scanning.job import Job
from resources.scanning.scan import RAW_SCHEMA
from resources.warehouse import Draft
from resources.warehouse.spool import spooled

SHOWN = 20
"""Unreadable files that the page lists."""


@stage_asset(
    "raw_dataset",
    kinds={"python", "duckdb"},
    checks=(ids_unique, some_readable, few_unreadable),
)
def raw_dataset(work: Work) -> Outcome:
    """Every sample that landed: its key, digest, size, labels, and why it cannot be read where it cannot.

    Files are read once, for their digest, their header, and a reduced decode that finds truncated ones and gives
    the area grid that near duplicates are found by. Files that did not change since the last time are not read.
    They are read in a process of its own: one that crashes its decoder is recorded, as every unreadable one is.
    """
    listing = work.landing.fingerprint(work.dataset)
    pixels = work.options.max_pixels
    job = Job.of(work.landing, work.replaced, work.dataset, listing.fingerprint, work.threads, pixels)
    reading = work.read(job)
    found = _Counts()
    with work.bar("reading files", listing.n_files) as advance:
        batches = map(found.take, reading.batches(advance))
        rows = spooled(batches, RAW_SCHEMA, work.store.path("raw_dataset", work.dataset))
    about = reading.about
    if work.landing.fingerprint(work.dataset).fingerprint != listing.fingerprint:
        raise EspalierError(
            f"The files of {work.dataset!r} changed while they were read.", "Run again when they have settled."
        )
    names = about.categories
    return Outcome(
        Draft(
            rows,
            side={
                "categories": pa.table(
                    {"category": pa.array(range(len(names)), pa.int32()), "name": pa.array(names, pa.string())}
                )
            },
            stats={
                "n_raw": found.n_raw,
                "n_unreadable": found.n_unreadable,
                "n_categories": len(names),
                "n_bytes": found.n_bytes,
                "format": about.format,
            },
        ),
        metadata={f"unreadable (first {SHOWN})": _error_table(found.errors)} if found.errors else {},
        inputs={"listing": listing.fingerprint},
    )


class _Counts:
    """What is told of the rows, counted while they pass by."""

    def __init__(self) -> None:
        self.n_raw = self.n_unreadable = self.n_bytes = 0
        self.errors: list[tuple[str, str]] = []

    def take(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        self.n_raw += len(batch)
        self.n_bytes += pc.sum(batch["n_bytes"]).as_py() or 0
        broken = batch.filter(batch["error"].is_valid())
        self.n_unreadable += len(broken)
        shown = broken.slice(0, SHOWN - len(self.errors))
        self.errors += zip(shown["sample_id"].to_pylist(), shown["error"].to_pylist(), strict=True)
        return batch


def _error_table(errors: list[tuple[str, str]]) -> dg.TableMetadataValue:
    return dg.MetadataValue.table([dg.TableRecord({"sample_id": i, "error": e}) for i, e in errors])
