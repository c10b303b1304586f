"""What several tests of the outside world share."""

import os
import signal
import subprocess
import sys

import pytest

from espalier.io.processes import Process

_STEPS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir")


@pytest.fixture(scope="session")
def gone() -> Process:
    """A process that has ended."""
    code = "from espalier.io.processes import Process; print(Process.current())"
    return Process.parse(subprocess.check_output([sys.executable, "-c", code], text=True).strip())


@pytest.fixture
def killed_everywhere():
    """Run something in forked processes, killed by SIGKILL before each of its steps below a folder in turn.

    ``killed_everywhere(folder, run, check)`` calls ``check`` after each kill, until a process gets through; it returns
    how many were killed. A step is what Python opens, makes, renames or removes.
    """

    def everywhere(folder, run, check) -> int:
        kills, at = 0, 1
        while True:
            child = os.fork()
            if child == 0:
                _killed_before(at, str(folder), run)
            status = os.waitpid(child, 0)[1]
            if os.WIFEXITED(status):
                assert os.WEXITSTATUS(status) == 0, "it failed by itself"
                return kills
            kills += 1
            check()
            at = at + 1 if at < 8 else at + at // 3

    return everywhere


def _killed_before(at, folder, run) -> None:
    counter = iter(range(1, 10**6))

    def hook(event, args):
        if event in _STEPS and str(args[0]).startswith(folder) and next(counter) == at:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.addaudithook(hook)
        run()
        os._exit(0)
    finally:
        os._exit(3)
