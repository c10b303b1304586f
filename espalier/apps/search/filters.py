"""Which rows may be shown: subsets, labels, and any SQL over the ledger and the facts of the files."""

import difflib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from espalier.apps.search.rows import Rows
from espalier.core.errors import UsageError
from espalier.io.home import Home
from espalier.io.warehouse.pool import quoted
from espalier.io.warehouse.views import query

LEDGER = """
SELECT DISTINCT dataset, sample_id FROM (
  SELECT l.*, r.uri, r.sha256, r.n_bytes, r.width, r.height, r.caption, r.uid
  FROM ledger l JOIN raw_dataset r USING (dataset, sample_id) WHERE dataset IN ({datasets})
) WHERE {condition}
"""
COLUMNS = (
    "Columns: sample_id, subset, labels, caption, width, height, n_bytes, uri, dedup_kept, cluster, distance, recipe, "
    "kept, fate, and what else espalier sql shows of ledger."
)


def mask(home: Home, rows: Rows, subsets: Sequence[str], labels: Sequence[str], where: str) -> np.ndarray:
    """Return which rows pass all filters, (n,) bool; several subsets, or several labels, are alternatives."""
    conditions = []
    if subsets:
        check_subsets(home, rows, subsets)
        conditions.append(f"subset IN ({', '.join(map(quoted, subsets))})")
    if labels:
        _check("label", "unnest(labels)", labels, home, rows)
        conditions.append(f"list_has_any(labels, [{', '.join(map(quoted, labels))}])")
    if where:
        conditions.append(f"({where}\n)")
    if not conditions:
        return np.ones(len(rows), bool)
    sql = LEDGER.format(datasets=", ".join(map(quoted, rows.names)), condition=" AND ".join(conditions))
    try:
        with query(home.store(), sql) as relation:
            passing = relation.to_arrow_table()
    except UsageError as error:
        first = str(error).splitlines()[0].rstrip(".!")
        raise UsageError(f"The condition {where!r} is not valid: {first}.", COLUMNS) from error
    numbered = rows.facts.select(["dataset", "sample_id"]).append_column("row", pa.array(np.arange(len(rows))))
    out = np.zeros(len(rows), bool)
    out[numbered.join(passing, ["dataset", "sample_id"], join_type="left semi")["row"].to_numpy()] = True
    return out


def check_subsets(home: Home, rows: Rows, subsets: Sequence[str]) -> None:
    """Refuse a subset that no dataset has."""
    _check("subset", "subset", subsets, home, rows)


def _check(what: str, expression: str, wanted: Sequence[str], home: Home, rows: Rows) -> None:
    """Refuse a value that no dataset has in a column of raw_dataset."""
    tables = (home.store().need("raw_dataset", name).arrow([f"DISTINCT {expression} AS v"]) for name in rows.names)
    known = sorted({value for table in tables for value in table["v"].to_pylist() if value})
    for one in wanted:
        if one not in known:
            near = difflib.get_close_matches(one, known, 3, 0.5) or known[:10]
            remedy = f"There are: {', '.join(near)}." if near else f"No sample has a {what}."
            raise UsageError(f"There is no {what} {one!r}.", remedy)
