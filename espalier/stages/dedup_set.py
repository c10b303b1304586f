"""``dedup_set``: exact and near duplicates, found before anything costly runs, and leaks between subsets."""

import time
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from espalier.core.dedup.near import Duplicates, find_duplicates, find_verified_duplicates
from espalier.io.images.grid import THUMB_SIDE
from espalier.io.results import sheet_files, sheet_name
from espalier.io.warehouse import Draft, Table
from espalier.io.warehouse.table import session
from espalier.stages.context import Picture, StageContext, StageResult
from espalier.stages.dedup_copies import leaks_of, told_pairs
from espalier.stages.dedup_pixels import confirmed, content_codes, exact_by
from espalier.stages.dedup_rows import DedupRows, dedup_rows
from espalier.stages.dedup_sheets import border_pairs, sheets
from espalier.stages.graph import HISTORY
from espalier.stages.loading import marked, protected, take_or_null

SHEETS = {"groups": "largest groups", "leaks": "leaks", "threshold": "pairs nearest to the threshold"}
"""The contact sheets, with the titles that the page gives them."""


def run(context: StageContext, raw_dataset: Table) -> StageResult:
    """Find exact and near duplicates; of each group the sample of best quality is kept."""
    began = time.perf_counter()
    rows, previous = dedup_rows(context, raw_dataset), context.previous
    facts = rows.facts.filter(pa.array(rows.taking_part))
    ids = facts["sample_id"].combine_chunks()
    own = np.flatnonzero(rows.taking_part) < rows.n_own
    known, grids, blind = (x[rows.taking_part] for x in (rows.known, rows.grids, rows.blind))
    codes, quality = content_codes(context, facts, grids, known, blind), (facts["pixels"], facts["n_bytes"])
    given: dict[str, Any] = {
        "quality": tuple(column.to_numpy() for column in quality),
        "threshold": context.options.near_threshold or (previous.meta.stats["threshold"] if previous else "auto"),
        "flips": context.options.flips,
        "protected": protected(facts["subset"], context.options.protect) & own,
        "keep": marked(ids, context.options.keep) & own,
        "drop": marked(ids, context.options.drop) & own,
        "known": known,
        "blind": blind,
        "seed": context.options.seed,
    }
    with context.bar("duplicates", len(ids)) as advance:
        if rows.thumbs is None:
            duplicates = find_duplicates(codes, grids, progress=advance, **given)
        else:
            thumbs, places = rows.thumbs[rows.taking_part].reshape(-1, THUMB_SIDE, THUMB_SIDE), _places(facts)
            duplicates = find_verified_duplicates(
                codes, grids, thumbs, places=places, threads=context.threads, progress=advance, **given
            )
    duplicates = confirmed(context, facts, grids, duplicates)
    stored = _with_previous(_verdicts(facts, duplicates, own), rows)
    pairs = told_pairs(facts, duplicates, own, stored, rows)
    leaks = leaks_of(pairs["copies"], stored, rows.facts)
    border = border_pairs(facts, duplicates, rows.pairs.get("border"))
    pictures = sheets(stored, leaks, border, rows.facts, duplicates.threshold) if not rows.blind.all() else {}
    reports = context.home.reports / context.dataset
    in_the_page = {SHEETS[n]: Picture(png, SHEETS[n], reports / sheet_name("dedup", n)) for n, png in pictures.items()}
    stages = {c["values"]: c["counts"] for c in stored["stage"].value_counts().to_pylist()}
    return StageResult(
        Draft(
            stored,
            side={"leaks": leaks, "border": border, **pairs},
            stats={
                "n_kept": int(np.count_nonzero(stored["kept"])),
                **{f"n_{s.replace(' ', '_')}": stages.get(s, 0) for s in ("exact", "near", "by hand")},
                "n_texts": int(rows.blind[: rows.n_own].sum()),
                "n_exact_pixels": pc.sum(pc.equal(stored["exact_by"], "pixels")).as_py() or 0,
                "n_chained": int(duplicates.chained.sum()),
                "n_copies": len(pairs["copies"]),
                "n_similar": len(pairs["similar_pairs"]),
                "n_proposed": duplicates.n_proposed,
                "n_verified": duplicates.n_verified,
                "n_leaks": len(leaks),
                "n_new": int((own & ~known).sum()),
                "n_known": int((own & known).sum()) + (len(rows.carried) if rows.carried else 0),
                "threshold": duplicates.threshold,
                "comparisons": duplicates.search.comparisons,
                "search": duplicates.search.method,
                "recall": float(duplicates.search.recall),
            },
        ),
        shown={
            "seconds": round(time.perf_counter() - began, 1),
            **_texts_skipped(rows, context.options.text_copies),
            **in_the_page,
        },
        folders=sheet_files(reports, "dedup", dict.fromkeys(SHEETS) | pictures),
        inputs={HISTORY: previous.meta.data_version} if previous else {},
    )


def _places(facts: pa.Table) -> np.ndarray:
    """Tell which subset of which dataset each row stands in, as a number: (n,) int64."""
    named = pc.binary_join_element_wise(facts["dataset"].cast(pa.string()), facts["subset"].cast(pa.string()), "/")
    return np.array(named.combine_chunks().dictionary_encode().indices, dtype=np.int64)


def _texts_skipped(rows: DedupRows, copies: bool) -> dict[str, Any]:
    """Say which samples take no part in the search for near duplicates."""
    n, counted = int(rows.blind[: rows.n_own].sum()), "only equal ones" if copies else "none of them"
    said = f"{n:,} samples are texts without a picture: {counted} count as copies, near duplicates are not sought"
    return {"near duplicates of texts": said} if n else {}


def _verdicts(facts: pa.Table, duplicates: Duplicates, own: np.ndarray) -> pa.Table:
    ids = facts["sample_id"].combine_chunks()
    other = facts["dataset"].combine_chunks()
    copied = np.where(duplicates.duplicate_of >= 0, duplicates.duplicate_of, 0)
    foreign = (duplicates.duplicate_of >= 0) & ~own[copied]
    columns = {
        "sample_id": ids,
        "sha256": facts["sha256"].combine_chunks(),
        "kept": pa.array(duplicates.kept),
        "of_dataset": other.take(pa.array(copied, mask=~foreign)),
        "duplicate_of": take_or_null(ids, duplicates.duplicate_of),
        "stage": pa.array(duplicates.stage, pa.string(), mask=duplicates.stage == ""),
        "exact_by": exact_by(facts, duplicates),
        "similarity": pa.array(duplicates.similarity, mask=duplicates.duplicate_of < 0),
        "mirrored": pa.array(duplicates.mirrored),
        "chained": pa.array(duplicates.chained),
        "via": take_or_null(ids, duplicates.via),
        "twin": take_or_null(ids, duplicates.twin),
    }
    return pa.table(columns).filter(pa.array(own))


def _with_previous(verdicts: pa.Table, rows: DedupRows) -> pa.Table:
    """Add what the previous run found and what still holds: verdicts on dropped samples, twins of kept ones."""
    if rows.carried is None:
        return verdicts
    with session(verdicts=verdicts, twins=rows.twins, carried=rows.carried) as db:
        return db.sql(
            """SELECT v.* REPLACE (coalesce(v.twin, t.twin) AS twin) FROM verdicts v LEFT JOIN twins t USING (sample_id)
               UNION ALL BY NAME SELECT * FROM carried"""
        ).to_arrow_table()
