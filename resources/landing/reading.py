"""What is read of a landed dataset: the same rows in this process, or in one of its own.

A file may crash the decoder that reads it, or take all the memory there is. Read apart it takes no run with it: the
rows that were being read then are read again one at a time, the one that ends the process becomes an error with that
reason, and reading goes on after it.

What belongs here: the job, the processes, what happens when one ends early. What does not: reading a file
(``resources.landing.scan``), and the process's own side (``resources.landing.read_apart``).
"""

import dataclasses
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from espalier.errors import EspalierError, UsageError
from resources.formats.detect import open_reader
from resources.graph import STAGES
from resources.landing.earlier import Earlier, earlier_rows
from resources.landing.scan import BATCH, scan
from resources.landing.zone import LandingZone

if TYPE_CHECKING:
    from resources.warehouse import Warehouse

BATCH_APART = 256
"""Rows that come at a time from another process: a progress bar moves with each."""
CAREFUL_ROWS = 4 * BATCH_APART
"""Rows that are read one at a time after a process ended: no more than these were being read."""
MOST_CRASHES = 100


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

    @classmethod
    def of(
        cls, landing: LandingZone, store: "Warehouse", dataset: str, listing: str, threads: int, max_pixels: int
    ) -> "Job":
        """Make the job of a dataset; rows that another version of the code stored are not looked at."""
        earlier = store.get("raw_dataset", dataset)
        known = earlier is not None and earlier.meta.code_version == STAGES["raw_dataset"].version
        return cls(landing.root, dataset, listing, str(earlier.path) if earlier and known else "", threads, max_pixels)

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
    """What is known of a dataset once it was read: ``began`` and ``ended`` are of the monotonic clock, in seconds."""

    format: str
    categories: list[str]
    began: float
    ended: float


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
    began = time.monotonic()
    reader = open_reader(LandingZone(job.landing).card(job.dataset))
    with _previous(job.previous) as previous:
        part |= {"previous": previous, "threads": job.threads, "max_pixels": job.max_pixels}
        yield from scan(reader, batch_size=batch_size, **part)
    return About(reader.format, reader.categories(), began, time.monotonic())


def _previous(file: str) -> AbstractContextManager[Earlier | None]:
    if not file:
        return nullcontext()
    from resources.warehouse import Table  # a process that reads a dataset for the first time needs no database

    return earlier_rows(Table(Path(file)))


def read_apart(job: Job) -> Rows:
    """Read in another process, and in a new one from there on when it ends early.

    Raises
    ------
    EspalierError
        What the reading itself raises; or when ``MOST_CRASHES`` files ended the process, or it ends without reading.
    """
    row, refused, careful = 0, dict[int, str](), 0
    began: float | None = None
    while True:
        single = row < careful
        part = {"batch_size": 1, "stop": careful} if single else {"batch_size": BATCH_APART}
        one = dataclasses.replace(job, threads=1) if single else job
        try:
            for batch in (child := _Child(one.dumps(start=row, refused=refused, **part))):
                row += len(batch)
                yield batch
        except _Ended as end:
            if single:
                if row in refused or len(refused) == MOST_CRASHES:
                    raise EspalierError(
                        f"Reading {job.dataset!r} ends the process that reads ({end}), at row {row}.",
                        "Look at the files from there on, and at the memory that is free.",
                    ) from end
                refused[row] = f"reading it ends the process ({end}): a fault of the decoder, or too little memory"
            careful = max(careful, row + CAREFUL_ROWS)
            continue
        began = child.about.began if began is None else began
        if not single or row < careful:
            return dataclasses.replace(child.about, began=began)


class _Ended(Exception):
    """A process that reads ended early; its text is the signal or the code."""


class _Child:
    """One process that reads; its rows, then what it tells of the dataset."""

    about: About

    def __init__(self, order: str) -> None:
        self._order = order

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        # -P: what lies in the working folder is not imported
        command = [sys.executable, "-P", "-m", "resources.landing.read_apart", self._order]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert process.stdout is not None
        try:
            try:
                with pa.ipc.open_stream(process.stdout) as stream:
                    yield from stream
                told = json.loads(process.stdout.read())
            except (pa.ArrowInvalid, OSError, ValueError):
                raise _Ended(_cause(process.wait())) from None
        finally:
            process.stdout.close()
            process.kill()
            process.wait()
        self.about = _about(told)


def _about(told: dict[str, Any]) -> About:
    if "error" in told:
        kind = UsageError if told["code"] == UsageError.exit_code else EspalierError
        raise kind(*told["error"])
    if "traceback" in told:
        raise RuntimeError(f"Reading failed in its own process:\n{told['traceback']}")
    return About(**told)


def _cause(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
