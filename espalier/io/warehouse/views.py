"""All of the warehouse as SQL views: one an asset, with ``dataset`` (and ``recipe``) columns, and ``ledger``."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from espalier.core.errors import UsageError
from espalier.io.warehouse.pool import quoted
from espalier.io.warehouse.store import Warehouse, file_recipe
from espalier.io.warehouse.table import unreadable

SIDE_VIEWS = {"copies": "dedup_set", "similar_pairs": "dedup_set"}
"""Side tables that are views of their own, with the asset that they are stored with."""


@contextmanager
def query(warehouse: Warehouse, sql: str) -> Iterator[duckdb.DuckDBPyRelation]:
    """Run one read-only SELECT over the assets' views; only the assets that it names are opened.

    It sees no file but the warehouse's. A mistake that shows only while the rows are read is reported like any other.
    """
    stored = _partitions(warehouse)
    with duckdb.connect(config={"allow_community_extensions": "false"}) as db:
        ledger = "raw_dataset" in stored and _named("ledger", sql)
        for asset, paths in stored.items():
            sides = [name for name, of in SIDE_VIEWS.items() if of == asset and _named(name, sql)]
            if _named(asset, sql) or sides or (ledger and asset in LEDGER_ASSETS):
                _make_view(db, warehouse.root / asset, paths)
            for name in sides:
                _side_view(db, name, asset, paths)
        if ledger:
            ledger_view(db, set(stored))
        try:
            statements = db.extract_statements(sql)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise UsageError("espalier sql runs one SELECT.", "Write for example: select * from clusters limit 5")
            db.execute("SET enable_external_access=false")
            db.execute("SET python_enable_replacements=false")
            db.execute("SET lock_configuration=true")
            yield db.sql(sql)
        except duckdb.Error as error:
            sides = [name for name, asset in SIDE_VIEWS.items() if asset in stored]
            known = ", ".join([*stored, *sides, "ledger"] if stored else []) or "none yet; run espalier prune first"
            raise UsageError(f"{str(error).strip()}", f"Views: {known}.") from error


def _named(view: str, sql: str) -> bool:
    return bool(re.search(rf"\b{re.escape(view)}\b", sql, re.IGNORECASE))


def _partitions(warehouse: Warehouse) -> dict[str, list[Path]]:
    """Return the stored files of each asset that has any."""
    folders = sorted(p for p in warehouse.root.iterdir() if p.is_dir()) if warehouse.root.exists() else []
    files = {p.name: sorted([*p.glob("*.duckdb"), *p.glob("*/*.duckdb")]) for p in folders}
    return {asset: paths for asset, paths in files.items() if paths}


def _make_view(db: duckdb.DuckDBPyConnection, folder: Path, paths: list[Path]) -> None:
    asset = folder.name
    aliases = [f"{asset}_{number}" for number in range(len(paths))]
    for alias, path in zip(aliases, paths, strict=True):
        try:
            db.execute(f"ATTACH {quoted(path)} AS {alias} (READ_ONLY)")
        except duckdb.Error as error:
            raise unreadable(path, error) from error
    lists, selects = _as_lists(db, aliases), []
    for alias, path in zip(aliases, paths, strict=True):
        nested = path.parent != folder
        dataset = path.parent.name if nested else path.stem
        keys = f"{quoted(dataset)} AS dataset" + (f", {quoted(file_recipe(path.stem))} AS recipe" if nested else "")
        selects.append(f"SELECT {keys}, *{lists[alias]} FROM {alias}.data")
    db.execute(f"CREATE VIEW {asset} AS {' UNION ALL BY NAME '.join(selects)}")


def _side_view(db: duckdb.DuckDBPyConnection, name: str, asset: str, paths: list[Path]) -> None:
    """Make a view of a side table, from the partitions that hold it; the dataset that is meant by null is named."""
    holding = db.execute("SELECT database_name FROM duckdb_tables() WHERE table_name = ?", [name]).fetchall()
    present = {alias for (alias,) in holding}
    selects = [
        f"SELECT * REPLACE (coalesce(of_dataset, dataset) AS of_dataset) "
        f"FROM (SELECT {quoted(path.stem)} AS dataset, * FROM {asset}_{number}.{name})"
        for number, path in enumerate(paths)
        if f"{asset}_{number}" in present
    ]
    if selects:
        db.execute(f"CREATE VIEW {name} AS {' UNION ALL BY NAME '.join(selects)}")


def _as_lists(db: duckdb.DuckDBPyConnection, aliases: list[str]) -> dict[str, str]:
    """Return, for each table, the SQL that makes lists of its array columns whose length is not that of all others."""
    arrays = db.execute(
        r"""SELECT database_name, column_name, regexp_extract(data_type, '^\w+') FROM duckdb_columns()
            WHERE table_name = 'data' AND database_name IN ? AND regexp_full_match(data_type, '\w+\[\d+\]')
            QUALIFY count(DISTINCT data_type) OVER (PARTITION BY column_name) > 1""",
        [aliases],
    ).fetchall()
    replaced: dict[str, list[str]] = {alias: [] for alias in aliases}
    for alias, name, kind in arrays:
        replaced[alias].append(f"{name}::{kind}[] AS {name}")
    return {alias: f" REPLACE ({', '.join(texts)})" if texts else "" for alias, texts in replaced.items()}


VIEW = """
SELECT r.dataset, m.recipe, r.sample_id, r.subset, r.labels, r.error, e.clip_score,
  d.kept AS dedup_kept, d.stage AS dedup_stage, d.exact_by, d.duplicate_of AS copy_of,
  d.of_dataset AS copy_of_dataset, d.similarity AS copy_similarity, d.chained, d.via,
  s.kept AS semantic_kept, s.duplicate_of AS semantic_copy_of, s.similarity AS semantic_similarity,
  c.cluster, c.distance, m.kept, m.fate, m.reason, m.score, m.rank,
  CASE WHEN m.cluster IS NOT NULL
    THEN count(*) FILTER (m.kept) OVER (PARTITION BY r.dataset, m.recipe, m.cluster) END AS cluster_keeps
