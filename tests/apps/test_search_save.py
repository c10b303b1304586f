"""A saved answer: whole or not there, whenever the process is killed; nothing of the user's is lost."""

import io
import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from espalier.apps.search import Query, Result, SearchRequest, SearchResponse, check_folder, save, sheet
from espalier.core.errors import EspalierError, UsageError

STEPS = ("write_bytes", "write_text", "symlink_to", "replace", "rename", "mkdir", "unlink")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> list[Path]:
    """Files of which several share a name."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(3)
    paths = [root / c / f"{i}.png" for c in ("heron", "otter") for i in range(4)]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
    return paths


def answer(*found: Path) -> SearchResponse:
    results = tuple(
        Result("birds", f"{p.parent.name}/{p.name}", "", 7.0 * n, str(p), 0, None) for n, p in enumerate(found)
    )
    query = Query("image", str(found[0]))
    return SearchResponse(SearchRequest((query,)), results, ((query, str(found[0])),), "builtin")


def is_whole(folder: Path, found: tuple[Path, ...]) -> bool:
    """Whether the folder holds this answer: its record, its sheet and each file with its bytes."""
    record = json.loads((folder / "results.json").read_text())
    if [r["uri"] for r in record["results"]] != [str(p) for p in found]:
        return False
    for result in record["results"]:
        assert (folder / result["file"]).read_bytes() == Path(result["uri"]).read_bytes()
    with Image.open(folder / "explore.png") as drawn:
        drawn.load()
    return True


def visible(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir()}


def killed_at(step: int, work) -> bool:
    """Do the work in a process of its own that is killed before (a write: in the middle of) its n-th step."""
    child = os.fork()
    if not child:
        try:
            left = [step]

            def wrap(name):
                real = getattr(Path, name)

                def stepped(self, *args, **options):
                    left[0] -= 1
                    if left[0] == 0:
                        if name in ("write_bytes", "write_text"):
                            real(self, args[0][: len(args[0]) // 2])
                        os.kill(os.getpid(), signal.SIGKILL)
                    return real(self, *args, **options)

                setattr(Path, name, stepped)

            for name in STEPS:
                wrap(name)
            work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def every_step(work, prepare):
    """Kill the work at each of its steps, one after the other; yield after each, prepared anew."""
    step = 1
    while True:
        prepare()
        if not killed_at(step, work):
            return
        yield step
        step += 1


@pytest.mark.parametrize("link", [False, True])
def test_killed_at_any_step_a_new_folder_is_not_there_or_whole(tmp_path, pictures, link):
    target, found = tmp_path / "out" / "found", tuple(pictures[:3])
    steps = 0
    for step in every_step(
        lambda: save(answer(*found), target, link=link), lambda: shutil.rmtree(target.parent, ignore_errors=True)
    ):
        assert not target.exists() or is_whole(target, found)
        save(answer(*found), target)
        assert [p.name for p in target.parent.iterdir()] == ["found"], f"left over of step {step}"
        steps += 1
    assert steps >= 8
    assert is_whole(target, found)


def test_killed_at_any_step_a_folder_written_over_holds_the_old_answer_or_the_new(tmp_path, pictures):
    target, old, new = tmp_path / "found", tuple(pictures[:4]), (pictures[4], pictures[1], pictures[6])

    def prepare():
        shutil.rmtree(target, ignore_errors=True)
        save(answer(*old), target)
        (target / "notes.txt").write_text("mine")
        (target / "files" / "mine.png").write_text("mine")

    steps = 0
    for _ in every_step(lambda: save(answer(*new), target, overwrite=True), prepare):
        assert is_whole(target, old) or is_whole(target, new)
        assert (target / "notes.txt").read_text() == (target / "files/mine.png").read_text() == "mine"
        save(answer(*new), target, overwrite=True)
        assert is_whole(target, new)
        assert not [p for p in target.iterdir() if p.name.startswith(".")]
        steps += 1
    assert steps >= 10
    record = json.loads((target / "results.json").read_text())
    assert visible(target) == {
        "explore.png", "results.json", "notes.txt", "files/mine.png", *(r["file"] for r in record["results"]),
    }  # fmt: skip


def test_a_folder_that_is_there_stays_the_same_folder(tmp_path, pictures):
    """Someone may stand in it, and its rights are its owner's."""
    target = tmp_path / "found"
    target.mkdir(mode=0o750)
    inode = target.stat().st_ino
    save(answer(*pictures[:2]), target)
    assert is_whole(target, tuple(pictures[:2]))
    assert (target.stat().st_ino, target.stat().st_mode & 0o777) == (inode, 0o750)
    with pytest.raises(UsageError, match="not empty"):
        save(answer(*pictures[:2]), target)


