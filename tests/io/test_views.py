"""``espalier sql``: every asset as a view, one SELECT, and no way out of the warehouse."""

import pyarrow as pa
import pytest

from espalier.core.errors import EspalierError, UsageError
from espalier.io.warehouse import Draft, Meta, Warehouse
from espalier.io.warehouse.views import query


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Two datasets, one of them named like an asset, with two recipes."""
    store = Warehouse(tmp_path_factory.mktemp("sql") / "warehouse")

    def put(asset, dataset, recipe, rows):
        store.stage(Draft(pa.table(rows)), Meta(asset, dataset, recipe, "1", {}, {})).commit()

    for dataset in ("cats", "pruned_manifest"):
        put("raw_dataset", dataset, "", {"sample_id": ["a", "b"], "width": [32, 64]})
        for recipe in ("random@0.5", "density@0.3:keep=easy"):
            put("pruned_manifest", dataset, recipe, {"sample_id": ["a", "b"], "kept": [True, False]})
    # A later code version stores a further column: the view has it, null where it is not known.
    put("clusters", "cats", "", {"sample_id": ["a"], "cluster": [0]})
    put("clusters", "dogs", "", {"sample_id": ["c"], "cluster": [1], "distance": [0.5]})
    (store.root / "raw_dataset" / ".dogs.1.01234567.tmp").write_bytes(b"half of a table")
    return store


def ask(store, sql):
    with query(store, sql) as found:
        return found.fetchall()


def test_an_asset_is_a_view_with_its_dataset(store):
    rows = ask(store, "select * from raw_dataset order by dataset, sample_id")
    assert rows == [("cats", "a", 32), ("cats", "b", 64), ("pruned_manifest", "a", 32), ("pruned_manifest", "b", 64)]


def test_an_asset_with_recipes_has_a_column_for_them_as_the_user_writes_them(store):
    rows = ask(store, "select dataset, recipe, count(*) from pruned_manifest where kept group by all order by all")
    assert rows == [
        ("cats", "density@0.3:keep=easy", 1),
        ("cats", "random@0.5", 1),
        ("pruned_manifest", "density@0.3:keep=easy", 1),
        ("pruned_manifest", "random@0.5", 1),
    ]


def test_views_join_and_their_names_may_be_written_in_capitals(store):
    sql = "SELECT sum(width) FROM RAW_DATASET JOIN Pruned_Manifest USING (dataset, sample_id) WHERE kept"
    assert ask(store, sql) == [(128,)]


def test_partitions_of_different_code_versions_stand_in_one_view(store):
    assert ask(store, "from clusters order by dataset") == [("cats", "a", 0, None), ("dogs", "c", 1, 0.5)]


def test_vectors_of_several_lengths_stand_in_one_view_as_lists_and_the_ledger_has_the_scores(tmp_path):
    """Two encoders; only one gives a CLIP score."""
    store = Warehouse(tmp_path)

    def put(dataset, dim, **more):
        flat = pa.array([0.5] * dim, pa.float32())
        rows = {"sample_id": ["a"], "vector": pa.FixedSizeListArray.from_arrays(flat, dim), "hash": [7], **more}
        store.stage(Draft(pa.table(rows)), Meta("embeddings", dataset, "", "1", {}, {})).commit()
        raw = {"sample_id": ["a"], "subset": [""], "labels": [["x"]], "error": pa.array([None], pa.string())}
        store.stage(Draft(pa.table(raw)), Meta("raw_dataset", dataset, "", "1", {}, {})).commit()

    put("cats", 2)
    assert ask(store, "select typeof(vector) from embeddings") == [("FLOAT[2]",)]
    assert ask(store, "select clip_score from ledger") == [(None,)]
    put("dogs", 3, clip_score=pa.array([0.25], pa.float32()))
    assert ask(store, "select len(vector) from embeddings order by dataset") == [(2,), (3,)]
    assert ask(store, "select dataset, clip_score from ledger order by dataset") == [("cats", None), ("dogs", 0.25)]


def test_a_with_clause_and_a_description_are_selects_too(store):
    assert ask(store, "with big as (from raw_dataset where width > 32) select count(*) from big") == [(2,)]
    assert [row[0] for row in ask(store, "describe raw_dataset")] == ["dataset", "sample_id", "width"]


@pytest.mark.parametrize(
    "sql",
    [
        "drop view raw_dataset",
        "delete from raw_dataset",
        "insert into raw_dataset values ('x', 'y', 1)",
        "update raw_dataset set width = 0",
        "create table t as select 1",
        "copy raw_dataset to 'out.csv'",
        "attach 'other.duckdb'",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
        "pragma database_list",
        "export database 'out'",
        "select 1; drop table x",
        "select 1; select 2",
        "",
        "   -- only a comment",
    ],
)
def test_what_is_not_one_select_is_refused(store, sql):
    with pytest.raises(UsageError, match=r"runs one SELECT\. Write for example"):
        ask(store, sql)


@pytest.mark.parametrize(
    "source",
    [
        "read_csv('/etc/passwd')",
        "read_text('/etc/passwd')",
        "read_blob('/etc/passwd')",
        "'/etc/passwd'",
        "'{file}'",
        "read_parquet('{file}')",
        "glob('/etc/*')",
        "sniff_csv('/etc/passwd')",
        "read_json('https://example.org/x.json')",
        "query('from read_csv(''/etc/passwd'')')",
    ],
)
def test_no_file_can_be_read_by_sql(store, tmp_path, source):
    import pyarrow.parquet as pq

    file = tmp_path / "secret.parquet"
    pq.write_table(pa.table({"x": [1]}), file)
    with pytest.raises(UsageError, match="Views:") as refused:
        ask(store, f"select * from {source.format(file=file)}")
    assert "disabled" in str(refused.value) or "does not exist" in str(refused.value)


def test_no_variable_of_the_program_can_be_read_by_sql(store):
    """DuckDB looks for unknown tables among Python's variables unless it is told not to."""
    secret = pa.table({"x": [1]})
    with pytest.raises(UsageError, match="does not exist"), query(store, "from secret") as found:
        found.fetchall()
    assert secret.num_rows == 1


