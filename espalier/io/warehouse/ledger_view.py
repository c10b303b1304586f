"""The view ``ledger``: every stage's verdict on every sample, a row a sample and recipe."""

import duckdb

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
    """Make the view ``ledger``; assets and columns that are not stored yet count as empty."""
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
