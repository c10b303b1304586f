"""What is asked of a scan, what it gives, and reading in this process (elsewhere: ``subprocess_reader``)."""

import dataclasses
import json
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from espalier.io.formats.read.detect import open_reader
from espalier.io.landing.zone import LandingZone
from espalier.io.scanning.previous import previous_scan
from espalier.io.scanning.scan import BATCH, scan


@dataclass(frozen=True)
class ScanRequest:
    """What is to be read, and how.

    ``listing`` is the fingerprint of the files that are meant, so another one is another request. ``previous`` is the
    file of the stored ``raw_dataset``, whose rows stand for files that did not change; "" for none.
    """

    landing: Path
    dataset: str
    listing: str
    previous: str
    threads: int
    max_pixels: int

    def dumps(self, refused: Mapping[int, str], **part: Any) -> str:
        """Write as JSON, with which rows are read, and how many at a time."""
        request = {**dataclasses.asdict(self), "landing": str(self.landing)}
        return json.dumps([request, part, list(refused.items())])

    @classmethod
    def loads(cls, text: str) -> tuple["ScanRequest", dict[str, Any]]:
        """Read what ``dumps`` wrote."""
        request, part, refused = json.loads(text)
        return cls(**request | {"landing": Path(request["landing"])}), part | {"refused": dict(refused)}


@dataclass(frozen=True)
class ScanSummary:
    """What is known of a dataset once it was read."""

    format: str
    categories: list[str]


Rows = Generator[pa.RecordBatch, None, ScanSummary]


class Reading:
    """Batches of ``RAW_SCHEMA`` to be gone through once; ``summary`` is there after the last one."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.summary: ScanSummary

    def batches(self, progress: Callable[[int], object] = int) -> Iterator[pa.RecordBatch]:
        """Yield the rows in the reader's order, and tell how many came."""
        for batch in self._summarised():
            progress(len(batch))
            yield batch

    def _summarised(self) -> Iterator[pa.RecordBatch]:
        self.summary = yield from self._rows


def read_here(request: ScanRequest, batch_size: int = BATCH, **part: Any) -> Rows:
    """Read in this process; ``part`` is ``start``, ``stop`` and ``refused`` of :func:`scan`."""
    reader = open_reader(LandingZone(request.landing).card(request.dataset))
    with previous_scan(Path(request.previous)) if request.previous else nullcontext() as previous:
        part |= {"previous": previous, "threads": request.threads, "max_pixels": request.max_pixels}
        yield from scan(reader, batch_size=batch_size, **part)
    return ScanSummary(reader.format, reader.categories())
