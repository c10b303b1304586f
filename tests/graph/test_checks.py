"""Each check of each asset holds on what the graph stores, and fails when that was broken on purpose."""

import dataclasses
import shutil

import duckdb
import pytest

from assets import checks
from assets.checks import Check
from definitions import build_defs
from espalier.io.warehouse import Table
from espalier.stages.graph import EXPORT, MANIFEST, QUALITY, STAGES

RECIPE = "density@0.3"
IDS_KNOWN = ("dedup_set", "embeddings", "semantic_dedup_set", "clusters")
CHECKS = {check.name: check for check in vars(checks).values() if isinstance(check, Check)}

ONE = "WHERE sample_id = 'moss/02.png'"
UNKNOWN, GONE = f"UPDATE data SET sample_id = 'nowhere.png' {ONE}", f"DELETE FROM data {ONE}"
REPEATED, DROPPED = f"INSERT INTO data SELECT * FROM data {ONE}", f"UPDATE data SET kept = NOT kept {ONE}"
DROPPED_FOR_A_COPY = f"UPDATE data SET kept = false, duplicate_of = 'leaf/05-small.jpg' {ONE}"
KEPT_THOUGH_A_COPY = f"UPDATE data SET duplicate_of = 'leaf/05.png' {ONE}"
SCALED = f"UPDATE data SET vector = list_transform(vector, lambda x: x * '{{}}'::FLOAT)::FLOAT[512] {ONE}"
WITH_A_REASON = f"INSERT INTO errors SELECT sample_id, 'planted' FROM data {ONE}; {GONE}"
OF_ANOTHER = f"UPDATE data SET kept = false, duplicate_of = 'of/theirs.png', of_dataset = 'other' {ONE}"
LEAKS = "INSERT INTO leaks BY NAME SELECT sample_id FROM data LIMIT 3"
CLUSTER = "UPDATE data SET {} WHERE cluster = 0"

LACKING = {"ids that raw_dataset lacks": 1, "repeated ids": 0}
TWICE = {"ids that raw_dataset lacks": 0, "repeated ids": 1}
NOT_KEPT = {"dropped samples whose representative is not kept": 1}
NOT_UNIT = {"vectors that are not finite and unit": 1}

BREAKS = [
    ("raw_dataset", "ids_unique", REPEATED, {"repeated ids": 1}),
    ("raw_dataset", "some_readable", "UPDATE data SET error = 'torn'", {"readable": 0}),
    ("raw_dataset", "few_unreadable", f"UPDATE data SET error = 'torn' {ONE}", {"share unreadable": 3 / 47}),
    *((asset, "ids_known", UNKNOWN, LACKING) for asset in IDS_KNOWN),
    *((asset, "ids_known", REPEATED, TWICE) for asset in IDS_KNOWN),
    ("dedup_set", "duplicates_point_to_kept", DROPPED_FOR_A_COPY, NOT_KEPT),
    ("dedup_set", "duplicates_point_to_kept", KEPT_THOUGH_A_COPY, NOT_KEPT),
    ("dedup_set", "no_leaks", LEAKS, {"samples that stand in two subsets or datasets": 3}),
    ("embeddings", "all_survivors", GONE, {"survivors with neither a vector nor a reason": 1}),
    *(("embeddings", "vectors_unit", SCALED.format(factor), NOT_UNIT) for factor in ("0.5", "1.0005", "nan", "inf")),
    ("semantic_dedup_set", "duplicates_point_to_kept", f"UPDATE data SET duplicate_of = sample_id {ONE}", NOT_KEPT),
    ("clusters", "clusters_not_empty", "DELETE FROM data WHERE cluster = 0", {"empty clusters": 1}),
    ("cluster_complexity", "members_add_up", CLUSTER.format("size = size + 2"), {"members": 42}),
    *(
        ("cluster_complexity", "members_add_up", CLUSTER.format(wrong), {"clusters without a finite complexity": 1})
        for wrong in ("d_intra = 'nan'", "d_inter = 'inf'", "complexity = -1")
    ),
    (MANIFEST, "ids_unique", REPEATED, {"repeated ids": 1}),
    (MANIFEST, "every_sample_has_a_fate", GONE, {"rows": 46, "samples in raw_dataset": 47}),
    (MANIFEST, "count_exact", DROPPED, {"asked": 12}),
    (QUALITY, "not_worse_than_random", {"difference": -0.02, "margin": 0.015}, {}),
    (EXPORT, "all_written", "DELETE FROM data WHERE rowid = 0", {"written": 11, "kept by the manifest": 12}),
]


@pytest.fixture(scope="module")
def store(grown, new_chain, tmp_path_factory):
    """The tables of a home that has every asset with a check; read them, never change them."""
    copy = shutil.copytree(grown[0].home.root, tmp_path_factory.mktemp("checked") / "home", symlinks=True)
    chain = new_chain(copy, grown[0].data)
    assert chain.succeeded(chain.run(QUALITY, recipe=RECIPE))
    assert chain.succeeded(chain.run(EXPORT, recipe=RECIPE))
    return chain.home.store()


def stored(store, asset):
    return store.need(asset, "set", RECIPE if STAGES[asset].per_recipe else "")


def changed(table, path, change):
    """A copy of a table, changed by SQL, or in what its record counts."""
    shutil.copyfile(table.path, path)
    with duckdb.connect(path) as db:
        stats = {**table.meta.stats, **(change if isinstance(change, dict) else {})}
        db.execute(change if isinstance(change, str) else "SELECT 1")
        (n_rows,) = db.execute("SELECT count(*) FROM data").fetchone()
        db.execute("UPDATE _meta SET record = ?", [dataclasses.replace(table.meta, n_rows=n_rows, stats=stats).dumps()])
    return Table(path)


def run(store, asset, check, table):
    upstream = {name: stored(store, name) for name in STAGES[asset].reads}
    return CHECKS[check].run(table, upstream, None)


def test_every_check_of_every_asset_has_a_table_that_breaks_it():
    declared = build_defs().resolve_asset_graph().asset_check_keys
    assert {(asset, check) for asset, check, _, _ in BREAKS} == {
        (k.asset_key.to_user_string(), k.name) for k in declared
    }


@pytest.mark.parametrize(("asset", "check", "change", "why"), BREAKS)
def test_a_check_holds_on_what_is_stored_and_fails_on_what_is_broken(store, tmp_path, asset, check, change, why):
    table = stored(store, asset)
    assert run(store, asset, check, table)[0]
    holds, metadata = run(store, asset, check, changed(table, tmp_path / "broken.duckdb", change))
    assert not holds
    assert why.items() <= metadata.items()


@pytest.mark.parametrize(
    ("asset", "check", "change"),
    [
        ("dedup_set", "duplicates_point_to_kept", OF_ANOTHER),
        ("embeddings", "all_survivors", WITH_A_REASON),
        (QUALITY, "not_worse_than_random", {"difference": -0.02, "margin": 0.02}),
    ],
)
def test_a_check_lets_pass_what_is_allowed(store, tmp_path, asset, check, change):
    assert run(store, asset, check, changed(stored(store, asset), tmp_path / "allowed.duckdb", change))[0]