def test_the_leavings_of_a_killed_run_do_not_count_as_something(tmp_path, pictures):
    target = tmp_path / "found"
    target.mkdir()
    assert killed_at(5, lambda: save(answer(*pictures[:3]), target))
    assert list(target.iterdir()), "this kill left something aside"
    assert check_folder(target, overwrite=False) == target
    save(answer(*pictures[:3]), target)
    assert sorted(p.name for p in target.iterdir()) == ["explore.png", "files", "results.json"]


def test_a_file_of_the_users_under_a_results_name_is_not_replaced(tmp_path, pictures):
    target = tmp_path / "found"
    (target / "files").mkdir(parents=True)
    (target / "files/0001_0.png").write_text("mine")
    (target / "files/0002_1.png").symlink_to(pictures[7])
    record = save(answer(*pictures[:2]), target, overwrite=True)
    assert [r["file"] for r in record["results"]] == ["files/0001_0-2.png", "files/0002_1-2.png"]
    assert (target / "files/0001_0.png").read_text() == "mine"
    assert (target / "files/0002_1.png").readlink() == pictures[7]
    assert save(answer(*pictures[:2]), target, overwrite=True) == record, "the same answer keeps its names"
    assert is_whole(target, tuple(pictures[:2]))


def test_a_record_made_to_harm_removes_nothing_outside(tmp_path, pictures):
    target = tmp_path / "found"
    target.mkdir()
    (tmp_path / "precious").write_text("mine")
    (target / "explore.png").write_text("mine too, but asked to be replaced")
    names = ["../precious", "/" + str(tmp_path / "precious"), "files/../../precious", 5, None, "files/.."]
    (target / "results.json").write_text(json.dumps({"results": [{"file": name} for name in names]}))
    save(answer(*pictures[:1]), target, overwrite=True)
    assert (tmp_path / "precious").read_text() == "mine"
    for record in ("[]", '{"results": 5}', '{"results": [5]}', "null", "no json"):
        (target / "results.json").write_text(record)
        save(answer(*pictures[:1]), target, overwrite=True)
    assert is_whole(target, tuple(pictures[:1]))


def test_what_cannot_be_written_or_read_is_one_line(tmp_path, pictures):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="is a file"):
        save(answer(*pictures[:1]), tmp_path / "file", overwrite=True)
    with pytest.raises(UsageError, match=r"/file is a file\."):
        check_folder(tmp_path / "file/more/found", overwrite=False)
    (tmp_path / "holds").mkdir()
    (tmp_path / "holds/files").write_text("mine")
    with pytest.raises(EspalierError, match=r"Cannot write to .*holds: File exists"):
        save(answer(*pictures[:1]), tmp_path / "holds", overwrite=True)
    assert [p.name for p in (tmp_path / "holds").iterdir()] == ["files"]
    gone = tmp_path / "gone.png"
    record = save(answer(pictures[0], gone), tmp_path / "found")
    assert [r["file"] for r in record["results"]] == ["files/0001_0.png", None], "a file that went is left out"


def test_names_that_are_long_in_bytes_fit(tmp_path, pictures):
    name = "鷺" * 80 + ".png"
    (tmp_path / name).write_bytes(pictures[0].read_bytes())
    record = save(answer(tmp_path / name), tmp_path / "found")
    assert record["results"][0]["file"].endswith("鷺.png")
    assert is_whole(tmp_path / "found", (tmp_path / name,))


def test_the_sheet_shows_the_queries_in_their_order_words_and_what_pushes_away_too(pictures):
    queries = (Query("text", "a heron"), Query("image", str(pictures[0])), Query("text", "otter " * 40, True))
    found = answer(*pictures[1:4])
    png = sheet(SearchResponse(SearchRequest(queries), found.results, ((queries[1], str(pictures[0])),), "builtin"))
    drawn = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    first, second, third = (drawn[6:118, x : x + 112] for x in (6, 124, 242))
    for words in (first, third):
        assert 50 < (words < 128).all(-1).sum() < 4000, "dark letters on a light tile"
        assert (words[0] == 255).all(), "which do not reach its edge"
        assert (words[:, 0] == 255).all()
    with Image.open(pictures[0]) as query:
        assert np.abs(second - np.asarray(query.resize((112, 112), Image.Resampling.NEAREST))).mean() < 1
    frames = [drawn[60, x - 1] for x in (6, 124, 242)]
    assert frames[0].tolist() == frames[1].tolist() != frames[2].tolist()
    assert frames[2].argmax() == 0, "red"
