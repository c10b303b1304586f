"""What the previous run of ``semantic_dedup_set`` knows of the samples that are still there, unchanged.

New against kept: a sample that it kept stays, one that it dropped stays dropped as long as the sample that it copies
is there, and only pairs with new samples are searched, in the clusters of that run. It counts only when it was made
by the same code with the same options and encoder.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from espalier.core.dedup.pairs import Pairs
from espalier.core.dedup.semantic import SemanticDuplicates, SimilarPairs
from espalier.io.warehouse import Table
from espalier.io.warehouse.table import session
from espalier.stages.context import StageContext
from espalier.stages.graph import STAGES

LEAST_EPS = 1e-6
MOST_NEW = 0.5
"""Share of new samples, of those known, up to which its clusters serve; beyond it they are made anew."""


@dataclass(frozen=True)
class PreviousVerdicts:
    """What the previous run decided, in this run's rows.

    ``fresh`` samples, (n,) bool, are new, or have other content; ``known`` ones were kept, which stay. For a sample
    that was dropped and stays so, ``target``, (n,) int64, is the kept one that it copies, beside ``via``; else -1.
    ``centroids``, (k, d) float32, are those of the fine clusters, None when they are to be made anew; ``pairs`` the
    stored ones of samples that are not fresh, None when none were stored.
    """

    fresh: np.ndarray
    known: np.ndarray
    target: np.ndarray
    via: np.ndarray
    similarity: np.ndarray
    centroids: np.ndarray | None
    pairs: SimilarPairs | None

    def carry(self, duplicates: SemanticDuplicates) -> SemanticDuplicates:
        """Return the verdicts with those of the previous run that still hold."""
        old = self.target >= 0
        return dataclasses.replace(
            duplicates,
            kept=duplicates.kept & ~old,
            duplicate_of=np.where(old, self.target, duplicates.duplicate_of),
            similarity=np.where(old, self.similarity, duplicates.similarity),
            via=np.where(old, self.via, duplicates.via),
        )


def previous_verdicts(context: StageContext, facts: pa.Table, encoder_id: str) -> PreviousVerdicts | None:
    """Read what the previous run, if its vectors are of this encoder, knows of these samples.

    ``facts`` are sample_id and sha256 of the embedded samples, in order of sample_id.
    """
    stored = context.previous
    if stored is None or stored.meta.stats["encoder_id"] != encoder_id:
        return None
    with session(stored=stored, facts=facts) as db:
        rows = db.sql(
            """SELECT s.kept, s.duplicate_of, s.via, s.similarity, s.sample_id IS NULL AS fresh
               FROM facts f LEFT JOIN stored s ON s.sample_id = f.sample_id AND s.sha256 = f.sha256
               ORDER BY f.sample_id"""
        ).to_arrow_table()
    ids = facts["sample_id"].combine_chunks()
    fresh = rows["fresh"].to_numpy()
    known = pc.fill_null(rows["kept"], False).to_numpy()
    target, via = (_places(rows[name], ids) for name in ("duplicate_of", "via"))
    holds = (target >= 0) & known[target] & (via >= 0)
    centroids = stored.matrix("centroid", table="centroids")
    few_new = fresh.sum() <= MOST_NEW * (~fresh).sum() and len(centroids) <= len(ids)
    return PreviousVerdicts(
        fresh,
        known,
        np.where(holds, target, -1),
        np.where(holds, via, -1),
        np.where(holds, pc.fill_null(rows["similarity"], 0).to_numpy(), 0).astype(np.float32),
        centroids if few_new else None,
        _pairs_among(stored, ids, ~fresh) if few_new and stored.meta.stats["pairs stored"] else None,
    )


def stored_search(context: StageContext, embeddings: Table) -> tuple[np.ndarray | None, SimilarPairs | None]:
    """Return what the previous run, with other verdicts, made of the same vectors.

    The centroids, and the pairs when they reach low enough; where they do not, the same clusters are searched again.
    """
    stored = context.replaced
    if stored is None or stored.meta.code_version != STAGES["semantic_dedup_set"].version:
        return None, None
    meta, now = stored.meta, context.options.pick(("semantic_k", "n_probe", "seed"))
    changed = {name for name, value in now.items() if meta.params.get(name) != value}
    if changed - {"n_probe"} or meta.inputs["embeddings"] != embeddings.meta.data_version:
        return None, None
    centroids = stored.matrix("centroid", table="centroids")
    too_high = meta.stats["floor"] > 1 - max(context.options.eps, LEAST_EPS)
    if changed or too_high or not meta.stats["pairs stored"]:
        return centroids, None
    ids = stored.arrow(["sample_id"])["sample_id"].combine_chunks()
    return centroids, _pairs_among(stored, ids, np.ones(len(ids), bool))


def _pairs_among(stored: Table, ids: pa.Array, same: np.ndarray) -> SimilarPairs:
    """Return the stored pairs of samples that are the same, in the rows of ``ids``."""
    place = _places(stored.arrow(["sample_id"])["sample_id"], ids)
    place[place >= 0] = np.where(same[place[place >= 0]], place[place >= 0], -1)
    columns = stored.arrow(["i", "j", "similarity"], table="pairs")
    i, j = place[columns["i"].to_numpy()], place[columns["j"].to_numpy()]
    there = (i >= 0) & (j >= 0)
    pairs = Pairs(i[there], j[there], columns["similarity"].to_numpy()[there])
    return SimilarPairs(pairs, len(ids), stored.meta.stats["floor"])


def _places(names: pa.ChunkedArray, ids: pa.Array) -> np.ndarray:
    """Return the row of each name in ``ids``, -1 where there is none: (n,) int64."""
    return pc.fill_null(pc.index_in(names, ids), -1).to_numpy().astype(np.int64)
