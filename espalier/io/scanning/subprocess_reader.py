"""Reading a dataset in a process of its own.

A file may crash the decoder that reads it, or take all the memory there is. Read there it takes no run with it: the
rows that were being read then are read again one at a time, the one that ends the process becomes an error with that
reason, and reading goes on behind it. The process's own side is ``worker``.
"""

import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa

from espalier.core.errors import EspalierError, UsageError
from espalier.io.scanning.request import Reading, Rows, ScanRequest, ScanSummary

WORKER_BATCH = 256
"""Rows that come at a time from another process: a progress bar moves with each."""
CAREFUL_ROWS = 4 * WORKER_BATCH
"""Rows that are read one at a time after a process ended: no more than these were being read."""
MOST_CRASHES = 100
START = "import sys; sys.path.append(sys.argv[1]); from espalier.io.scanning.worker import run; run(sys.argv[2])"
"""What the other process runs; -P beside it, so that nothing in the working folder is taken for a module."""


def read_in_subprocess(request: ScanRequest) -> Rows:
    """Read in another process, and in a new one from there on when it ends early, up to ``MOST_CRASHES`` times."""
    row, refused, careful = 0, dict[int, str](), 0
    while True:
        single = row < careful
        part = {"batch_size": 1, "stop": careful} if single else {"batch_size": WORKER_BATCH}
        part_request = dataclasses.replace(request, threads=1) if single else request
        worker = Reading(_worker(part_request.dumps(refused, start=row, **part)))
        try:
            for batch in worker.batches():
                row += len(batch)
                yield batch
        except _Ended as end:
            if single:
                if row in refused or len(refused) == MOST_CRASHES:
                    raise EspalierError(
                        f"Reading {request.dataset!r} ends the process that reads ({end}), at row {row}.",
                        "Look at the files from there on, and at the memory that is free.",
                    ) from end
                refused[row] = f"reading it ends the process ({end}): a fault of the decoder, or too little memory"
            careful = max(careful, row + CAREFUL_ROWS)
            continue
        if not single or row < careful:
            return worker.summary


class _Ended(Exception):
    """A process that reads ended early; its text is the signal or the code."""


def _worker(order: str) -> Rows:
    """Start one process that reads; give its rows, then what it tells of the dataset."""
    command = [sys.executable, "-P", "-c", START, str(Path(__file__).parents[3]), order]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout is not None
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
    if "error" in told:
        kind = UsageError if told["code"] == UsageError.exit_code else EspalierError
        raise kind(*told["error"])
    if "traceback" in told:
        raise RuntimeError(told["traceback"]) from RuntimeError(told["traceback"].strip().splitlines()[-1])
    return ScanSummary(**told)


def _cause(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
