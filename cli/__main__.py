"""The program ``espalier``, also as ``python -m cli``."""

import atexit
import os
import sys
from contextlib import suppress

from cli.main import main


def run() -> None:
    """Run the command line and end at once.

    Everything is written and closed by then; taking down the libraries one by one would cost most of a second.
    """
    code: object = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    atexit._run_exitfuncs()
    with suppress(BrokenPipeError):  # the reader has seen enough
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1 if code else 0)


if __name__ == "__main__":
    run()
