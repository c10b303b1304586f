"""The contact sheets of ``dedup_set``: the largest groups, the leaks, the pairs nearest to the threshold."""

import numpy as np
import pyarrow as pa

from espalier.core.dedup.near import Duplicates
from espalier.core.dedup.near.duplicates import BORDER_PAIRS
from espalier.io.drawing.sheets import Cell, contact_sheet
from espalier.io.files.blobs import read_bytes
from espalier.io.warehouse.table import session

GROUPS, COPIES, LEAKS = 24, 7, 48

BORDER = pa.schema(
    [
        pa.field("dataset", pa.string()),
        pa.field("sample_id", pa.string()),
        pa.field("of_dataset", pa.string()),
        pa.field("of_sample", pa.string()),
        pa.field("similarity", pa.float32()),
    ]
)
"""Pairs nearest to the threshold; the datasets are '' where they are this one."""

LARGEST = f"""
WITH named AS (SELECT *, coalesce(of_dataset, '') AS other FROM stored WHERE duplicate_of IS NOT NULL),
groups AS (SELECT other, duplicate_of, count(*) AS n FROM named GROUP BY ALL
           ORDER BY n DESC, other, duplicate_of LIMIT {GROUPS})
SELECT g.other, g.duplicate_of, k.uri, c.uri, c.sample_id, s.stage, s.similarity
FROM groups g JOIN named s ON s.other = g.other AND s.duplicate_of = g.duplicate_of
JOIN facts k ON k.dataset = g.other AND k.sample_id = g.duplicate_of
JOIN facts c ON c.dataset = '' AND c.sample_id = s.sample_id
QUALIFY row_number() OVER (PARTITION BY g.other, g.duplicate_of ORDER BY s.similarity DESC, s.sample_id) <= {COPIES}
ORDER BY g.n DESC, g.other, g.duplicate_of, s.similarity DESC, s.sample_id
"""
NEAREST = f"""
WITH nearest AS (SELECT *, similarity > $threshold AS above FROM border
  QUALIFY row_number() OVER (PARTITION BY similarity > $threshold
    ORDER BY abs(similarity - $threshold), sample_id, of_sample) <= {BORDER_PAIRS})
SELECT n.* FROM nearest n ORDER BY similarity DESC, sample_id, of_sample
"""


def border_pairs(facts: pa.Table, duplicates: Duplicates, previous: pa.Table | None) -> pa.Table:
    """Return the pairs nearest to the threshold on both sides, those of the previous search among them."""
    columns = []
    for rows in (duplicates.border.i, duplicates.border.j):
        taken = facts.select(["dataset", "sample_id"]).take(pa.array(rows))
        columns += [taken["dataset"].cast(pa.string()), taken["sample_id"].cast(pa.string())]
    border = pa.table([*columns, pa.array(duplicates.border.similarity, pa.float32())], schema=BORDER)
    if previous is not None:
        border = pa.concat_tables([border, previous.cast(BORDER)])
    threshold = np.float32(duplicates.threshold).item()
    with session(border=border) as db:
        return db.sql(NEAREST, params={"threshold": threshold}).to_arrow_table().select(BORDER.names)


def sheets(stored: pa.Table, leaks: pa.Table, border: pa.Table, facts: pa.Table, threshold: float) -> dict[str, bytes]:
    """Draw the sheets that there is anything to draw on: name to PNG.

    ``stored`` are the verdicts on all samples, ``facts`` those of all samples that ``DedupRows`` has, with their uris.
    """
    with session(stored=stored, facts=facts, border=border) as db:
        groups: dict[tuple[str, str], list[Cell]] = {}
        for other, keeper, keeper_uri, uri, sample, stage, similarity in db.execute(LARGEST).fetchall():
            first = Cell(keeper_uri, keeper, f"kept{f', in {other}' if other else ''}", marked=True)
            groups.setdefault((other, keeper), [first]).append(Cell(uri, sample, f"{stage} {similarity:.3f}"))
        pairs = db.execute(
            """SELECT b.sample_id, a.uri, b.of_sample, o.uri, b.similarity FROM border b
               JOIN facts a ON a.dataset = b.dataset AND a.sample_id = b.sample_id
               JOIN facts o ON o.dataset = b.of_dataset AND o.sample_id = b.of_sample
               ORDER BY b.similarity DESC, b.sample_id, b.of_sample"""
        ).fetchall()
    drawn = {
        "groups": list(groups.values()),
        "leaks": [_leak(leak) for leak in leaks.slice(0, LEAKS).to_pylist()],
        "threshold": [_pair(*pair, copies=pair[-1] > np.float32(threshold)) for pair in pairs],
    }
    return {name: contact_sheet(cells, read_bytes) for name, cells in drawn.items() if cells}


def _leak(leak: dict[str, str]) -> list[Cell]:
    return [
        Cell(leak["of_uri"], leak["of_sample"], leak["of_dataset"] or leak["of_subset"] or "kept", marked=True),
        Cell(leak["uri"], leak["sample_id"], "dropped" if leak["dropped"] else "kept too"),
    ]


def _pair(sample: str, uri: str, other: str, other_uri: str, similarity: float, *, copies: bool) -> list[Cell]:
    words = "copies" if copies else "not copies"
    return [Cell(uri, sample, words, marked=copies), Cell(other_uri, other, f"{similarity:.3f}", marked=copies)]
