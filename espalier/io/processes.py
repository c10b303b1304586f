"""Who wrote something, or runs a run: a process named so that it is never taken for another one.

A process id alone says little: it is given anew after a while, and the same number is another process in a container,
on a second host, or after this machine was started again. So a process is named by the place in which its id counts
(host, start of the machine, PID namespace), its start and its id. Of a process of another place nobody can tell
whether it still runs.
"""

import hashlib
import os
import re
import subprocess
import sys
import uuid
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_TEXT = re.compile(r"(?P<place>[0-9a-f]{12})-(?P<started>[0-9a-f]*)-(?P<pid>\d+)")


@dataclass(frozen=True)
class Process:
    """A process of this place or another one.

    ``place`` is twelve hexadecimal digits: where ``pid`` counts. ``started`` is hexadecimal digits that differ for two
    processes that had the same id; "" where the system does not tell.
    """

    place: str
    started: str
    pid: int

    @classmethod
    def current(cls) -> "Process":
        """Return this process."""
        pid = os.getpid()
        return cls(_place(pid), _started(pid) or "", pid)

    @classmethod
    def parse(cls, text: str) -> "Process | None":
        """Return the process that a text names, None where it names none."""
        parts = _TEXT.fullmatch(text)
        return cls(parts["place"], parts["started"], int(parts["pid"])) if parts else None

    def __str__(self) -> str:
        return f"{self.place}-{self.started}-{self.pid}"

    def is_gone(self) -> bool | None:
        """Tell whether it has ended; None when that cannot be seen from here."""
        if self.place != _place(os.getpid()):
            return None
        now = _started(self.pid)
        return now is None or bool(now and self.started and now != self.started)


@lru_cache(1)
def _place(pid: int) -> str:
    """Return where the ids that process ``pid`` (this one) sees count; a place of its own where that is not known."""
    if not sys.platform.startswith("linux"):
        told = [f"{uuid.getnode():x}"]
    else:
        try:
            told = [Path("/proc/sys/kernel/random/boot_id").read_text()]
            told.append(str(Path("/proc/self/ns/pid").readlink()))
            if (time := Path("/proc/self/ns/time")).is_symlink():  # starts are told in it; Linux before 5.6 has one
                told.append(str(time.readlink()))
            seen_here = str(Path("/proc/self").readlink()) == str(pid)
        except OSError:
            seen_here = False
        if not seen_here:
            told = [uuid.uuid4().hex]
    return hashlib.sha256("\n".join([os.uname().nodename, *told]).encode()).hexdigest()[:12]


def _started(pid: int) -> str | None:
    """Return when a process of this place started: None where there is none, "" where that cannot be seen."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return None
    except PermissionError:
        pass  # another user's
    if not sys.platform.startswith("linux"):
        return _started_by_ps(pid)
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return None if state in "ZX" else f"{int(fields[18]):x}"


def _started_by_ps(pid: int) -> str:
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
    try:
        told = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], env=environment, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return hashlib.sha256(told.stdout.strip()).hexdigest()[:8]
