"""``semantic_dedup_set``: SemDeDup (arXiv 2303.09540) over the embeddings."""

import dataclasses

import numpy as np
import pyarrow as pa

from espalier.core.dedup.pairs import Pairs
from espalier.core.dedup.semantic import (
    SimilarPairs,
    TooManyPairs,
    rank_positions,
    resolve,
    resolve_directly,
    similar_pairs,
)
from espalier.core.kmeans import assign, fit_kmeans
from espalier.core.rng import generator
from espalier.io.drawing import plots
from espalier.io.drawing.sheets import Cell, contact_sheet
from espalier.io.files.blobs import read_bytes
from espalier.io.results import sheet_files, sheet_name
from espalier.io.warehouse import Draft, Table
from espalier.io.warehouse.table import centroid_table, session
from espalier.stages.context import Picture, StageContext, StageResult
from espalier.stages.graph import HISTORY
from espalier.stages.loading import marked, protected_rows, take_or_null
from espalier.stages.semantic_previous import LEAST_EPS, previous_verdicts, stored_search

ROWS_A_CLUSTER = 4000
SHEET_PAIRS = 24
BELOW = 0.02  # pairs are searched this far below the limit, so that those nearest to it can be looked at


def run(context: StageContext, raw_dataset: Table, embeddings: Table) -> StageResult:
    """Drop samples whose embedding is nearer than eps to that of a kept one."""
    options = context.options
    with session(raw=raw_dataset, embeddings=embeddings) as db:
        query = "SELECT sample_id, raw.sha256 FROM embeddings JOIN raw USING (sample_id) ORDER BY sample_id"
        facts = db.sql(query).to_arrow_table()
    ids, n = facts["sample_id"].combine_chunks(), len(facts)
    vectors, encoder_id = embeddings.matrix("vector"), embeddings.meta.stats["encoder_id"]
    previous = previous_verdicts(context, facts, encoder_id)
    stored = stored_search(context, embeddings) if previous is None else (previous.centroids, previous.pairs)
    centroids, cluster, distance = _fine_clusters(context, vectors, stored[0])
    position = rank_positions(distance, options.which_to_keep, rng=generator(options.seed, "semantic rank"))
    known = np.zeros(n, bool) if previous is None else previous.known
    verdicts = {
        "immune": protected_rows(raw_dataset, embeddings, options.protect) | marked(ids, options.keep) | known,
        "drop": marked(ids, options.drop),
    }
    eps = max(options.eps, LEAST_EPS)
    fresh = np.zeros(n, bool) if previous is None else previous.fresh
    try:
        similar = _similar(context, vectors, centroids, cluster, max(1 - eps - BELOW, -0.999), stored[1], fresh)
        duplicates = resolve(similar, position, eps=eps, rule=options.rule, **verdicts)
    except TooManyPairs as error:
        if options.rule != "keep_one":
            raise
        context.log.warning(f"{error} Deciding without storing pairs, inside fine clusters only.")
        similar = SimilarPairs(Pairs.empty(), n, floor=1.0)
        duplicates = resolve_directly(vectors, cluster, position, eps=eps, **verdicts)
    if previous is not None:
        duplicates = previous.carry(duplicates)
    rows = pa.table(
        {
            "sample_id": ids,
            "sha256": facts["sha256"],
            "kept": pa.array(duplicates.kept),
            "duplicate_of": take_or_null(ids, duplicates.duplicate_of),
            "similarity": pa.array(duplicates.similarity, mask=duplicates.duplicate_of < 0),
            "via": take_or_null(ids, duplicates.via),
            "fine_cluster": pa.array(cluster),
            "rank": pa.array(position),
        }
    )
    pairs = {"i": similar.pairs.i, "j": similar.pairs.j, "similarity": similar.pairs.similarity}
    sheet = _sheet(raw_dataset, rows, _kept_pairs(ids, duplicates.kept, similar, 1 - eps))
    return StageResult(
        Draft(
            rows,
            side={"pairs": pa.table(pairs), "centroids": centroid_table(centroids)},
            stats={
                "n_kept": int(duplicates.kept.sum()),
                "n_semantic": int((duplicates.duplicate_of >= 0).sum()),
                "n_new": n if previous is None else int(fresh.sum()),
                "n_known": 0 if previous is None else int((~fresh).sum()),
                "fine_k": len(centroids),
                "floor": similar.floor,
                "pairs": len(similar.pairs),
                "comparisons": similar.comparisons,
                "pairs stored": similar.floor < 1,
                "encoder_id": encoder_id,
            },
        ),
        shown=_pictures(context, rows, sheet),
        folders=sheet_files(context.home.reports / context.dataset, "semantic", {"pairs": sheet}),
        inputs={HISTORY: context.replaced.meta.data_version}
        if context.replaced and (previous or stored[0] is not None)
        else {},
    )


