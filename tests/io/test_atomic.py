"""What killed writers left goes; what lives, or cannot be judged from here, stays."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from espalier.io import atomic
from espalier.io.atomic import ABANDONED_S, Staged, remove_leftovers, temporary, written
from espalier.io.processes import Process

ELSEWHERE = Process("0123456789ab", "1", 2**22 + 1)


def piece(folder, writer, name="set", suffix=".tmp"):
    path = folder / f".{name}.{writer}.0123abcd{suffix}"
    path.touch()
    return path


def age(path, seconds):
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_what_a_process_left_that_ended_goes_and_its_own_stays(tmp_path, gone):
    left, living = piece(tmp_path, gone), temporary(tmp_path / "set", "set", ".tmp")
    living.touch()
    remove_leftovers(tmp_path, "set")
    assert list(tmp_path.iterdir()) == [living]
    assert left != living


@pytest.mark.parametrize("writer", [ELSEWHERE, ELSEWHERE.pid], ids=["another host", "a name without a place"])
def test_what_cannot_be_judged_from_here_stays_until_nobody_wrote_for_a_week(tmp_path, writer):
    left = piece(tmp_path, writer)
    remove_leftovers(tmp_path, "set")
    age(left, ABANDONED_S - 3600)
    remove_leftovers(tmp_path, "set")
    assert left.exists()
    age(left, ABANDONED_S + 3600)
    remove_leftovers(tmp_path, "set")
    assert not left.exists()


def test_a_folder_of_another_place_in_which_something_is_written_stays(tmp_path):
    folder = tmp_path / f".set.{ELSEWHERE}.0123abcd"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "growing").touch()
    for path in (folder, folder / "deep"):
        age(path, 2 * ABANDONED_S)
    remove_leftovers(tmp_path, "set")
    assert folder.exists()
    age(folder / "deep" / "growing", 2 * ABANDONED_S)
    age(folder / "deep", 2 * ABANDONED_S)
    age(folder, 2 * ABANDONED_S)
    remove_leftovers(tmp_path, "set")
    assert not folder.exists()


def test_a_link_is_removed_and_what_it_points_to_is_not(tmp_path, gone):
    kept = tmp_path / "kept"
    kept.mkdir()
    (tmp_path / f".set.{gone}.0123abcd.link").symlink_to(kept)
    remove_leftovers(tmp_path, "set")
    assert list(tmp_path.iterdir()) == [kept]


def test_what_a_process_in_a_container_writes_is_left_alone(tmp_path, namespace):
    here = {int(path.name) for path in Path("/proc").glob("[0-9]*")}
    code = f"""if 1:
        import os
        from pathlib import Path
        from espalier.io.atomic import temporary
        while os.getpid() in {here}:  # an id that nobody has outside
            if child := os.fork():
                os.waitpid(child, 0)
                os._exit(0)
        temporary(Path({str(tmp_path)!r}) / "set", "set", ".tmp").touch()
        print("written", flush=True)
        input()
    """
    with subprocess.Popen([*namespace, sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as writer:
        assert writer.stdout.readline() == "written\n"
        remove_leftovers(tmp_path, "set")
        assert len(list(tmp_path.iterdir())) == 1
        writer.stdin.close()


def test_a_file_appears_whole_and_what_a_killed_writer_left_goes(tmp_path, gone):
    target, left = tmp_path / "record.json", piece(tmp_path, gone, "record.json")
    with written(target) as fresh:
        fresh.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert not left.exists()
    assert list(tmp_path.iterdir()) == [target]


def test_a_writer_that_fails_leaves_the_old_file_or_folder_and_nothing_else(tmp_path):
    (tmp_path / "file").write_text("old")
    (tmp_path / "folder").mkdir()

    def fail(make, name):
        with written(tmp_path / name) as fresh:
            make(fresh)
            raise OSError("the disk is full")

    for name, make in (("file", Path.touch), ("folder", Path.mkdir)):
        with pytest.raises(OSError, match="full"):
            fail(make, name)
    assert (tmp_path / "file").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_folder_takes_the_place_of_another_one_with_all_that_is_in_it(tmp_path, monkeypatch, can_exchange):
    if not can_exchange:
        monkeypatch.setattr(atomic, "_exchange", lambda *_: False)
    target = tmp_path / "set"
    for number in range(2):
        with written(target) as fresh:
            fresh.mkdir()
            (fresh / str(number)).touch()
    assert [path.name for path in target.iterdir()] == ["1"]
    assert list(tmp_path.iterdir()) == [target]


def test_staged_pieces_wait_for_their_commit(tmp_path):
    fresh, place, empty = tmp_path / ".fresh", tmp_path / "place", tmp_path / "empty"
    for path in (fresh, place, empty):
        path.write_text(path.name)
    staged = (Staged(fresh, place), Staged(None, empty))
    for piece_of_it in staged:
        piece_of_it.commit()
    assert place.read_text() == ".fresh"
    assert list(tmp_path.iterdir()) == [place]
    fresh.touch()
    for piece_of_it in staged:
        piece_of_it.discard()
    assert list(tmp_path.iterdir()) == [place]
