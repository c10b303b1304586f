"""``dedup_set``: byte-exact and near duplicates, found before anything costly runs."""

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.checks import duplicates_point_to_kept, ids_known, ids_unique
from assets.loading import marked, take_or_null
from assets.stage import Outcome, Work, stage_asset
from espalier.near import find_duplicates
from resources import plots
from resources.blobs import read_bytes
from resources.formats.base import subset_role
from resources.sheets import Cell, contact_sheet
from resources.warehouse import Draft, Table

SHEET_GROUPS, SHEET_COPIES = 24, 7


@stage_asset("dedup_set", kinds={"numpy", "duckdb"}, checks=(ids_unique, ids_known, duplicates_point_to_kept))
def dedup_set(work: Work, raw_dataset: Table) -> Outcome:
    """Byte-exact copies and near duplicates: of each group the sample of best quality is kept.

    Near duplicates are neighbours in a gradient feature of a 9 x 9 grid of area means. Every dropped sample has a
    kept one above the threshold. Samples of protected subsets (test, val) never go; their copies elsewhere do.
    """
    facts = raw_dataset.arrow(
        ["sample_id", "subset", "uri", "sha256", "n_bytes", "width::BIGINT * height AS pixels"], where="error IS NULL"
    )
    ids = facts["sample_id"].combine_chunks()
    grids = raw_dataset.matrix("grid", where="error IS NULL")
    roles = np.array([subset_role(s) in work.options.protect for s in facts["subset"].unique().to_pylist()])
    with work.bar("duplicates", len(ids)) as advance:
        found = find_duplicates(
            facts["sha256"].combine_chunks().dictionary_encode().indices.to_numpy(),
            grids,
            (facts["pixels"].to_numpy(), facts["n_bytes"].to_numpy()),
            threshold=work.options.near_threshold or "auto",
            flips=work.options.flips,
            protected=roles[facts["subset"].combine_chunks().dictionary_encode().indices.to_numpy()],
            keep=marked(ids, work.options.keep),
            drop=marked(ids, work.options.drop),
            seed=work.options.seed,
            progress=advance,
        )
    stage = pa.array(found.stage, pa.string())
    rows = pa.table(
        {
            "sample_id": ids,
            "kept": found.kept,
            "duplicate_of": take_or_null(ids, found.duplicate_of),
            "stage": pc.if_else(pc.equal(stage, ""), None, stage),
            "similarity": pa.array(found.similarity, mask=found.duplicate_of < 0),
            "mirrored": found.mirrored,
            "chained": found.chained,
            "via": take_or_null(ids, found.via),
            "twin": take_or_null(ids, found.twin),
        }
    )
    counts = {s: int((found.stage == s).sum()) for s in ("exact", "near", "by hand")}
    return Outcome(
        Draft(
            rows,
            stats={
                "n_kept": int(found.kept.sum()),
                "n_exact": counts["exact"],
                "n_near": counts["near"],
                "n_by_hand": counts["by hand"],
                "n_chained": int(found.chained.sum()),
                "threshold": found.threshold,
                "pairs compared": found.search.comparisons,
            },
        ),
        metadata=_pictures(facts, found) if counts["exact"] + counts["near"] else {},
    )


def _pictures(facts: pa.Table, found: object) -> dict[str, dg.MetadataValue]:
    """Show the groups with the most copies, the kept one first and framed."""
    copy_of = found.duplicate_of  # type: ignore[attr-defined]
    keepers, counts = np.unique(copy_of[copy_of >= 0], return_counts=True)
    sheet = []
    for keeper in keepers[np.argsort(-counts, kind="stable")[:SHEET_GROUPS]]:
        copies = np.flatnonzero(copy_of == keeper)[:SHEET_COPIES]
        sheet.append([_cell(facts, keeper, "kept", marked=True)])
        sheet[-1] += [_cell(facts, row, f"{found.stage[row]} {found.similarity[row]:.3f}") for row in copies]  # type: ignore[attr-defined]
    near = found.similarity[found.stage == "near"]  # type: ignore[attr-defined]
    shown = {"largest groups": plots.markdown(contact_sheet(sheet, read_bytes), "largest groups of duplicates")}
    if len(near):
        png = plots.histogram(near, "similarity", "near duplicates by similarity", found.threshold)  # type: ignore[attr-defined]
        shown["similarities"] = plots.markdown(png, "similarities of near duplicates")
    return {name: dg.MetadataValue.md(text) for name, text in shown.items()}


def _cell(facts: pa.Table, row: int, note: str, *, marked: bool = False) -> Cell:
    return Cell(facts["uri"][int(row)].as_py(), facts["sample_id"][int(row)].as_py(), note, marked)