def _fine_clusters(
    context: StageContext, vectors: np.ndarray, centroids: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make the fine clusters, or assign to stored ones: centroids (k, d), each row's cluster and distance to it."""
    if centroids is not None and len(vectors):
        return centroids, *assign(vectors, centroids)
    k = context.options.semantic_k or max(1, round(len(vectors) / ROWS_A_CLUSTER))
    fine = fit_kmeans(vectors, k, rng=generator(context.options.seed, "semantic clusters"))
    return fine.centroids, fine.assignment, fine.distance


def _similar(
    context: StageContext,
    vectors: np.ndarray,
    centroids: np.ndarray,
    cluster: np.ndarray,
    floor: float,
    stored: SimilarPairs | None,
    fresh: np.ndarray,
) -> SimilarPairs:
    """Return the similar pairs: the stored ones, and those with fresh rows, which are searched."""
    if stored is not None and not fresh.any():
        return stored
    with context.bar("semantic duplicates", len(vectors)) as advance:
        searched = similar_pairs(
            vectors,
            cluster,
            floor=floor if stored is None else stored.floor,
            centroids=centroids,
            n_probe=min(context.options.n_probe, len(centroids)),
            fresh=None if stored is None else fresh,
            progress=advance,
        )
    if stored is None:
        return searched
    return dataclasses.replace(searched, pairs=Pairs.concatenate([stored.pairs, searched.pairs]).sorted())


def _kept_pairs(ids: pa.Array, kept: np.ndarray, similar: SimilarPairs, limit: float) -> pa.Table:
    """Return the most similar of the pairs that both stay: those nearest to the limit from below."""
    pairs = similar.pairs
    near = pairs.take(kept[pairs.i] & kept[pairs.j] & (pairs.similarity <= np.float32(limit)))
    near = near.take(np.lexsort((near.j, near.i, -near.similarity))[:SHEET_PAIRS])
    return pa.table({"one": ids.take(near.i), "other": ids.take(near.j), "similarity": near.similarity})


def _sheet(raw_dataset: Table, rows: pa.Table, below: pa.Table) -> bytes | None:
    """Draw the pairs nearest to the limit: the least similar dropped ones, then kept ones; None without any."""
    with session(raw=raw_dataset, rows=rows, below=below) as db:
        dropped = db.execute(
            f"""SELECT r.sample_id, r.duplicate_of, r.similarity, a.uri, b.uri FROM rows r
                JOIN raw a ON a.sample_id = r.sample_id JOIN raw b ON b.sample_id = r.duplicate_of
                ORDER BY r.similarity, r.sample_id LIMIT {SHEET_PAIRS}"""
        ).fetchall()
        kept = db.execute(
            """SELECT one, other, p.similarity, a.uri, b.uri FROM below p
               JOIN raw a ON a.sample_id = one JOIN raw b ON b.sample_id = other
               ORDER BY p.similarity DESC, one, other"""
        ).fetchall()
    pairs = [
        [Cell(kept_uri, keeper, "kept", marked=True), Cell(uri, sample, f"dropped, cosine {similarity:.3f}")]
        for sample, keeper, similarity, uri, kept_uri in reversed(dropped)
    ]
    pairs += [
        [Cell(uri, one, "both kept"), Cell(other_uri, other, f"cosine {similarity:.3f}")]
        for one, other, similarity, uri, other_uri in kept
    ]
    return contact_sheet(pairs, read_bytes) if pairs else None


def _pictures(context: StageContext, rows: pa.Table, sheet: bytes | None) -> dict[str, Picture]:
    """Show the pairs nearest to the limit, and the cosines of all duplicates."""
    out: dict[str, Picture] = {}
    if sheet is not None:
        file = context.home.reports / context.dataset / sheet_name("semantic", "pairs")
        words = "pairs nearest to the limit of semantic duplicates"
        out["pairs nearest to the limit"] = Picture(sheet, words, file)
    similarity = rows["similarity"].drop_null().to_numpy()
    if len(similarity):
        histogram = plots.histogram(np.asarray(similarity), "cosine", "semantic duplicates by cosine")
        out["similarities"] = Picture(histogram, "cosines of semantic duplicates")
    return out
