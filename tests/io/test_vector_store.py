"""The vector store: nothing is embedded twice, nothing is lost, and encoders never meet."""

import subprocess
import sys
import textwrap
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from espalier.io.vectors.store import VectorStore
from espalier.io.warehouse import Draft, Meta, Warehouse
from espalier.io.warehouse.table import array_block

DIM, BYTES = 4, 2


@pytest.fixture
def store(tmp_path):
    return Warehouse(tmp_path / "warehouse")


def needed(*pairs):
    """Samples as (id, content)."""
    return pa.table(
        {
            "sample_id": [p[0] for p in pairs],
            "sha256": [p[1] for p in pairs],
            "uri": [f"/data/{p[0]}" for p in pairs],
        }
    )


def vector(content, encoder="enc1"):
    """The vector that an encoder gives a content."""
    seed = int.from_bytes(f"{encoder}{content}".encode()) % 2**32
    values = np.random.default_rng(seed).normal(size=DIM).astype(np.float32)
    return values / np.linalg.norm(values)


def opened(store, dataset="set", encoder="enc1"):
    return VectorStore.open(store, dataset, encoder, DIM, BYTES)


def add(vectors, contents, encoder="enc1"):
    block = np.stack([vector(c, encoder) for c in contents])
    vectors.add(pa.array(contents), block, np.full((len(contents), BYTES), 7, np.uint8))


def finish(store, vectors, samples, dataset="set", encoder="enc1"):
    """Store the merged rows, as the stage does."""
    rows = pa.RecordBatchReader.from_batches(vectors.schema(), vectors.merged(samples))
    meta = Meta("embeddings", dataset, "", "1", {}, {})
    store.stage(Draft(rows, sort="", stats={"encoder_id": encoder}), meta).commit()
    vectors.commit()


def ids(table):
    return table["sample_id"].to_pylist()


SAMPLES = needed(("a", "x"), ("b", "y"), ("c", "x"), ("d", "z"))


def test_each_content_is_asked_for_once_under_its_first_id(store):
    vectors = opened(store)
    assert ids(vectors.missing(SAMPLES)) == ["a", "b", "d"]
    vectors.discard()


def test_every_sample_gets_the_vector_of_its_content_in_order_of_ids(store):
    vectors = opened(store)
    add(vectors, ["z", "x"])
    add(vectors, ["y"])
    finish(store, vectors, SAMPLES.take([3, 1, 2, 0]))
    table = store.need("embeddings", "set")
    assert ids(table.arrow(["sample_id"])) == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(table.matrix("vector"), [vector(c) for c in "xyxz"])
    assert table.matrix("hash").tolist() == [[7, 7]] * 4
    assert not vectors.folder.exists()


def test_a_killed_run_goes_on_from_the_parts_that_were_whole(store, gone):
    killed = opened(store)
    add(killed, ["x"])
    left = killed.folder / f".enc1-000001.parquet.{gone}.0123abcd.tmp"
    left.write_bytes(b"half a part")
    killed.discard()
    again = opened(store)
    assert ids(again.missing(SAMPLES)) == ["b", "d"]
    add(again, ["y", "z"])
    assert not left.exists()
    assert again.missing(SAMPLES).num_rows == 0
    finish(store, again, SAMPLES)
    np.testing.assert_array_equal(store.need("embeddings", "set").matrix("vector"), [vector(c) for c in "xyxz"])


def test_what_another_dataset_holds_is_reused(store):
    first = opened(store, "first")
    add(first, ["x", "y"])
    finish(store, first, needed(("p", "x"), ("q", "y")), "first")
    second = opened(store, "second")
    assert ids(second.missing(SAMPLES)) == ["d"]
    add(second, ["z"])
    finish(store, second, SAMPLES, "second")
    np.testing.assert_array_equal(store.need("embeddings", "second").matrix("vector"), [vector(c) for c in "xyxz"])


def test_a_dataset_that_changed_embeds_only_what_is_new(store):
    vectors = opened(store)
    add(vectors, ["x", "y", "z"])
    finish(store, vectors, SAMPLES)
    grown = needed(("a", "x"), ("d2", "z"), ("e", "new"))
    again = opened(store)
    assert ids(again.missing(grown)) == ["e"]
    add(again, ["new"])
    finish(store, again, grown)
    assert ids(store.need("embeddings", "set").arrow(["sample_id"])) == ["a", "d2", "e"]


@pytest.mark.parametrize("where", ["parts", "table", "another dataset"])
def test_the_vectors_of_another_encoder_are_never_used(store, where):
    other = opened(store, "first" if where == "another dataset" else "set", "enc2")
    add(other, ["x", "y", "z"], "enc2")
    if where == "parts":
        other.discard()
    else:
        finish(store, other, SAMPLES, "first" if where == "another dataset" else "set", "enc2")
    mine = opened(store)
    assert ids(mine.missing(SAMPLES)) == ["a", "b", "d"]
    assert list(mine.merged(SAMPLES)) == [] or sum(b.num_rows for b in mine.merged(SAMPLES)) == 0
    add(mine, ["x", "y", "z"])
    merged = np.concatenate([array_block(b["vector"]) for b in mine.merged(SAMPLES)])
    np.testing.assert_array_equal(merged, [vector(c) for c in "xyxz"])
    mine.discard()


def test_a_content_that_could_not_be_embedded_has_no_row(store):
    vectors = opened(store)
    add(vectors, ["x", "z"])
    assert [i for b in vectors.merged(SAMPLES) for i in b["sample_id"].to_pylist()] == ["a", "c", "d"]
    vectors.discard()


def test_parts_are_written_whole_and_say_which_encoder_made_them(store):
    vectors = opened(store)
    add(vectors, ["x"])
    add(vectors, ["y"])
    names = sorted(p.name for p in vectors.folder.iterdir())
    assert names == ["enc1-000000.parquet", "enc1-000001.parquet"]
    assert pq.read_table(vectors.folder / names[1])["sha256"].to_pylist() == ["y"]
    vectors.discard()


def test_a_second_run_of_a_dataset_waits_and_then_finds_everything_done(store):
    """Both would write the same parts, and the first to finish would remove those of the other."""
    first, said, second = opened(store), [], []
    waiting = threading.Event()

    def tell(words):
        said.append(words)
        waiting.set()

    thread = threading.Thread(target=lambda: second.append(VectorStore.open(store, "set", "enc1", DIM, BYTES, tell)))
    thread.start()
    assert waiting.wait(10)
    assert "waiting" in said[0]
    assert second == []
    add(first, ["x", "y", "z"])
    finish(store, first, SAMPLES)
    thread.join(10)
    assert second[0].missing(SAMPLES).num_rows == 0
    second[0].discard()
    opened(store, "other").discard()


def test_the_lock_of_a_killed_run_ends_with_it(store):
    code = """
        import os, signal, sys
        from pathlib import Path
        from espalier.io.vectors.store import VectorStore
        from espalier.io.warehouse import Warehouse
        vectors = VectorStore.open(Warehouse(Path(sys.argv[1])), "set", "enc1", 4, 2)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(store.root)], check=False)
    vectors = VectorStore.open(store, "set", "enc1", DIM, BYTES, tell=lambda _: pytest.fail("it waits for a dead run"))
    vectors.discard()
