"""The pairs that ``dedup_set`` stores beside its verdicts: copies, similar pairs, and the leaks among the copies."""

import numpy as np
import pyarrow as pa

from espalier.core.dedup.copies.affine import exchanged
from espalier.core.dedup.near import CopyPairs, Duplicates
from espalier.io.warehouse.table import array_column, session
from espalier.stages.dedup_rows import DedupRows

TRANSFORM = 6
PAIRS = pa.schema(
    [
        pa.field("sample_id", pa.string()),
        pa.field("subset", pa.string()),
        pa.field("of_dataset", pa.string()),
        pa.field("of_sample", pa.string()),
        pa.field("of_subset", pa.string()),
        pa.field("stage", pa.string()),
        pa.field("similarity", pa.float32()),
        pa.field("overlap", pa.float32()),
        pa.field("mirrored", pa.bool_()),
        pa.field("transform", pa.list_(pa.float32(), TRANSFORM)),
    ]
)
"""A row a pair, ``of_sample`` the one that is preferred; ``of_dataset`` is null where it is of this dataset.

``transform`` leads from the sample to the other, or to its mirror image, row by row, both from -1 to 1 on each side.
"""

TOLD = f"""
WITH known AS (SELECT * EXCLUDE (subset, of_subset) FROM fresh UNION ALL BY NAME
               SELECT * EXCLUDE (subset, of_subset) FROM earlier)
SELECT {
    ", ".join(
        "f.subset" if n == "subset" else "o.subset AS of_subset" if n == "of_subset" else f"k.{n}" for n in PAIRS.names
    )
}
FROM known k JOIN facts f ON f.dataset = '' AND f.sample_id = k.sample_id
JOIN facts o ON o.dataset = coalesce(k.of_dataset, '') AND o.sample_id = k.of_sample
ORDER BY k.sample_id, k.of_dataset, k.of_sample
"""
BY_GRID = """
SELECT s.sample_id, NULL AS subset, s.of_dataset, coalesce(s.duplicate_of, s.twin) AS of_sample, NULL AS of_subset,
  coalesce(s.stage, 'near') AS stage, CASE WHEN NOT s.kept THEN s.similarity END AS similarity,
  NULL::FLOAT AS overlap, s.mirrored, NULL::FLOAT[6] AS transform
FROM stored s WHERE coalesce(s.duplicate_of, s.twin) IS NOT NULL
"""
LEAKS = """
SELECT c.sample_id, c.subset, c.of_dataset, c.of_sample, c.of_subset, c.similarity, NOT s.kept AS dropped,
  f.uri, o.uri AS of_uri
FROM copies c JOIN stored s USING (sample_id) JOIN facts f ON f.dataset = '' AND f.sample_id = c.sample_id
JOIN facts o ON o.dataset = coalesce(c.of_dataset, '') AND o.sample_id = c.of_sample
WHERE c.subset <> c.of_subset OR c.of_dataset IS NOT NULL ORDER BY c.sample_id, c.of_dataset, c.of_sample
"""


def told_pairs(
    facts: pa.Table, duplicates: Duplicates, own: np.ndarray, stored: pa.Table, rows: DedupRows
) -> dict[str, pa.Table]:
    """Return the tables ``copies`` and ``similar_pairs``, of this search and of what was not compared again.

    By the grid alone a sample has one pair, with what it was dropped for, or what it copies and stays beside.
    """
    fresh = {"copies": duplicates.copies, "similar_pairs": duplicates.similar}
    tables = {}
    for name, pairs in fresh.items():
        if pairs is not None:
            confirmed = _confirmed(pairs, duplicates) if name == "copies" else pairs
            table, earlier = _table(facts, confirmed, own), rows.pairs.get(name, PAIRS.empty_table())
        else:
            earlier = PAIRS.empty_table()
            with session(stored=stored) as db:
                table = db.sql(BY_GRID).to_arrow_table() if name == "copies" else earlier
        with session(fresh=table, earlier=earlier, facts=rows.facts) as db:
            tables[name] = db.sql(TOLD).to_arrow_table().cast(PAIRS)
    return tables


def leaks_of(copies: pa.Table, stored: pa.Table, facts: pa.Table) -> pa.Table:
    """List the copies that stand in two subsets, or here and in a dataset compared against."""
    with session(copies=copies, stored=stored, facts=facts) as db:
        return db.sql(LEAKS).to_arrow_table()


def _confirmed(pairs: CopyPairs, duplicates: Duplicates) -> CopyPairs:
    """Call pairs exact whose pixels turned out to be equal."""
    same = (duplicates.stage[pairs.i] == "exact") & (duplicates.duplicate_of[pairs.i] == pairs.j)
    same &= duplicates.via[pairs.i] < 0
    pairs.exact[same], pairs.similarity[same], pairs.overlap[same] = True, 1, 1
    return pairs


def _table(facts: pa.Table, pairs: CopyPairs, own: np.ndarray) -> pa.Table:
    """Write pairs of rows as a table, the dataset's own sample first."""
    turn = ~own[pairs.i]
    i, j = np.where(turn, pairs.j, pairs.i), np.where(turn, pairs.i, pairs.j)
    transform = pairs.transform.astype(np.float64)
    transform[turn] = exchanged(transform[turn], pairs.mirrored[turn])
    ids, datasets = facts["sample_id"].combine_chunks(), facts["dataset"].combine_chunks()
    nothing = pa.nulls(len(i), pa.string())
    columns = [
        ids.take(pa.array(i)),
        nothing,
        datasets.take(pa.array(j, mask=own[j])),
        ids.take(pa.array(j)),
        nothing,
        pa.array(np.where(pairs.exact, "exact", "near").tolist(), pa.string()),
        pa.array(pairs.similarity),
        pa.array(pairs.overlap),
        pa.array(pairs.mirrored),
        array_column(transform.reshape(-1, TRANSFORM).astype(np.float32)),
    ]
    return pa.table(columns, schema=PAIRS)
