"""The chain on forty real pictures: from files to two manifests, and what runs again when something changes."""

import dataclasses
import json
import math
import shutil
from contextlib import contextmanager

import dagster as dg
import numpy as np
import pyarrow.parquet as pq
import pytest

from assets import checks
from espalier.io.scanning import scan
from espalier.stages.graph import CHAIN, MANIFEST, STAGES
from espalier.stages.options import StageOptions
from espalier.stages.staleness import Staleness
from resources import ProgressResource

DENSITY, RANDOM = "density@0.3", "random@0.5:seed=7"


def counts(chain, asset, recipe=""):
    return chain.table(asset, recipe).meta.stats


def test_every_planted_fault_is_found_and_nothing_else(grown):
    chain, _ = grown
    raw, dedup = chain.rows("raw_dataset"), chain.rows("dedup_set")
    assert len(raw) == chain.n_raw
    bad = {name: row["error"] for name, row in raw.items() if row["error"]}
    assert bad.keys() == chain.unreadable.keys()
    assert all(why in bad[name] for name, why in chain.unreadable.items())
    pairs = {frozenset(p) for p in (chain.exact | chain.near).items()}
    assert {frozenset((name, row["duplicate_of"])) for name, row in dedup.items() if not row["kept"]} == pairs
    assert {row["stage"] for name, row in dedup.items() if name in chain.near} == {"near"}
    assert counts(chain, "dedup_set") | {"n_exact": 2, "n_near": 3, "n_kept": 40} == counts(chain, "dedup_set")


def test_what_survives_is_embedded_clustered_and_measured_once(grown):
    chain, _ = grown
    survivors = [name for name, row in chain.rows("dedup_set").items() if row["kept"]]
    assert list(chain.rows("embeddings")) == survivors
    lengths = np.linalg.norm(chain.table("embeddings").matrix("vector").astype(np.float64), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-6)
    reaching = [name for name, row in chain.rows("semantic_dedup_set").items() if row["kept"]]
    clusters = chain.rows("clusters")
    assert list(clusters) == reaching
    complexity = chain.rows("cluster_complexity")
    sizes = np.bincount([row["cluster"] for row in clusters.values()])
    assert [row["size"] for row in complexity.values()] == sizes.tolist()
    for k, row in complexity.items():
        inside = [c["distance"] for c in clusters.values() if c["cluster"] == k]
        assert row["d_intra"] == pytest.approx(np.mean(inside), abs=1e-6)
        assert row["complexity"] == pytest.approx(row["d_intra"] * row["d_inter"], abs=1e-6)
    assert not (chain.home.root / "warehouse" / "embeddings" / "set.parts").exists(), "parts go when they are stored"


@pytest.mark.parametrize(("recipe", "share"), [(DENSITY, 0.3), (RANDOM, 0.5)])
def test_a_manifest_tells_the_fate_of_every_sample_and_keeps_exactly_what_was_asked(grown, recipe, share):
    chain, _ = grown
    rows = chain.rows(MANIFEST, recipe)
    stats = counts(chain, MANIFEST, recipe)
    assert list(rows) == sorted(chain.rows("raw_dataset"), key=str.encode)
    kept = [name for name, row in rows.items() if row["kept"]]
    assert stats["n_total"] == len(chain.rows("clusters"))
    assert len(kept) == stats["n_kept"] == math.ceil(share * stats["n_total"])
    assert stats["n_raw"] == len(rows)
    assert stats["n_unreadable"] == 2
    assert stats["n_duplicates"] == 5 + stats["n_semantic"]
    assert stats["n_raw"] == stats["n_unreadable"] + stats["n_duplicates"] + stats["n_total"]
    fates = {name: row["fate"] for name, row in rows.items()}
    assert {n for n, fate in fates.items() if fate == "unreadable"} == chain.unreadable.keys()
    assert {n for n, fate in fates.items() if fate == "kept"} == set(kept)
    assert sum(fate == "exact duplicate" for fate in fates.values()) == 2
    assert sum(fate == "near duplicate" for fate in fates.values()) == 3
    assert all(row["reason"] for row in rows.values())
    assert "truncated" in rows["moss/torn.jpg"]["reason"]
    near = next(row for row in rows.values() if row["fate"] == "near duplicate")
    assert near["reason"] == f"near duplicate of {near['duplicate_of']} at {near['similarity']:.3f}"


def test_the_manifest_folder_says_the_same_as_the_table(grown):
    chain, _ = grown
    files = chain.manifest(DENSITY)
    assert {"kept.txt", "manifest.parquet", "summary.json"} <= files.keys()
    rows = chain.rows(MANIFEST, DENSITY)
    folder = chain.home.manifests / "set" / DENSITY
    assert pq.read_table(folder / "manifest.parquet").to_pylist() == list(rows.values())
    assert files["kept.txt"].decode().splitlines() == [name for name, row in rows.items() if row["kept"]]
    summary = json.loads(files["summary.json"])
    assert summary["recipe"] == DENSITY
    assert summary["n_kept"] == counts(chain, MANIFEST, DENSITY)["n_kept"]


