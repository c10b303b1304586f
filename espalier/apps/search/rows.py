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
from espalier.io.warehouse.session import session

ROWS = """
SELECT r.sample_id, r.subset, r.uri, r.sha256, e.sample_id IS NOT NULL AS embedded,
       d.duplicate_of, d.of_dataset,
       coalesce(nullif(r.caption, ''), CASE WHEN len(r.labels) > 0 THEN array_to_string(r.labels, ', ') END) AS words
FROM raw r LEFT JOIN emb e USING (sample_id) LEFT JOIN dedup d USING (sample_id)
WHERE r.error IS NULL AND (e.sample_id IS NOT NULL OR d.duplicate_of IS NOT NULL) ORDER BY r.sample_id
"""


@dataclass(frozen=True)
class Rows:
    """The samples of several datasets, numbered through; inside a dataset in order of id.

    Attributes
    ----------
    names : tuple of str
        The datasets.
    starts : ndarray of shape (n_datasets + 1,), int64
        First row of each dataset, and the number of rows.
    facts : pyarrow.Table
        ``sample_id``, ``subset``, ``uri``, ``sha256``, ``words`` (caption, or else labels).
    keeper : ndarray of shape (n,), int64
        Row of the kept sample that this one copies; its own row for samples that were kept.
    embedded, exact : ndarray of shape (n,), bool
        Has a stored vector; has the bytes of its keeper, whose vector is then its own.
    n_apart : int
        Copies left out because the sample that they copy is in a dataset that is not explored.
    """

    names: tuple[str, ...]
    starts: np.ndarray
    facts: pa.Table
    keeper: np.ndarray
    embedded: np.ndarray
    exact: np.ndarray
    n_apart: int

    @classmethod
    def read(cls, home: Home, embeddings: Mapping[str, Table], *, copies: bool = True) -> "Rows":
        """Read the rows of the datasets in ``embeddings``; without ``copies`` only what has a vector."""
        store = home.store()
        tables = []
        for name, embedded in embeddings.items():
            raw, dedup = store.need("raw_dataset", name), store.need("dedup_set", name)
            with session(raw=raw, dedup=dedup, emb=embedded) as db:
                tables.append(db.sql(ROWS).to_arrow_table())
        names = tuple(embeddings)
        keeper = _keepers(names, tables)
        kept = np.concatenate([_flags(t, "embedded") for t in tables])
        found = kept | (copies & (keeper >= 0))
        sizes = [int(part.sum()) for part in np.split(found, np.cumsum([len(t) for t in tables])[:-1])]
        place = np.cumsum(found) - 1
        facts = pa.concat_tables([t.select(["sample_id", "subset", "uri", "sha256", "words"]) for t in tables])
        facts = facts.filter(pa.array(found)).combine_chunks()
        keeper = np.where(kept, place, place[keeper])[found]
        same = pc.equal(facts["sha256"], facts["sha256"].take(pa.array(keeper))).to_numpy()
        n_apart = int((~found).sum()) if copies else 0
        return cls(names, np.cumsum([0, *sizes]), facts, keeper, kept[found], same & ~kept[found], n_apart)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def part(self, dataset: int) -> slice:
        """Return the rows of a dataset."""
        return slice(int(self.starts[dataset]), int(self.starts[dataset + 1]))

    def find(self, column: str, value: str, dataset: int | None = None) -> int:
        """Return the first row with this value (kept samples before copies), or -1."""
        part = slice(0, len(self)) if dataset is None else self.part(dataset)
        same = pc.equal(self.facts[column].slice(part.start, part.stop - part.start), value).to_numpy()
        found = np.flatnonzero(same) + part.start
        return int(found[np.argsort(~self.embedded[found], kind="stable")[0]]) if len(found) else -1

    def one_a_group(self, passes: np.ndarray) -> np.ndarray:
        """Let one sample of each group of copies pass: the kept one, or the first copy where that one does not."""
        allowed = np.flatnonzero(passes)
        order = np.lexsort((allowed, ~self.embedded[allowed], self.keeper[allowed]))
        groups = self.keeper[allowed[order]]
        first = np.concatenate([[True], groups[1:] != groups[:-1]])[: len(groups)]
        out = np.zeros(len(self), bool)
        out[allowed[order[first]]] = True
        return out

    def values(self, column: str, rows: np.ndarray | list[int]) -> list[str]:
        """Return one column of some rows."""
        return list(self.facts[column].take(pa.array(rows)).to_pylist())


def _flags(table: pa.Table, column: str) -> np.ndarray:
    return np.asarray(table[column].combine_chunks().to_numpy(zero_copy_only=False), bool)


def _keepers(names: tuple[str, ...], tables: list[pa.Table]) -> np.ndarray:
    """Return the row of the kept sample of each dropped one, through all tables; -1 where it has none here."""
    starts = np.cumsum([0, *map(len, tables)])
    out = np.full(starts[-1], -1, np.int64)
    for at, (name, table) in enumerate(zip(names, tables, strict=True)):
        other = pc.fill_null(table["of_dataset"], name)
        for to, target in enumerate(names):
            kept = np.flatnonzero(_flags(tables[to], "embedded"))
            ids = tables[to]["sample_id"].take(pa.array(kept)).combine_chunks()
            place = pc.index_in(table["duplicate_of"], value_set=ids, skip_nulls=True)
            hit = pc.and_(pc.equal(other, target), pc.is_valid(place))
            where = np.flatnonzero(hit.to_numpy())
            out[starts[at] + where] = starts[to] + kept[place.take(pa.array(where)).to_numpy()]
    return out
