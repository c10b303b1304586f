"""Reading in a process of its own: the same rows, and no file takes the run with it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from espalier.core.errors import EspalierError, UsageError
from espalier.io.landing.zone import LandingZone
from espalier.io.scanning import subprocess_reader as apart
from espalier.io.scanning.request import About, Job, Reading, read_here
from espalier.io.scanning.scan import RAW_SCHEMA
from espalier.io.scanning.subprocess_reader import read_apart
from espalier.io.warehouse import Draft, Meta, Warehouse

CRASHING = """
import os, signal, time
import espalier.io.scanning.scan as scan
real = scan.inspect

def inspect(data, *rest, **more):
    print("a library that talks", flush=True)
    if data.startswith(b"SLOW"):
        time.sleep(0.1)
    if data.startswith(b"CRASH"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if data.startswith(b"KILL"):
        os.kill(os.getpid(), signal.SIGKILL)
    if data.startswith(b"RAISE"):
        raise KeyError("a fault of ours")
    return real(data, *rest, **more)

scan.inspect = inspect
"""


@pytest.fixture
def crashing(tmp_path, monkeypatch):
    """Have files of some words end every process that reads them."""
    place = tmp_path / "startup"
    place.mkdir()
    (place / "sitecustomize.py").write_text(CRASHING)
    monkeypatch.setenv("PYTHONPATH", f"{place}:{Path(apart.__file__).parents[2]}")


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "pictures"
    for number in range(700):
        path = place / ("one", "two")[number % 2] / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (number % 256, number // 256, 7)).save(path)
    return place


def job(tmp_path, folder, **more):
    zone = LandingZone(tmp_path / "landing")
    zone.land(folder, "set")
    return Job(zone.root, "set", "listing", **{"previous": "", "threads": 2, "max_pixels": 10**6} | more)


def rows(read):
    found, counts = Reading(read), []
    table = [row for batch in found.batches(counts.append) for row in batch.to_pylist()]
    assert sum(counts) == len(table)
    return table, found.about


def children(parent=None):
    """The processes that read for one, this one by default."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            state, owner = (process / "stat").read_text().rpartition(")")[2].split()[:2]
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if int(owner) == (parent or os.getpid()) and state != "Z" and b"scanning.worker" in command:
            found.append(int(process.name))
    return found


def none_left(seconds=10.0):
    """Whether no process reads any more, soon."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not children():
            return True
        time.sleep(0.05)
    return False


def test_the_rows_are_the_same_in_a_process_of_its_own(tmp_path, folder):
    here, about = rows(read_here(job(tmp_path, folder)))
    apart, told = rows(read_apart(job(tmp_path, folder)))
    assert apart == here
    assert len(apart) == 700
    assert told == about == About("image_folder", ["one", "two"])
    assert none_left()


@pytest.mark.parametrize("where", [(0,), (699,), (3, 4, 5), (255, 256, 600)], ids=str)
def test_a_file_that_crashes_the_decoder_is_one_error(tmp_path, folder, crashing, where):
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    for row in where:
        (folder / names[row]).write_bytes(b"CRASH")
    found, _ = rows(read_apart(job(tmp_path, folder)))
    assert [row["sample_id"] for row in found] == names
    errors = {row["sample_id"]: row["error"] for row in found if row["error"]}
    assert errors.keys() == {names[row] for row in where}
    reason = "reading it ends the process (SIGSEGV): a fault of the decoder, or too little memory"
    assert set(errors.values()) == {reason}


def test_a_process_that_the_system_kills_is_named_as_such(tmp_path, folder, crashing):
    (folder / "one/0100.png").write_bytes(b"KILL, as for want of memory")
    found, _ = rows(read_apart(job(tmp_path, folder)))
    assert [row["error"][:36] for row in found if row["error"]] == ["reading it ends the process (SIGKILL"]


def test_too_many_crashes_end_the_reading(tmp_path, folder, crashing, monkeypatch):
    monkeypatch.setattr(apart, "MOST_CRASHES", 2)
    for name in ("one/0000.png", "one/0002.png", "one/0004.png"):
        (folder / name).write_bytes(b"CRASH")
    with pytest.raises(EspalierError, match=r"Reading 'set' ends the process that reads \(SIGSEGV\), at row 2"):
        rows(read_apart(job(tmp_path, folder)))


def test_a_process_that_cannot_start_is_an_error_at_once(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(apart.sys, "executable", "/bin/false")
    with pytest.raises(EspalierError, match="exit code 1"):
        rows(read_apart(job(tmp_path, folder)))


def test_what_the_reader_says_is_said_here_too(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(EspalierError) as here:
        rows(read_here(job(tmp_path / "a", tmp_path / "empty")))
    with pytest.raises(EspalierError) as apart:
        rows(read_apart(job(tmp_path / "b", tmp_path / "empty")))
    assert (apart.value.what, apart.value.remedy) == (here.value.what, here.value.remedy)
    wrong = job(tmp_path, folder)
    with pytest.raises(UsageError, match="no dataset 'other'"):
        rows(read_apart(Job(wrong.landing, "other", "", "", 1, 1)))


def test_a_fault_of_our_own_comes_with_its_traceback(tmp_path, folder, crashing):
    (folder / "one/0000.png").write_bytes(b"RAISE")
    with pytest.raises(RuntimeError, match="Traceback") as raised:
        rows(read_apart(job(tmp_path, folder)))
    assert str(raised.value.__cause__) == "KeyError: 'a fault of ours'"


def test_rows_of_an_earlier_scan_are_known_in_the_other_process_too(tmp_path, folder):
    first, _ = rows(read_here(job(tmp_path, folder)))
    meta = Meta("raw_dataset", "set", "", "1", {}, {})
    staged = Warehouse(tmp_path / "warehouse").stage(Draft(pa.Table.from_pylist(first, RAW_SCHEMA)), meta)
    staged.commit()
    for path in folder.rglob("*.png"):
        stat = path.stat()
        path.write_bytes(b"x" * stat.st_size)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    found, _ = rows(read_apart(job(tmp_path, folder, previous=str(staged.target))))
    assert found == first


def test_who_stops_midway_leaves_no_process(tmp_path, folder):
    batches = Reading(read_apart(job(tmp_path, folder))).batches(lambda _: None)
    assert len(next(batches)) == apart.BATCH_APART
    assert len(children()) == 1
    batches.close()
    assert none_left()


def test_no_process_outlives_a_killed_one(tmp_path, folder, crashing):
    for path in folder.rglob("*.png"):
        path.write_bytes(b"SLOW" + path.name.encode())
    order = job(tmp_path, folder).dumps(batch_size=16)
    code = f"""if 1:
        import sys
        from espalier.io.scanning.subprocess_reader import _Child
        for batch in _Child({order!r}):
            print(len(batch), flush=True)
    """
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    parent.stdout.readline()
    (child,) = children(parent.pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    pytest.fail("the process that reads went on without anyone to read for")
