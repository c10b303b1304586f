"""Reading begun before the step that wants it: while Dagster is imported, the first files are read.

One reading at a time, by its job; the rows wait in a queue that does not grow. A step that wants another job, or the
end of the command, gives the one that was begun up.
"""

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pyarrow as pa

from resources.scanning.apart import read_apart
from resources.scanning.job import About, Job, Reading, Rows

MOST_WAITING = 64
"""Batches, of some 200 KiB each."""


@dataclass
class _Begun:
    job: Job
    given_up: threading.Event = field(default_factory=threading.Event)
    waiting: "queue.Queue[pa.RecordBatch | About | BaseException]" = field(
        default_factory=lambda: queue.Queue(MOST_WAITING)
    )

    def pull(self) -> None:
        """Read until the end, or until given up; in a thread of its own."""
        rows = read_apart(self.job)
        try:
            while self._put(next(rows)):
                pass
        except StopIteration as end:
            self._put(end.value)
        except BaseException as error:
            self._put(error)
        finally:
            rows.close()

    def _put(self, item: pa.RecordBatch | About | BaseException) -> bool:
        while not self.given_up.is_set():
            try:
                self.waiting.put(item, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False

    def taken(self) -> Rows:
        """Give the rows as :func:`read_apart` does."""
        try:
            while True:
                item = self.waiting.get()
                if isinstance(item, About):
                    return item
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            self.given_up.set()


_begun: list[_Begun] = []


@contextmanager
def begun(job: Job) -> Iterator[None]:
    """Read a job from now on; at the end of the block it is given up, if nobody took it."""
    _begun[:] = [_Begun(job)]
    threading.Thread(target=_begun[0].pull, name="read ahead", daemon=True).start()
    try:
        yield
    finally:
        _give_up()


def taken(job: Job) -> Reading | None:
    """Return the rows of a job that was begun, else None; another job that was begun is given up."""
    if _begun and _begun[0].job == job:
        return Reading(_begun.pop().taken())
    _give_up()
    return None


def _give_up() -> None:
    while _begun:
        _begun.pop().given_up.set()
