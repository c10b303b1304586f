"""``semantic_dedup_set``: SemDeDup (arXiv 2303.09540) over the embeddings."""

from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa

from assets.checks import duplicates_point_to_kept, ids_known, ids_unique
from assets.loading import marked, protected_rows, take_or_null
from assets.stage import Outcome, Work, stage_asset
from espalier.cluster import KMeansResult, fit_kmeans
from espalier.pairs import Pairs
from espalier.rng import generator
from espalier.semdedup import SimilarPairs, TooManyPairs, rank_positions, resolve, resolve_directly, similar_pairs
from resources import plots
from resources.blobs import read_bytes
from resources.reports import sheet_files
from resources.sheets import Cell, contact_sheet
from resources.warehouse import Draft, Table
from resources.warehouse.session import session

ROWS_A_CLUSTER = 4000
SHEET_PAIRS = 24
LEAST_EPS = 1e-6


@stage_asset(
    "semantic_dedup_set",
    kinds={"faiss", "duckdb"},
    checks=(ids_unique, ids_known, duplicates_point_to_kept),
)
def semantic_dedup_set(work: Work, raw_dataset: Table, embeddings: Table) -> Outcome:
    """SemDeDup: samples whose embedding is nearer than eps to that of a kept one, within fine clusters.

    Similar pairs are stored (table ``pairs``), so a smaller eps, another rule or rank needs no new search.
    """
    options = work.options
    ids = embeddings.arrow(["sample_id"])["sample_id"].combine_chunks()
    vectors = embeddings.matrix("vector")
    k = options.semantic_k or max(1, round(len(ids) / ROWS_A_CLUSTER))
    fine = fit_kmeans(vectors, k, rng=generator(options.seed, "semantic clusters"))
    position = rank_positions(fine.distance, options.rank, rng=generator(options.seed, "semantic rank"))
    verdicts = {
        "immune": protected_rows(raw_dataset, embeddings, options.protect) | marked(ids, options.keep),
        "drop": marked(ids, options.drop),
    }
    eps = max(options.eps, LEAST_EPS)
    similar = _stored_pairs(work, embeddings, fine, 1 - eps)
    reused = similar is not None
    try:
        if similar is None:
            with work.bar("semantic duplicates", len(ids)) as advance:
                similar = _search(vectors, fine, 1 - eps, options.n_probe, advance)
        found = resolve(similar, position, eps=eps, rule=options.rule, **verdicts)
    except TooManyPairs as error:
        if options.rule != "keep_one":
            raise
        work.log.warning(f"{error} Deciding without storing pairs, inside fine clusters only.")
        similar = SimilarPairs(Pairs.empty(), len(ids), floor=1.0)
        found = resolve_directly(vectors, fine.assignment, position, eps=eps, **verdicts)
    rows = pa.table(
        {
            "sample_id": ids,
            "kept": found.kept,
            "duplicate_of": take_or_null(ids, found.duplicate_of),
            "similarity": pa.array(found.similarity, mask=found.duplicate_of < 0),
            "via": take_or_null(ids, found.via),
            "fine_cluster": fine.assignment,
            "rank": position,
        }
    )
    pairs = {"i": similar.pairs.i, "j": similar.pairs.j, "similarity": similar.pairs.similarity}
    sheet = _sheet(raw_dataset, rows)
    return Outcome(
        Draft(
            rows,
            side={"pairs": pa.table(pairs)},
            stats={
                "n_kept": int(found.kept.sum()),
                "n_semantic": int((found.duplicate_of >= 0).sum()),
                "fine_k": fine.k,
                "floor": similar.floor,
                "pairs": len(similar.pairs),
                "comparisons": 0 if reused else similar.comparisons,
                "pairs stored": similar.floor < 1,
            },
        ),
        metadata=_pictures(rows, sheet),
        folders=(sheet_files(work.home.reports / work.dataset, "semantic", {"pairs": sheet}),),
    )


def _search(vectors: np.ndarray, fine: KMeansResult, floor: float, n_probe: int, advance: Any) -> SimilarPairs:
    return similar_pairs(
        vectors,
        fine.assignment,
        floor=floor,
        centroids=fine.centroids,
        n_probe=min(n_probe, fine.k),
        progress=advance,
    )


def _stored_pairs(work: Work, embeddings: Table, fine: KMeansResult, floor: float) -> SimilarPairs | None:
    """Return the pairs of an earlier run when they are of the same vectors and clusters and reach low enough."""
    earlier = work.store.get("semantic_dedup_set", work.dataset)
    if earlier is None:
        return None
    meta = earlier.meta
    same = ("semantic_k", "n_probe", "seed")
    if meta.inputs["embeddings"] != embeddings.meta.data_version or meta.stats["floor"] > floor:
        return None
    if meta.stats["fine_k"] != fine.k or any(meta.params.get(p) != work.options.pick((p,))[p] for p in same):
        return None
    stored = earlier.arrow(["i", "j", "similarity"], table="pairs")
    pairs = Pairs(*(stored[c].to_numpy() for c in ("i", "j", "similarity")))
    return SimilarPairs(pairs, len(fine.assignment), meta.stats["floor"])


def _sheet(raw_dataset: Table, rows: pa.Table) -> bytes | None:
    """Draw the pairs that were nearest to being kept, the least similar ones; None when there is none."""
    with session(raw=raw_dataset) as db:
        db.register("rows", rows)
        found = db.execute(
            f"""SELECT r.sample_id, r.duplicate_of, r.similarity, a.uri, b.uri FROM rows r
                JOIN raw a ON a.sample_id = r.sample_id JOIN raw b ON b.sample_id = r.duplicate_of
                ORDER BY r.similarity, r.sample_id LIMIT {SHEET_PAIRS}"""
        ).fetchall()
    pairs = [
        [Cell(kept_uri, keeper, "kept", marked=True), Cell(uri, sample, f"dropped, cosine {similarity:.3f}")]
        for sample, keeper, similarity, uri, kept_uri in found
    ]
    return contact_sheet(pairs, read_bytes) if pairs else None


def _pictures(rows: pa.Table, sheet: bytes | None) -> dict[str, dg.MetadataValue]:
    """Show the least similar pairs, and the cosines of all."""
    if sheet is None:
        return {}
    similarity = rows["similarity"].drop_null().to_numpy()
    histogram = plots.histogram(np.asarray(similarity), "cosine", "semantic duplicates by cosine")
    return {
        "least similar pairs": dg.MetadataValue.md(plots.markdown(sheet, "least similar pairs of semantic duplicates")),
        "similarities": dg.MetadataValue.md(plots.markdown(histogram, "cosines of semantic duplicates")),
    }