def test_an_unknown_view_or_column_is_refused_with_the_known_ones(store):
    with pytest.raises(UsageError, match=r"Views: clusters, pruned_manifest, raw_dataset, ledger\."):
        ask(store, "select * from embedings")
    with pytest.raises(UsageError, match="wdth"):
        ask(store, "select wdth from raw_dataset")
    with pytest.raises(UsageError, match="Parser Error"):
        ask(store, "selec * from raw_dataset")


def test_a_mistake_that_shows_only_in_the_rows_is_reported_like_any_other(store):
    with pytest.raises(UsageError, match="Conversion Error"):
        ask(store, "select sample_id::int from raw_dataset")


def test_an_empty_warehouse_says_what_to_do_first(tmp_path):
    with pytest.raises(UsageError, match=r"none yet; run espalier prune first"):
        ask(Warehouse(tmp_path / "nothing"), "from raw_dataset")
    assert ask(Warehouse(tmp_path / "nothing"), "select 1 + 1") == [(2,)]


def test_a_damaged_partition_is_named_and_harms_only_those_who_ask_for_it(tmp_path):
    store = Warehouse(tmp_path / "warehouse")
    store.stage(Draft(pa.table({"sample_id": ["a"]})), Meta("raw_dataset", "cats", "", "1", {}, {})).commit()
    store.path("clusters", "cats").parent.mkdir()
    store.path("clusters", "cats").write_bytes(b"no database")
    assert ask(store, "select count(*) from raw_dataset") == [(1,)]
    with pytest.raises(EspalierError, match=r"cats\.duckdb cannot be read.*Delete it"):
        ask(store, "from clusters")
