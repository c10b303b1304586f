"""Which samples can be found: every one with a vector, and the copies that were dropped in favour of such a one.

Copies are dropped before anything is embedded, yet whoever looks for a picture wants to see them. So each dropped
copy stands here with the kept sample that ``dedup_set`` recorded for it; how it gets its vector is decided in
``spaces.py``. Unreadable samples, and those dropped by hand, are not here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from espalier.io.home import Home
from espalier.io.warehouse import Table
from espalier.io.warehouse.pool import quoted
from espalier.io.warehouse.session import session

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