def materializations(result):
    return {
        e.step_key: e.step_materialization_data.materialization for e in result.all_events if e.is_step_materialization
    }


def test_every_materialization_explains_itself(grown):
    chain, results = grown
    found = materializations(results["chain"]) | materializations(results[DENSITY])
    assert list(found) == [*CHAIN, MANIFEST]
    for name, event in found.items():
        recipe = DENSITY if name == MANIFEST else ""
        table = chain.table(name, recipe)
        assert event.metadata["dagster/row_count"].value == len(table), name
        schema = event.metadata["dagster/column_schema"].value
        assert [c.name for c in schema.columns] == table.arrow(["*"]).column_names, name
        assert all(c.description for c in schema.columns), name
        for option in STAGES[name].options:
            assert f"option: {option}" in event.metadata, (name, option)
        assert event.tags["dagster/data_version"] == table.meta.data_version, name
        assert event.metadata["stage_seconds"].value >= 0


def test_plots_are_pictures_inside_the_metadata(grown):
    _, results = grown
    found = materializations(results["chain"]) | materializations(results[DENSITY])
    for name in ("dedup_set", "clusters", "cluster_complexity", MANIFEST):
        texts = [v.md_str for v in found[name].metadata.values() if isinstance(v, dg.MarkdownMetadataValue)]
        pictures = [text for text in texts if text.startswith("![")]
        assert pictures, f"{name} shows nothing"
        starts = ("](data:image/png;base64,iVBORw0KGgo", "](data:image/jpeg;base64,/9j/")
        assert all(any(start in text for start in starts) for text in pictures), name


def evaluations(result):
    return {
        (e.event_specific_data.asset_key.to_user_string(), e.event_specific_data.check_name): e.event_specific_data
        for e in result.all_events
        if e.event_type_value == "ASSET_CHECK_EVALUATION"
    }


def test_every_check_is_evaluated_for_its_partition(grown):
    chain, results = grown
    found = evaluations(results["chain"]) | evaluations(results[DENSITY])
    assert all(check.partition is not None for check in found.values())
    failed = {name for (_, name), check in found.items() if not check.passed}
    assert failed <= {"few_unreadable"}, "2 of 47 files are below the share that warns"
    assert {"count_exact", "ids_unique"} <= {name for (asset, name) in found if asset == MANIFEST}
    declared = {
        (key.asset_key.to_user_string(), key.name)
        for asset in chain.defs.resolve_all_asset_specs()
        for key in chain.defs.resolve_asset_graph().get_check_keys_for_assets({asset.key})
        if asset.key.to_user_string() in (*CHAIN, MANIFEST)
    }
    assert found.keys() == declared


def test_a_second_recipe_runs_only_the_manifests_own_step(grown):
    chain, results = grown
    assert chain.steps(results[RANDOM]) == [MANIFEST]
    assert Staleness(chain.home, "set").stages() == {}
    assert Staleness(chain.home, "set").manifest(MANIFEST, RANDOM) is None


def test_all_of_it_again_stores_the_same_and_reads_no_file_that_it_knows(regrown, monkeypatch):
    first, read = regrown.versions(), []
    real = scan.read_blob
    monkeypatch.setattr(scan, "read_blob", lambda uri: read.append(uri) or real(uri))
    regrown.grow(DENSITY)
    assert regrown.versions() == first
    assert sorted(uri.rsplit("textures/")[1] for uri in read) == sorted(regrown.unreadable)
    assert counts(regrown, "embeddings") | {"n_embedded": 0, "n_reused": 40} == counts(regrown, "embeddings")


OPTIONS = {
    # option: (value, what runs again)
    "near_threshold": (0.9, CHAIN[1:]),
    "precision": ("f32", ()),
    "eps": (0.04, CHAIN[3:]),
    "k": (3, CHAIN[4:]),
    "n_neighbors": (2, CHAIN[5:]),
    "seed": (1, CHAIN[1:]),
    "keep": (["bark/01.png"], CHAIN[1:]),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_a_changed_option_makes_exactly_what_depends_on_it_stale(grown, option):
    chain, _ = grown
    value, expected = OPTIONS[option]
    options = StageOptions.build({option: value})
    assert tuple(Staleness(chain.home, "set", options).stages()) == expected


def test_a_changed_option_reruns_what_it_must_and_the_rest_is_not_touched(regrown, textures):
    chain = regrown
    before, files = chain.versions(), chain.files()
    chain.zone.land(textures, "set", options={"k": 3})
    stale = Staleness(chain.home, "set").stages()
    result = chain.run(*stale)
    assert chain.succeeded(result)
    assert chain.steps(result) == ["clusters", "cluster_complexity"]
    assert "options changed: k" in stale["clusters"]
    assert chain.table("clusters").meta.stats["k"] == 3
    assert Staleness(chain.home, "set").manifest(MANIFEST, DENSITY) == "inputs changed: cluster_complexity, clusters"
    after = chain.versions()
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"clusters", "cluster_complexity"}
    touched = {f for f in files if files[f] != chain.files().get(f) and f.startswith("warehouse")}
    assert touched == {f"warehouse/{name}/set.duckdb" for name in changed}


