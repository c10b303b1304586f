"""Who wrote something: a process is never taken for another one, and one that cannot be seen is not judged."""

import os
import shutil
import subprocess
import sys
import uuid

import pytest

from espalier.io import processes
from espalier.io.processes import Process

NAMED = "from espalier.io.processes import Process; print(Process.current(), flush=True); input()"


@pytest.fixture
def other():
    """A process that runs until the test ends it; ``name`` is what it calls itself."""
    with subprocess.Popen([sys.executable, "-c", NAMED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
        p.name = Process.parse(p.stdout.readline().strip())
        yield p
        p.kill()


@pytest.fixture
def no_proc(monkeypatch):
    """A system such as macOS, which has no /proc."""
    if not shutil.which("ps"):
        pytest.skip("this machine has no ps")
    processes._place.cache_clear()
    monkeypatch.setattr(sys, "platform", "darwin")
    yield
    processes._place.cache_clear()


def ended(process):
    process.kill()
    process.wait()
    return process.name


def test_a_process_runs_until_it_has_ended(other):
    assert other.name.pid == other.pid
    assert Process.current().is_gone() is False
    assert other.name.is_gone() is False
    assert ended(other).is_gone() is True


def test_a_process_that_ended_is_gone_also_while_its_parent_has_not_noticed(other):
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    assert other.name.is_gone() is True


def test_another_process_with_the_same_id_is_another_process(other):
    earlier = Process(other.name.place, "1", other.pid)
    assert earlier.is_gone() is True


def test_a_process_of_another_place_is_not_judged(other):
    for pid in (other.pid, ended(other).pid):
        assert Process("0" * 12, other.name.started, pid).is_gone() is None


def test_a_process_that_may_not_be_looked_at_is_not_gone(other, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert other.name.is_gone() is False
    assert Process(other.name.place, "1", 2**22 + 1).is_gone() is False, "its start cannot be seen"


def test_a_name_is_read_as_it_was_written():
    for process in (Process.current(), Process("0123456789ab", "", 7)):
        assert Process.parse(str(process)) == process
    for text in ("", "123", "0123456789ab-1-", "0123456789ab-1-7\n", "0123456789AB-1-7"):
        assert Process.parse(text) is None


def test_a_forked_process_has_a_name_of_its_own():
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, str(Process.current()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    name = Process.parse(os.read(read, 100).decode())
    assert name.pid == child
    assert name.place == Process.current().place


def test_without_proc_a_process_is_known_by_its_start_all_the_same(other, no_proc):
    here = Process.current()
    name = Process(here.place, processes._started(other.pid), other.pid)
    assert name.started not in ("", other.name.started)
    assert here.is_gone() is False
    assert name.is_gone() is False
    assert Process(here.place, "1", other.pid).is_gone() is True
    ended(other)
    assert name.is_gone() is True


def test_where_nothing_is_told_of_a_process_only_one_that_is_not_there_is_gone(other, no_proc, monkeypatch):
    monkeypatch.setenv("PATH", "")
    name = Process(Process.current().place, "1", other.pid)
    assert processes._started(other.pid) == ""
    assert name.is_gone() is False
    ended(other)
    assert name.is_gone() is True


def test_a_process_in_another_pid_namespace_is_of_another_place_and_judges_nobody_here(namespace):
    code = f"{NAMED.removesuffix('; input()')}; print(Process.parse({str(Process.current())!r}).is_gone())"
    name, judged = subprocess.check_output([*namespace, sys.executable, "-c", code], text=True).split()
    assert Process.parse(name).place != Process.current().place
    assert Process.parse(name).is_gone() is None
    assert judged == "None"


def test_a_process_that_sees_the_proc_of_another_namespace_has_a_place_of_its_own(namespace):
    """Its ids are not those in /proc: what it finds there under an id is some other process."""
    without = [part for part in namespace if part != "--mount-proc"]
    code = NAMED.removesuffix("; input()")
    names = [subprocess.check_output([*without, sys.executable, "-c", code], text=True).strip() for _ in range(2)]
    assert Process.parse(names[0]).place != Process.parse(names[1]).place
    assert [Process.parse(name).is_gone() for name in names] == [None, None]


def test_two_places_differ_where_the_host_or_its_start_does(monkeypatch):
    def place():
        processes._place.cache_clear()
        return Process.current().place

    here = place()
    assert place() == here
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", uuid.uuid4().hex, "", "", "")))
    assert place() != here
    monkeypatch.undo()
    real = processes.Path.read_text
    monkeypatch.setattr(
        processes.Path, "read_text", lambda self, **more: "other" if self.name == "boot_id" else real(self, **more)
    )
    assert place() != here
    monkeypatch.undo()
    assert place() == here
