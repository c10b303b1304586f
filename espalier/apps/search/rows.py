"""Which samples can be found: every one with a vector, and the copies that were dropped in favour of such a one.

Copies are dropped before anything is embedded, yet whoever looks for a picture wants to see them. So each dropped
copy stands here with the kept sample that ``dedup_set`` recorded for it; how it gets its vector is decided in
``spaces.py``. Unreadable samples, and those dropped by hand, are not here.
Which rows may be shown is filtered by SQL over the ledger and the facts of the files.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from espalier.core.errors import UsageError
from espalier.io.home import Home
from espalier.io.warehouse import Table
from espalier.io.warehouse.pool import quoted
from espalier.io.warehouse.table import session
from espalier.io.warehouse.views import query

STORED = """
SELECT {number} AS part, {name} AS dataset, r.sample_id, r.subset, r.uri, r.sha256,
       coalesce(nullif(r.caption, ''), CASE WHEN len(r.labels) > 0 THEN array_to_string(r.labels, ', ') END) AS words,
       e.sample_id IS NOT NULL AS embedded, d.duplicate_of, coalesce(d.of_dataset, {name}) AS of_dataset
FROM raw_{number} r LEFT JOIN embedded_{number} e USING (sample_id) LEFT JOIN dedup_{number} d USING (sample_id)
WHERE r.error IS NULL AND (e.sample_id IS NOT NULL OR d.duplicate_of IS NOT NULL)
"""
FOUND = """
CREATE TEMP TABLE searched AS
SELECT s.*, row_number() OVER (ORDER BY s.part, s.sample_id) - 1 AS row
FROM stored s LEFT JOIN stored k ON k.embedded AND k.dataset = s.of_dataset AND k.sample_id = s.duplicate_of
WHERE s.embedded OR ({copies} AND k.sample_id IS NOT NULL)
"""
WITH_KEEPERS = """
SELECT s.*, coalesce(k.row, s.row) AS keeper, NOT s.embedded AND s.sha256 = k.sha256 AS exact
FROM searched s LEFT JOIN searched k
  ON NOT s.embedded AND k.embedded AND k.dataset = s.of_dataset AND k.sample_id = s.duplicate_of
ORDER BY s.row
"""


@dataclass(frozen=True)
class Rows:
    """The samples of several datasets, numbered through; inside a dataset in order of id.

    ``facts`` has ``dataset``, ``sample_id``, ``subset``, ``uri``, ``sha256``, ``words`` (caption, or else labels).
    ``keeper``, (n,) int64, is the row of the kept sample that this one copies, its own for samples that were kept.
    ``embedded`` and ``exact``, (n,) bool: has a stored vector; has the bytes of its keeper, whose vector is then its
    own. ``n_apart`` copies are left out, because the sample that they copy is in a dataset that is not explored.
    """

    names: tuple[str, ...]
    facts: pa.Table
    keeper: np.ndarray
    embedded: np.ndarray
    exact: np.ndarray
    n_apart: int

    @classmethod
    def read(cls, home: Home, embeddings: Mapping[str, Table], *, copies: bool = True) -> "Rows":
        """Read the rows of the datasets in ``embeddings``; without ``copies`` only what has a vector."""
        store, tables = home.store(), {}
        for number, (name, table) in enumerate(embeddings.items()):
            tables[f"raw_{number}"] = store.need("raw_dataset", name)
            tables[f"dedup_{number}"], tables[f"embedded_{number}"] = store.need("dedup_set", name), table
        selects = [STORED.format(number=number, name=quoted(name)) for number, name in enumerate(embeddings)]
        with session(**tables) as db:
            db.execute(f"CREATE TEMP TABLE stored AS {' UNION ALL '.join(selects)}")
            db.execute(FOUND.format(copies=copies))
            n_stored = len(db.sql("FROM stored"))
            facts = db.sql(WITH_KEEPERS).to_arrow_table().combine_chunks()
        keeper, embedded, exact = (facts[name].to_numpy() for name in ("keeper", "embedded", "exact"))
        n_apart = n_stored - len(facts) if copies else 0
        facts = facts.select(["dataset", "sample_id", "subset", "uri", "sha256", "words"])
        return cls(tuple(embeddings), facts, keeper, embedded, exact, n_apart)

    def __len__(self) -> int:
        return len(self.facts)

    def find(self, column: str, value: str, dataset: str | None = None) -> int:
        """Return the first row with this value (kept samples before copies), or -1."""
        same = pc.equal(self.facts[column], value)
        if dataset is not None:
            same = pc.and_(same, pc.equal(self.facts["dataset"], dataset))
        rows = np.flatnonzero(same.to_numpy())
        return int(rows[np.argmax(self.embedded[rows])]) if len(rows) else -1

    def one_a_group(self, passes: np.ndarray) -> np.ndarray:
        """Let one sample of each group of copies pass: the kept one, or the first copy where that one does not."""
        allowed = np.flatnonzero(passes)
        kept_first = allowed[np.argsort(~self.embedded[allowed], kind="stable")]
        out = np.zeros(len(self), bool)
        out[kept_first[np.unique(self.keeper[kept_first], return_index=True)[1]]] = True
        return out

    def values(self, column: str, rows: np.ndarray | list[int]) -> list[str]:
        """Return one column of some rows."""
        return list(self.facts[column].take(pa.array(rows)).to_pylist())


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
