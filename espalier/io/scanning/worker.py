"""The process that reads a dataset's files for another one.

Its output is an Arrow stream of rows, and after that a line of JSON: what was read, or why it could not be. It ends
when nobody takes its rows any more.
"""

import contextlib
import dataclasses
import json
import logging
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from espalier.core.errors import EspalierError
from espalier.io.landing import cards
from espalier.io.scanning.request import Reading, ScanRequest, read_here
from espalier.io.scanning.scan import RAW_SCHEMA


def run(order: str) -> None:
    """Read what ``order`` (as of ``ScanRequest.dumps``) says and write it to the standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started this one ends it
    with contextlib.suppress(OSError):  # where memory runs out, this process goes first (Linux)
        Path("/proc/self/oom_score_adj").write_text("500")
    logging.getLogger(cards.__name__).disabled = True  # who started this one has read the card, too
    try:
        _read(order)
    except BrokenPipeError:
        sys.exit(1)  # nobody takes the rows: there is nothing left to say, and no one to say it to


def _read(order: str) -> None:
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as out:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no part of the stream
        out.write(json.dumps(_written(order, out)).encode())


def _written(order: str, out: IO[bytes]) -> dict[str, Any]:
    with pa.ipc.new_stream(out, RAW_SCHEMA) as stream:
        try:
            request, part = ScanRequest.loads(order)
            reading = Reading(read_here(request, **part))
            for batch in reading.batches():
                stream.write_batch(batch)
                out.flush()
            return dataclasses.asdict(reading.summary)
        except EspalierError as error:
            return {"error": [error.what, error.remedy], "code": error.exit_code}
        except BrokenPipeError:
            raise
        except Exception:
            return {"traceback": traceback.format_exc()}
