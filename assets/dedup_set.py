"""``dedup_set``: exact and near duplicates, found before anything costly runs, and leaks between subsets."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.checks import duplicates_point_to_kept, ids_known, no_leaks
from assets.dedup_pixels import confirmed, content_codes, exact_by
from assets.dedup_rows import DedupRows, dedup_rows
from assets.dedup_sheets import border_pairs, in_the_page, sheets
from assets.loading import marked, take_or_null
from assets.stage import Outcome, Work, stage_asset
from espalier.near import Duplicates, find_duplicates
from resources.formats.base import subset_role
from resources.graph import HISTORY
from resources.results.reports import sheet_files
from resources.warehouse import Draft, Table
from resources.warehouse.session import session

SHEETS = ("groups", "leaks", "threshold")


@stage_asset(
    "dedup_set",
    kinds={"numpy", "duckdb"},
    checks=(ids_known, duplicates_point_to_kept, no_leaks),
)
def dedup_set(work: Work, raw_dataset: Table) -> Outcome:
    """Exact copies, by bytes or pixels, and near duplicates: of each group the sample of best quality is kept.

    Near duplicates are neighbours in a gradient feature of a 9 x 9 grid of area means. Every dropped sample has a
    kept one above the threshold. Samples of protected subsets (test, val) never go; their copies elsewhere do, and
    the table `leaks` lists them. When files are added, only these are compared with what is kept.
    """
    rows = dedup_rows(work, raw_dataset)
    facts = rows.facts.filter(pa.array(rows.taking_part))
    ids = facts["sample_id"].combine_chunks()
    own = np.flatnonzero(rows.taking_part) < rows.n_own
    known, grids, blind = (x[rows.taking_part] for x in (rows.known, rows.grids, rows.blind))
    with work.bar("duplicates", len(ids)) as advance:
        found = find_duplicates(
            content_codes(work, facts, grids, known, blind),
            grids,
            (facts["pixels"].to_numpy(), facts["n_bytes"].to_numpy()),
            threshold=work.options.near_threshold or rows.threshold or "auto",
            flips=work.options.flips,
            protected=_protected(facts, work.options.protect) & own,
            keep=marked(ids, work.options.keep) & own,
            drop=marked(ids, work.options.drop) & own,
            known=known,
            blind=blind,
            seed=work.options.seed,
            progress=advance,
        )
    found = confirmed(work, facts, grids, found)
    verdicts = _verdicts(facts, found, own)
    stored = _with_earlier(verdicts, rows)
    leaks = _leaks(stored, rows.facts)
    border = border_pairs(facts, found, rows.border)
    pictures = sheets(stored, leaks, border, rows.facts, found.threshold) if not rows.blind.all() else {}
    stages = {c["values"]: c["counts"] for c in stored["stage"].value_counts().to_pylist()}
    return Outcome(
        Draft(
            stored,
            side={"leaks": leaks, "border": border},
            stats={
                "n_kept": int(np.count_nonzero(stored["kept"])),
                **{f"n_{s.replace(' ', '_')}": stages.get(s, 0) for s in ("exact", "near", "by hand")},
                "n_texts": int(rows.blind[: rows.n_own].sum()),
                "n_exact_pixels": pc.sum(pc.equal(stored["exact_by"], "pixels")).as_py() or 0,
                "n_chained": int(found.chained.sum()),
                "n_leaks": len(leaks),
                "n_new": int((own & ~known).sum()),
                "n_known": int((own & known).sum()) + (len(rows.carried) if rows.carried else 0),
                "threshold": found.threshold,
                "comparisons": found.search.comparisons,
                "search": found.search.method,
                "recall": float(found.search.recall),
            },
        ),
        metadata={**_texts_skipped(rows, work.options.text_copies), **in_the_page(pictures)},
        folders=(sheet_files(work.home.reports / work.dataset, "dedup", dict.fromkeys(SHEETS) | pictures),),
        inputs={HISTORY: rows.grown_from} if rows.grown_from else {},
    )


def _texts_skipped(rows: DedupRows, copies: bool) -> dict[str, Any]:
    """Say which samples take no part in the search for near duplicates."""
    n, counted = int(rows.blind[: rows.n_own].sum()), "only equal ones" if copies else "none of them"
    said = f"{n:,} samples are texts without a picture: {counted} count as copies, near duplicates are not sought"
    return {"near duplicates of texts": said} if n else {}


def _protected(facts: pa.Table, protect: tuple[str, ...]) -> np.ndarray:
    coded = facts["subset"].combine_chunks().dictionary_encode()
    roles = np.array([subset_role(s) in protect for s in coded.dictionary.to_pylist()], bool)
    return roles[coded.indices.to_numpy()]


def _verdicts(facts: pa.Table, found: Duplicates, own: np.ndarray) -> pa.Table:
    """Return the own samples' verdicts as a table."""
    ids = facts["sample_id"].combine_chunks()
    other = facts["dataset"].combine_chunks()
    copied = np.where(found.duplicate_of >= 0, found.duplicate_of, 0)
    foreign = (found.duplicate_of >= 0) & ~own[copied]
    columns = {
        "sample_id": ids,
        "sha256": facts["sha256"].combine_chunks(),
        "kept": pa.array(found.kept),
        "of_dataset": other.take(pa.array(copied, mask=~foreign)),
        "duplicate_of": take_or_null(ids, found.duplicate_of),
        "stage": pa.array(found.stage, pa.string(), mask=found.stage == ""),
        "exact_by": exact_by(facts, found),
        "similarity": pa.array(found.similarity, mask=found.duplicate_of < 0),
        "mirrored": pa.array(found.mirrored),
        "chained": pa.array(found.chained),
        "via": take_or_null(ids, found.via),
        "twin": take_or_null(ids, found.twin),
    }
    return pa.table(columns).filter(pa.array(own))


def _with_earlier(verdicts: pa.Table, rows: DedupRows) -> pa.Table:
    """Add what an earlier run found and what still holds: verdicts on dropped samples, twins of kept ones."""
    if rows.carried is None:
        return verdicts
    with session() as db:
        db.register("verdicts", verdicts)
        db.register("twins", rows.twins)
        db.register("carried", rows.carried)
        return db.sql(
            """SELECT v.* REPLACE (coalesce(v.twin, t.twin) AS twin) FROM verdicts v LEFT JOIN twins t USING (sample_id)
               UNION ALL BY NAME SELECT * FROM carried"""
        ).to_arrow_table()


def _leaks(stored: pa.Table, facts: pa.Table) -> pa.Table:
    """List the pictures that stand in two subsets, or here and in a dataset compared against."""
    with session() as db:
        db.register("stored", stored)
        db.register("facts", facts)
        return db.sql(
            """SELECT s.sample_id, f.subset, s.of_dataset, o.sample_id AS of_sample, o.subset AS of_subset,
                      CASE WHEN s.kept THEN NULL ELSE s.similarity END AS similarity, NOT s.kept AS dropped,
                      f.uri, o.uri AS of_uri
               FROM stored s JOIN facts f ON f.dataset = '' AND f.sample_id = s.sample_id
               JOIN facts o ON o.dataset = coalesce(s.of_dataset, '') AND o.sample_id = coalesce(s.duplicate_of, s.twin)
               WHERE f.subset <> o.subset OR s.of_dataset IS NOT NULL ORDER BY s.sample_id"""
        ).to_arrow_table()
