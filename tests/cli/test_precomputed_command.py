"""Embeddings that a user brings: the same manifest as computed ones, and every mismatch told."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from espalier.io.encoders.encoder import Encoder
from espalier.io.precomputed.embeddings import PrecomputedEmbeddings
from espalier.stages.graph import CHAIN
from espalier.stages.staleness import Staleness

RECIPES = ("density@0.3", "cluster_random@0.5:seed=3")


def stored(chain) -> tuple[list[str], np.ndarray]:
    """The ids and vectors that a chain has embedded."""
    table = chain.table("embeddings")
    return table.arrow(["sample_id"])["sample_id"].to_pylist(), table.matrix("vector")


def clip_retrieval(folder, ids, vectors):
    """Write shards as clip-retrieval does, in an order that is not the samples'."""
    order = np.random.default_rng(1).permutation(len(ids))
    (folder / "img_emb").mkdir(parents=True)
    (folder / "metadata").mkdir()
    for number, rows in enumerate(np.array_split(order, 3)):
        np.save(folder / "img_emb" / f"img_emb_{number}.npy", vectors[rows])
        table = pa.table({"image_path": [ids[i] for i in rows]})
        pq.write_table(table, folder / "metadata" / f"metadata_{number}.parquet")
    return folder


def lines(folder, ids, vectors):
    """Write one matrix with its ids in a text file."""
    folder.mkdir(exist_ok=True)
    np.save(folder / "x.npy", vectors)
    (folder / "x.txt").write_text("\n".join(ids), encoding="utf-8")
    return folder


@pytest.fixture
def fresh(tmp_path, grown):
    """A new home with the same data landed; ``fresh(vectors)`` lands embeddings too."""

    def make(embeddings=None, **chain):
        found = grown[0].__class__(tmp_path / "fresh", grown[0].data)
        if embeddings is not None:
            chain["embeddings"] = str(embeddings)
        found.zone.land(grown[0].data, "set", options=chain)
        return found

    return make


@pytest.fixture
def no_encoding(monkeypatch):
    """No picture can be encoded."""

    def refuse(*_, **__):
        raise AssertionError("a picture was encoded")

    monkeypatch.setattr(Encoder, "encode_images", refuse)


@pytest.mark.usefixtures("no_encoding")
def test_vectors_that_are_brought_give_the_manifest_of_the_same_vectors_computed(tmp_path, grown, fresh):
    ids, vectors = stored(grown[0])
    chain = fresh(clip_retrieval(tmp_path / "vectors", ids, vectors)).grow("density@0.3", "random@0.5:seed=7")
    assert np.array_equal(stored(chain)[1], vectors)
    for recipe in ("density@0.3", "random@0.5:seed=7"):
        ours, theirs = chain.manifest(recipe), grown[0].manifest(recipe)
        for name in ("kept.txt", "kept.marisa", "kept_uids.npy", "manifest.parquet"):
            assert ours[name] == theirs[name], name
    stats = chain.table("embeddings").meta.stats
    assert (stats["n_brought"], stats["n_embedded"], stats["n_failed"]) == (len(ids), 0, 0)
    assert stats["encoder_id"] != grown[0].table("embeddings").meta.stats["encoder_id"]
    assert json.loads(chain.manifest("density@0.3")["summary.json"])["encoder_id"] == stats["encoder_id"]


def test_missing_zero_and_broken_vectors_are_recorded_with_their_reason_and_others_reported(tmp_path, grown, fresh):
    ids, vectors = stored(grown[0])
    vectors = vectors.copy()
    vectors[3], vectors[5, 2] = 0, np.nan
    lost = ids[-1]
    chain = fresh(
        lines(tmp_path / "v", [*ids[:-1], "no/such.png", ids[0]], np.concatenate([vectors[:-1], vectors[:2]]))
    )
    result = chain.run()
    assert chain.succeeded(result)
    chain.grow("random@0.5")
    with chain.table("embeddings").connect() as db:
        reasons = dict(db.execute("SELECT sample_id, reason FROM errors").fetchall())
    assert reasons == {
        ids[3]: "its vector, row 3 of x.npy, is zero",
        ids[5]: "its vector, row 5 of x.npy, is not finite",
        lost: "no vector was brought for it",
    }
    row = chain.rows("pruned_manifest", "random@0.5")[lost]
    assert (row["fate"], row["reason"]) == ("not embedded", "could not be embedded: no vector was brought for it")
    shown = next(m for m in result.asset_materializations_for_node("embeddings")).metadata
    assert shown["embeddings: vectors_without_sample"].value == "1"
    assert shown["embeddings: repeated_ids"].value == "1"
    assert "1 belong to no sample ('no/such.png')" in shown["embeddings: in words"].value


