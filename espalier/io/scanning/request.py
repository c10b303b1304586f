"""The job of reading a dataset, what it gives, and doing it in this process."""

import dataclasses
import json
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from espalier.io.formats.read.detect import open_reader
from espalier.io.landing.zone import LandingZone
from espalier.io.scanning.previous import Earlier, earlier_rows
from espalier.io.scanning.scan import BATCH, scan

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Job:
    """What is to be read, and how.

    Attributes
    ----------
    landing : Path
        The landing zone.
    dataset : str
    listing : str
        Fingerprint of the files that are meant; another one is another job.
    previous : str
        File of the stored ``raw_dataset``, whose rows stand for files that did not change; "" for none.
    threads, max_pixels : int
    """

    landing: Path
    dataset: str
    listing: str
    previous: str
    threads: int
    max_pixels: int

    def dumps(self, **part: Any) -> str:
        """Write as JSON, with ``part``: which rows are read, and how many at a time."""
        return json.dumps({"job": {**dataclasses.asdict(self), "landing": str(self.landing)}, "part": part})

    @classmethod
    def loads(cls, text: str) -> tuple["Job", dict[str, Any]]:
        """Read what ``dumps`` wrote."""
        order = json.loads(text)
        part = order["part"] | {"refused": {int(row): why for row, why in order["part"].get("refused", {}).items()}}
        return cls(**order["job"] | {"landing": Path(order["job"]["landing"])}), part


@dataclass(frozen=True)
class About:
    """What is known of a dataset once it was read."""

    format: str
    categories: list[str]


Rows = Generator[pa.RecordBatch, None, About]


class Reading:
    """Batches of ``RAW_SCHEMA`` to be gone through once; ``about`` is there after the last one."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.about: About

    def batches(self, progress: Callable[[int], None]) -> Iterator[pa.RecordBatch]:
        """Yield the rows in the reader's order, and tell how many came."""
        rows = iter(self._rows)
        try:
            while True:
                try:
                    batch = next(rows)
                except StopIteration as end:
                    self.about = end.value
                    return
                progress(len(batch))
                yield batch
        finally:
            self._rows.close()


def read_here(job: Job, batch_size: int = BATCH, **part: Any) -> Rows:
    """Read in this process; ``part`` is ``start``, ``stop`` and ``refused`` of :func:`scan`."""
    reader = open_reader(LandingZone(job.landing).card(job.dataset))
    with _previous(job.previous) as previous:
        part |= {"previous": previous, "threads": job.threads, "max_pixels": job.max_pixels}
        yield from scan(reader, batch_size=batch_size, **part)
    return About(reader.format, reader.categories())


def _previous(file: str) -> AbstractContextManager[Earlier | None]:
    if not file:
        return nullcontext()
    from espalier.io.warehouse import Table  # a process that reads a dataset for the first time needs no database

    return earlier_rows(Table(Path(file)))