@pytest.mark.parametrize(("name", "expected"), [("dedup_set", CHAIN[1:]), ("cluster_complexity", CHAIN[5:])])
def test_a_changed_code_version_reruns_its_stage_and_those_below(grown, monkeypatch, name, expected):
    chain, _ = grown
    monkeypatch.setitem(STAGES, name, dataclasses.replace(STAGES[name], version="next"))
    stale = Staleness(chain.home, "set").stages()
    assert tuple(stale) == expected
    assert stale[name].startswith("code version")
    assert all("runs again" in reason for stage, reason in stale.items() if stage != name)


def test_a_changed_file_is_read_again_and_only_new_content_is_embedded(tmp_path, regrown, textures):
    chain, copied = regrown, shutil.copytree(textures, tmp_path / "changing")
    chain.zone.forget("set")
    chain.zone.land(copied, "set")
    (copied / "leaf/08.png").unlink()
    (copied / "leaf/new.png").write_bytes((copied / "stone/01.png").read_bytes()[:-20])
    (copied / "moss/02.png").rename(copied / "moss/renamed.png")
    assert tuple(Staleness(chain.home, "set").stages()) == CHAIN
    chain.grow()
    embedded = counts(chain, "embeddings")
    assert embedded["n_reused"] >= 39
    assert embedded["n_embedded"] <= 1
    assert "leaf/08.png" not in chain.rows("raw_dataset")
    assert "moss/renamed.png" in chain.rows("embeddings")


class Refusing(Exception):
    pass


@contextmanager
def answering(check, run):
    """Put ``run`` in the place of a check for a while."""
    real = check.run
    object.__setattr__(check, "run", run)
    try:
        yield
    finally:
        object.__setattr__(check, "run", real)


def test_a_failing_blocking_check_leaves_what_stood_in_its_place(regrown, textures):
    chain = regrown
    before, files = chain.versions(), chain.files()
    with answering(checks.clusters_not_empty, lambda *_: (False, {"planted": 7})):
        chain.zone.land(textures, "set", options={"k": 2})
        result = chain.run("clusters", "cluster_complexity")
    assert chain.failure(result) == (
        "clusters: the check clusters_not_empty does not hold (planted: 7). What was stored before is unchanged."
    )
    assert chain.steps(result) == ["clusters"], "nothing below a refused asset runs"
    assert materializations(result) == {}, "a refused asset is not materialized, so the eager rules see no change"
    assert not evaluations(result)["clusters", "clusters_not_empty"].passed
    assert evaluations(result)["clusters", "ids_known"].passed
    assert chain.versions() == before
    now = chain.files()
    assert {f for f in now if files.get(f) != now[f]} == {"landing/set.yaml"}


def test_a_stage_that_fails_after_its_folder_was_written_leaves_no_piece_behind(regrown):
    files = regrown.files()

    def broken(*_):
        raise Refusing("planted")

    with answering(checks.count_exact, broken):
        result = regrown.run(recipe=DENSITY)
    assert not result.success
    assert regrown.files() == files


def test_a_result_whose_input_was_replaced_meanwhile_is_refused(textures, regrown):
    """Two runs of one dataset at a time: the slower one may have read some of both states."""
    chain, before = regrown, regrown.versions()

    class Meanwhile(ProgressResource):
        def bar(self, log, label, total):
            if label == "clustering":
                other = chain.twin()
                other.zone.land(textures, "set", options={"near_threshold": 0.999})
                assert other.succeeded(other.run("dedup_set", "embeddings", "semantic_dedup_set"))
            return super().bar(log, label, total)

    slow = chain.twin(progress=Meanwhile())
    result = slow.run("clusters")
    assert "was made anew during this step. Run it again." in chain.failure(result)
    assert chain.versions()["clusters"] == before["clusters"]


def test_files_that_change_while_they_are_read_fail_the_run_and_store_nothing(tmp_path, textures, chain):
    copied = shutil.copytree(textures, tmp_path / "changing")

    class Meanwhile(ProgressResource):
        def bar(self, log, label, total):
            if label == "reading files":
                (copied / "leaf/late.png").write_bytes((copied / "leaf/01.png").read_bytes())
            return super().bar(log, label, total)

    slow = type(chain)(tmp_path / "other", copied, progress=Meanwhile())
    result = slow.run()
    assert chain.failure(result) == "The files of 'set' changed while they were read. Run again when they have settled."
    assert list(slow.files()) == ["landing/set.yaml"]
    assert chain.succeeded(type(chain)(tmp_path / "other", copied).run())