@pytest.mark.parametrize(("dim", "kind"), [(3, np.float32), (1024, np.float16)])
def test_any_dimension_and_half_precision_are_taken_and_brought_to_unit_length(tmp_path, grown, fresh, dim, kind):
    ids, _ = stored(grown[0])
    vectors = (5 * np.random.default_rng(2).standard_normal((len(ids), dim))).astype(kind)
    chain = fresh(lines(tmp_path / "v", ids, vectors)).grow("density@0.3")
    found = stored(chain)[1]
    assert (found.shape, found.dtype) == ((len(ids), dim), np.float32)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert chain.table("embeddings").meta.stats["dim"] == dim


def test_a_changed_file_makes_the_embeddings_stale_and_the_same_bytes_elsewhere_do_not_change_their_id(
    tmp_path, grown, fresh
):
    ids, vectors = stored(grown[0])
    folder = lines(tmp_path / "v", ids, vectors)
    chain = fresh(folder).grow()
    assert Staleness(chain.home, "set").stages() == {}
    before = chain.table("embeddings").meta.stats["encoder_id"]
    np.save(folder / "x.npy", vectors[::-1])
    stale = Staleness(chain.home, "set").stages()
    assert stale["embeddings"] == "options changed: embeddings_files"
    assert "dedup_set" not in stale
    chain.grow()
    assert chain.table("embeddings").meta.stats["encoder_id"] != before
    chain.zone.land(chain.data, "set", options={"embeddings": str(lines(tmp_path / "w", ids, vectors))})
    chain.grow()
    assert chain.table("embeddings").meta.stats["encoder_id"] == before


def test_vectors_of_an_encoder_are_never_mixed_with_those_that_are_brought(tmp_path, grown, fresh):
    ids, vectors = stored(grown[0])
    chain = fresh().grow()
    chain.zone.land(chain.data, "set", options={"embeddings": str(lines(tmp_path / "v", ids, vectors[::-1]))})
    chain.grow()
    assert np.array_equal(stored(chain)[1], vectors[::-1])
    chain.zone.land(chain.data, "set", options={"embeddings": ""})
    chain.grow()
    assert np.array_equal(stored(chain)[1], vectors)


def test_files_that_are_gone_or_fit_nothing_fail_in_words_and_leave_what_stood(tmp_path, grown, fresh):
    ids, vectors = stored(grown[0])
    folder = lines(tmp_path / "v", ids, vectors)
    chain = fresh(folder).grow()
    before = chain.versions()
    (folder / "x.txt").write_text("\n".join(f"/else/{i}" for i in range(len(ids))))
    assert "No id of" in chain.failure(chain.run("embeddings"))
    shutil.rmtree(folder)
    assert "There are no embeddings at" in chain.failure(chain.run("embeddings"))
    assert chain.versions() == before


def test_files_that_change_while_they_are_read_are_refused(tmp_path, grown, fresh, monkeypatch):
    ids, vectors = stored(grown[0])
    folder = lines(tmp_path / "v", ids, vectors)
    real = PrecomputedEmbeddings.align

    def align(self, *given):
        np.save(folder / "x.npy", vectors[::-1])
        return real(self, *given)

    monkeypatch.setattr(PrecomputedEmbeddings, "align", align)
    chain = fresh(folder)
    chain.run("raw_dataset", "dedup_set")
    assert "changed while they were read" in chain.failure(chain.run("embeddings"))


@pytest.mark.usefixtures("no_encoding")
def test_the_command_line_lands_embeddings_with_a_path_and_on_a_dataset(tmp_path, grown, espalier):
    ids, vectors = stored(grown[0])
    folder, home = lines(tmp_path / "v", [*ids[1:], "x"], vectors), tmp_path / "home"
    said = espalier("land", grown[0].data, "--name", "set", "--embeddings", folder, home=home)
    assert said.code == 0, said.err
    raw = grown[0].table("raw_dataset").meta.n_rows
    assert f"Embeddings of 512 components: {len(ids) - 1} of {len(ids)} vectors belong to a sample" in said.out
    assert f"{raw - len(ids) + 1} samples have none; 1 belong to no sample ('x')." in said.out
    said = espalier("prune", "set", "-r", "0.5", home=home)
    assert "2 unreadable, 2 exact copies, 3 near duplicates, 1 not embedded" in said.out
    assert f"your embeddings: {len(ids) - 1} of {len(ids)} vectors belong to a sample" in said.out
    assert "could not be embedded: no vector was brought for it" in espalier("why", "set", ids[0], home=home).out
    answer = espalier("explore", "set", "--query-item", ids[1], "--topk", "3", "--json", home=home)
    assert "near copies that were dropped are not searched" in answer.err
    found = answer.json()
    assert found["results"][0]["sample_id"] == ids[1]
    picture = espalier("explore", "set", "--query-img", grown[0].data / ids[0], home=home)
    assert (picture.code, "no picture can be compared with them" in picture.err) == (1, True)
    words = espalier("explore", "set", "--query-str", "moss", "--topk", "2", "--json", home=home).json()
    assert all(result["sample_id"].startswith("moss/") for result in words["results"])