FROM raw_dataset r
LEFT JOIN ledger_dedup_set d USING (dataset, sample_id)
LEFT JOIN scores e USING (dataset, sample_id)
LEFT JOIN ledger_semantic_dedup_set s USING (dataset, sample_id)
LEFT JOIN ledger_clusters c USING (dataset, sample_id)
LEFT JOIN ledger_pruned_manifest m USING (dataset, sample_id)
"""
LEDGER_ASSETS = ("raw_dataset", "dedup_set", "embeddings", "semantic_dedup_set", "clusters", "pruned_manifest")
"""The assets that VIEW reads; where one is not stored yet, its columns are empty."""


def ledger_view(db: duckdb.DuckDBPyConnection, present: set[str]) -> None:
    """Make the view ``ledger``, a row a sample and recipe; what is not stored yet counts as empty."""
    wanted = {
        "dedup_set": "kept BOOL, stage VARCHAR, exact_by VARCHAR, duplicate_of VARCHAR, of_dataset VARCHAR, "
        "similarity FLOAT, chained BOOL, via VARCHAR",
        "semantic_dedup_set": "kept BOOL, duplicate_of VARCHAR, similarity FLOAT",
        "clusters": "cluster INT, distance FLOAT",
        "pruned_manifest": "recipe VARCHAR, kept BOOL, fate VARCHAR, reason VARCHAR, score DOUBLE, rank BIGINT, "
        "cluster INT",
    }
    for asset, columns in wanted.items():
        db.execute(f"CREATE TEMP TABLE no_{asset} (dataset VARCHAR, sample_id VARCHAR, {columns})")
        stored = f"SELECT * FROM {asset} UNION ALL BY NAME " if asset in present else ""
        db.execute(f"CREATE TEMP VIEW ledger_{asset} AS {stored}SELECT * FROM no_{asset}")
    db.execute(f"CREATE TEMP VIEW scores AS {_scores(db, present)}")
    db.execute(f"CREATE VIEW ledger AS {VIEW}")


def _scores(db: duckdb.DuckDBPyConnection, present: set[str]) -> str:
    """Return the SQL of dataset, sample_id and clip_score; empty where no encoder gave scores."""
    columns = db.execute("DESCRIBE embeddings").fetchall() if "embeddings" in present else []
    if "clip_score" in [column[0] for column in columns]:
        return "SELECT dataset, sample_id, clip_score FROM embeddings"
    return "SELECT '' AS dataset, '' AS sample_id, NULL::FLOAT AS clip_score WHERE false"
