"""Progress of a stage: log lines by default; the command line puts bars in their place."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int], None]
SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def log_progress(log: logging.Logger, label: str, total: int) -> Iterator[Advance]:
    """Give ``advance(n)``; every ten seconds a line tells the count, the rate and the time left."""
    began = last = time.monotonic()
    done = 0

    def advance(n: int) -> None:
        nonlocal done, last
        done += n
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES:
            last = now
            rate = done / (now - began)
            left = f", {(total - done) / rate:.0f} s left" if total > done else ""
            log.info(f"{label}: {done:,} of {total:,}, {rate:,.0f} a second{left}")

    yield advance
    if done:
        log.info(f"{label}: {done:,} in {time.monotonic() - began:.1f} s")
