"""The program ``espalier``, also as ``python -m espalier.cli``."""

import atexit
import os
import sys
from contextlib import suppress

from espalier.cli.main import main


def run() -> None:
    """Run the command line."""
    code: object = 1
    atexit.register(lambda: _end_at_once(code))  # the first to be registered is the last to be called
    try:
        main()
    except SystemExit as end:
        code = end.code
        raise


def _end_at_once(code: object) -> None:
    """End the process where Python would begin to take down the libraries, when all is written and closed.

    After a prune it ends 0.05 s after its last word, where it takes 1.0 s (benchmarks/bench_exit.py).
    """
    with suppress(BrokenPipeError):  # the reader has seen enough
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    run()
