"""Leases: by its lease others see that a run goes on, on this machine or wherever the home is shared.

A lease is a file that names the run's process and is touched every half minute. Who can see that process judges by it
at once. Who cannot waits until the lease was not touched for ten minutes, counted by its own clock from its first look:
neither clocks that differ nor a machine that slept make a living run look dead.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from espalier.io.home import Home
from espalier.io.processes import Process

RENEWED_S, SILENT_S = 30.0, 600.0


def leases(home: Home) -> list[Path]:
    """Return the leases of a home's runs, each called as its run."""
    return sorted((home.dagster / "leases").glob("*"))


@contextmanager
def leased(home: Home, run_id: str) -> Iterator[None]:
    """Hold the lease of a run that goes on in this process; one that is held already is held on.

    The file stays: whoever looks next sees that the run has ended, and removes it.
    """
    path, holder = home.dagster / "leases" / run_id, str(Process.current())
    if path.exists() and path.read_text() == holder:
        yield
        return
    path.parent.mkdir(exist_ok=True)
    path.write_text(holder)
    ended = threading.Event()
    threading.Thread(target=_renew, args=(path, ended), name="lease", daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _renew(path: Path, ended: threading.Event) -> None:
    while not ended.wait(RENEWED_S):
        with suppress(OSError):  # the disk may have hiccups; ten minutes of them look like silence
            os.utime(path)


class LeaseWatch:
    """Somebody who looks at leases again and again; ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[int, float]] = {}

    def is_over(self, lease: Path) -> bool:
        """Tell whether the process that held a lease is gone, or silent for too long."""
        try:
            holder, touched = Process.parse(lease.read_text()), lease.stat().st_mtime_ns
        except FileNotFoundError:
            return False  # somebody else removed it
        gone = holder.is_gone() if holder else None
        if gone is not None:
            return gone
        if self._seen.get(lease.name, (None, 0.0))[0] != touched:
            self._seen[lease.name] = (touched, self._clock())
        return self._clock() - self._seen[lease.name][1] > SILENT_S
