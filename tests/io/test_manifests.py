"""The manifest folder: its files appear together, whole, and equal rows give equal bytes."""

import hashlib
import json
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from espalier.io.processes import Process
from espalier.io.results import manifest_folder, write_manifest


@pytest.fixture
def link(tmp_path):
    return manifest_folder(tmp_path / "manifests", "set", "density@0.3:keep=easy")


def rows(n=6, keep=lambda i: i % 2 == 0):
    return pa.table(
        {
            "sample_id": [f"class/{i:03}.png" for i in range(n)],
            "kept": [keep(i) for i in range(n)],
            "score": pa.array([i / 7 for i in range(n)], pa.float32()),
            "labels": pa.array([["class"]] * n, pa.list_(pa.string())),
        }
    )


def contents(link):
    return {p.name: p.read_bytes() for p in sorted(link.iterdir())}


def put(link, table, summary):
    staged = write_manifest(link, table, summary)
    staged.commit()


def entries(link):
    return sorted(p.name for p in link.parent.iterdir())


def test_nothing_is_seen_before_the_commit_and_everything_after_it(link):
    staged = write_manifest(link, rows(), {"n_kept": 3})
    assert not link.exists()
    staged.commit()
    assert {"kept.txt", "manifest.parquet", "summary.json"} <= contents(link).keys()
    assert link.name == "density@0.3~keep=easy"
    assert pq.read_table(link / "manifest.parquet").equals(rows())
    assert (link / "kept.txt").read_text() == "class/000.png\nclass/002.png\nclass/004.png\n"
    summary = json.loads((link / "summary.json").read_text())
    assert summary == {"n_kept": 3, "kept_sha256": hashlib.sha256((link / "kept.txt").read_bytes()).hexdigest()}


def test_a_discarded_manifest_leaves_what_stood(link):
    put(link, rows(), {"n": 1})
    before = contents(link), entries(link)
    write_manifest(link, rows(4), {"n": 2}).discard()
    assert (contents(link), entries(link)) == before


def test_a_reader_that_opened_the_folder_sees_old_files_or_new_ones_never_some_of_both(link):
    put(link, rows(), {"n": 1})
    opened = os.open(link, os.O_RDONLY)
    try:
        put(link, rows(4), {"n": 2})
        assert json.loads((link / "summary.json").read_text())["n"] == 2
        # The old folder is gone as a whole: a reader inside it gets an error, not files of another manifest.
        with pytest.raises(FileNotFoundError):
            os.open("kept.txt", os.O_RDONLY, dir_fd=opened)
    finally:
        os.close(opened)
    assert len(entries(link)) == 2, "the link and one folder"


def test_equal_rows_give_equal_bytes_however_they_are_cut_into_chunks(link, tmp_path):
    put(link, rows(5000), {"n": 1, "m": {"b": 1, "a": 2}})
    first = contents(link)
    for number, cut in enumerate((1, 7, 1000)):
        other = tmp_path / f"m{number}" / "x"
        put(other, pa.Table.from_batches(rows(5000).to_batches(max_chunksize=cut)), {"m": {"a": 2, "b": 1}, "n": 1})
        assert contents(other) == first, f"chunks of {cut}"


def test_one_other_row_gives_other_bytes(link, tmp_path):
    put(link, rows(), {"n": 1})
    put(tmp_path / "m" / "x", rows(keep=lambda i: i % 2 == 0 and i < 4), {"n": 1})
    different = {n for n in contents(link) if contents(link)[n] != contents(tmp_path / "m" / "x")[n]}
    assert {"kept.txt", "manifest.parquet", "summary.json"} <= different


def test_a_manifest_that_keeps_nothing_has_an_empty_list(link):
    put(link, rows(keep=lambda _: False), {})
    assert contents(link)["kept.txt"] == b""


def test_ids_beyond_ascii_are_listed_in_utf8(link):
    ids = ["été/ß.png", "猫.jpg"]
    put(link, pa.table({"sample_id": ids, "kept": [True, True]}), {})
    assert contents(link)["kept.txt"].decode("utf-8").splitlines() == ids


def test_leftovers_of_dead_writers_go_and_nothing_else_does(link, gone):
    put(link, rows(), {"n": 1})
    dead, living, name = gone, Process.current(), link.name
    folder = link.parent
    for leftover in (f".{name}.{dead}.0123abcd", f".{name}.{living}.0123abcd", f".{name}:more=1.{dead}.0123abcd"):
        (folder / leftover).mkdir()
        (folder / leftover / "kept.txt").touch()
    (folder / f".{name}.{dead}.0123abcd.link").symlink_to(f".{name}.{dead}.0123abcd")
    (folder / "notes").mkdir()
    (folder / "random@0.5").mkdir()
    write_manifest(link, rows(4), {"n": 2}).commit()
    left = [e for e in entries(link) if e != link.resolve().name]
    assert left == sorted(
        [f".{name}.{living}.0123abcd", f".{name}:more=1.{dead}.0123abcd", name, "notes", "random@0.5"]
    )
    assert len(contents(link)["kept.txt"].splitlines()) == 2


def test_the_folder_of_a_writer_that_died_after_its_commit_is_what_stands_and_is_never_removed(link):
    """Its process is gone, as with every leftover; the link says that it is none."""
    code = """
        import sys, pyarrow as pa
        from pathlib import Path
        from espalier.io.results import write_manifest
        write_manifest(Path(sys.argv[1]), pa.table({"sample_id": ["a"], "kept": [True]}), {}).commit()
    """
    import textwrap

    subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(link)], check=True)
    write_manifest(link, rows(), {}).discard()
    assert contents(link)["kept.txt"] == b"a\n"


def test_a_writer_killed_at_any_step_leaves_the_old_manifest_or_the_new_one(link, killed_everywhere):
    put(link, rows(4), {"n": 1})
    old = contents(link)
    put(link, rows(), {"n": 2})
    new = contents(link)
    put(link, rows(4), {"n": 1})

    def check():
        assert contents(link) in (old, new)

    assert killed_everywhere(link.parent, lambda: put(link, rows(), {"n": 2}), check) >= 3
    assert contents(link) == new
