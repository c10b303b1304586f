"""The view ``ledger``: every stage's verdict on every sample, a row a sample and recipe."""

import duckdb

VIEW = """
SELECT r.dataset, m.recipe, r.sample_id, r.subset, r.labels, r.error, e.clip_score,
  d.kept AS dedup_kept, d.stage AS dedup_stage, d.duplicate_of AS copy_of, d.similarity AS copy_similarity,
  s.kept AS semantic_kept, s.duplicate_of AS semantic_copy_of, s.similarity AS semantic_similarity,
  c.cluster, c.distance, m.kept, m.fate, m.reason, m.score, m.rank
FROM raw_dataset r
LEFT JOIN dedup_set d USING (dataset, sample_id)
LEFT JOIN scores e USING (dataset, sample_id)
LEFT JOIN semantic_dedup_set s USING (dataset, sample_id)
LEFT JOIN clusters c USING (dataset, sample_id)
LEFT JOIN pruned_manifest m USING (dataset, sample_id)
"""
LEDGER_ASSETS = ("raw_dataset", "dedup_set", "embeddings", "semantic_dedup_set", "clusters", "pruned_manifest")
"""The assets that VIEW reads; where one is not stored yet, its columns are empty."""


def ledger_view(db: duckdb.DuckDBPyConnection, present: set[str]) -> None:
    """Make the view ``ledger``; assets that are not stored yet count as empty."""
    empty = {
        "dedup_set": "kept BOOL, stage VARCHAR, duplicate_of VARCHAR, similarity FLOAT",
        "semantic_dedup_set": "kept BOOL, duplicate_of VARCHAR, similarity FLOAT",
        "clusters": "cluster INT, distance FLOAT",
        "pruned_manifest": "recipe VARCHAR, kept BOOL, fate VARCHAR, reason VARCHAR, score DOUBLE, rank BIGINT",
    }
    for asset, columns in empty.items():
        if asset not in present:
            db.execute(f"CREATE TEMP TABLE {asset} (dataset VARCHAR, sample_id VARCHAR, {columns})")
    db.execute(f"CREATE TEMP VIEW scores AS {_scores(db, present)}")
    db.execute(f"CREATE VIEW ledger AS {VIEW}")


def _scores(db: duckdb.DuckDBPyConnection, present: set[str]) -> str:
    """Return the SQL of dataset, sample_id and clip_score; empty where no encoder gave scores."""
    columns = db.execute("DESCRIBE embeddings").fetchall() if "embeddings" in present else []
    if "clip_score" in [column[0] for column in columns]:
        return "SELECT dataset, sample_id, clip_score FROM embeddings"
    return "SELECT '' AS dataset, '' AS sample_id, NULL::FLOAT AS clip_score WHERE false"