def test_the_door_refuses_what_does_not_fit_and_writes_no_card(tmp_path, grown, espalier):
    ids, vectors = stored(grown[0])
    home = tmp_path / "home"
    for folder, said in (
        (tmp_path / "nowhere", "There are no embeddings at"),
        (lines(tmp_path / "a", ids[1:], vectors), f"x.npy holds {len(ids)} vectors, x.txt {len(ids) - 1} ids"),
        (lines(tmp_path / "b", [f"b{i}" for i in ids], vectors), "is one of a sample"),
    ):
        answer = espalier("land", grown[0].data, "--name", "set", "--embeddings", folder, home=home)
        assert answer.code == 1
        assert said in answer.err
        assert not (home / "landing" / "set.yaml").exists()
    answer = espalier("land", grown[0].data, "--embeddings", "v#nope=1", home=home)
    assert (answer.code, "no option 'nope'" in answer.err) == (2, True)


def test_taking_embeddings_back_encodes_again(tmp_path, grown, espalier):
    ids, vectors = stored(grown[0])
    home = tmp_path / "home"
    espalier("land", grown[0].data, "--name", "set", "--embeddings", lines(tmp_path / "v", ids, -vectors), home=home)
    assert espalier("prune", "set", "-r", "0.5", "--json", home=home).json()["ran"][: len(CHAIN)] == list(CHAIN)
    assert espalier("land", "set", "--no-embeddings", home=home).code == 0
    assert espalier("prune", "set", "-r", "0.5", "--json", home=home).json()["encoder"] == "builtin"


def test_random_over_all_files_takes_the_vectors_that_were_brought(tmp_path, grown, espalier):
    """Duplicates too have one, if it was brought."""
    every = grown[0].table("raw_dataset").arrow(["sample_id"])["sample_id"].to_pylist()
    vectors, home = np.random.default_rng(3).standard_normal((len(every), 16)), tmp_path / "home"
    espalier("land", grown[0].data, "--name", "set", "--embeddings", lines(tmp_path / "v", every, vectors), home=home)
    ask = ("compare", "set", "-m", "cluster_random", "--ratios", "0.5", "--raw-random", "--json")
    summary = espalier(*ask, home=home).json()
    assert summary["n_files"] > summary["n_train"]
    (tmp_path / "v" / "x.txt").write_text("\n".join([*every[:-1], "x"]))
    assert espalier(*ask, home=home).json()["n_files"] == summary["n_files"] - 1


@pytest.mark.usefixtures("no_encoding")
def test_datacomps_metadata_is_pruned_by_its_vectors_without_a_picture(tmp_path, espalier):
    """Uids and captions, one of them common; the npz beside each table holds two kinds of vectors."""
    data, home, rng = tmp_path / "meta", tmp_path / "home", np.random.default_rng(5)
    data.mkdir()
    for shard in range(2):
        uids = [f"{shard:016x}{i:016x}" for i in range(20)]
        texts = [f"picture {shard} {i}" if i % 2 else "image" for i in range(20)]
        pq.write_table(pa.table({"uid": uids, "text": texts}), data / f"{shard}.parquet")
        np.savez(data / f"{shard}.npz", b32_img=rng.normal(size=(20, 8)), l14_img=rng.normal(size=(20, 16)))
    said = espalier("land", data, "--embeddings", data, home=home)
    assert said.code == 0, said.err
    assert "Embeddings of 16 components: 40 of 40 vectors" in said.out
    assert "espalier land meta --option text_copies=false" in said.out
    ask = ("prune", "meta", "-m", "density", "-r", "0.25", "--json")
    assert espalier(*ask, home=home).json()["n_exact"] == 19, "with the default equal texts are copies"
    espalier("land", "meta", "--option", "text_copies=false", home=home)
    summary = espalier(*ask, home=home).json()
    assert (summary["n_exact"], summary["n_total"], summary["n_kept"]) == (0, 40, 10)
    uids = np.load(home / "manifests" / "meta" / "density@0.25" / "kept_uids.npy")
    assert len(uids) == 10
    assert uids.dtype == np.dtype("u8,u8")
    smaller = espalier("land", "meta", "--embeddings", f"{data}#array=b32_img", home=home)
    assert "Embeddings of 8 components" in smaller.out
