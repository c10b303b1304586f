"""Who takes part in a search for duplicates: a dataset's own samples, what is known of them, and other datasets.

New against kept: a sample that the previous run with the same options and references kept is known, and is compared
with new ones only; one that it dropped stays dropped as long as the sample that it copies is still there, unchanged.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from espalier.core.errors import EspalierError
from espalier.io.images.grid import GRID_LENGTH
from espalier.io.scanning.scan import THUMB_LENGTH
from espalier.io.warehouse import Table
from espalier.io.warehouse.table import array_block, session
from espalier.stages.context import StageContext
from espalier.stages.graph import STAGES

PIXELS = "coalesce(width, 0) AS width, coalesce(height, 0) AS height, coalesce(width::BIGINT * height, 0) AS pixels"
BLIND = "grid IS NULL AS blind"


@dataclass(frozen=True)
class DedupRows:
    """Rows of a search, one a readable sample; the dataset's own ``n_own`` come first, in order of sample_id.

    ``facts`` has dataset ("" for the own), sample_id, subset, uri, sha256, n_bytes, width, height, pixels; ``grids``,
    (n, 243) uint16, zeros where there is no picture; ``thumbs``, (n, 1024) uint8, where pairs are verified. (n,) bool
    are ``blind`` (samples without a picture), ``known`` (kept before, or of another dataset: stay, and are not compared
    with one another) and ``taking_part`` (all but the carried). ``carried`` are previous verdicts, in the stored form,
    of own samples that are not searched: they were dropped and stay so. ``twins`` has sample_id and twin of known
    samples that had one; ``pairs`` the previous run's pairs of samples that are not compared again: ``border`` (nearest
    to the threshold), ``copies`` and ``similar_pairs``; none without a previous run.
    """

    facts: pa.Table
    grids: np.ndarray
    thumbs: np.ndarray | None
    blind: np.ndarray
    n_own: int
    known: np.ndarray
    carried: pa.Table | None
    twins: pa.Table | None
    pairs: Mapping[str, pa.Table]
    taking_part: np.ndarray


def dedup_rows(context: StageContext, raw_dataset: Table) -> DedupRows:
    """Gather the rows of a dataset's search for duplicates."""
    arrays = ("grid", "thumb") if context.options.near == "standard" else ("grid",)
    own = _read(raw_dataset, "error IS NULL", arrays)
    others = [_kept_of(context, name, arrays) for name in context.options.reference_datasets]
    facts = pa.concat_tables([own[0], *(o[0] for o in others)])
    grids, thumbs = (
        np.concatenate([o[1][name] for o in (own, *others)]) if name in arrays else None for name in ("grid", "thumb")
    )
    assert grids is not None
    n, n_own = len(facts), len(own[0])
    known = np.arange(n) >= n_own
    carried, twins = None, None
    pairs: dict[str, pa.Table] = {}
    taking_part = np.ones(n, bool)
    if context.previous is not None:
        kept_before, carried, twins, pairs = _verdicts(raw_dataset, context.previous)
        known[:n_own] = pc.is_in(own[0]["sample_id"], kept_before).to_numpy()
        taking_part[:n_own] = ~pc.is_in(own[0]["sample_id"], carried["sample_id"].combine_chunks()).to_numpy()
    blind = facts["blind"].to_numpy()
    facts = facts.drop_columns("blind")
    return DedupRows(facts, grids, thumbs, blind, n_own, known, carried, twins, pairs, taking_part)


def _read(raw: Table, where: str, arrays: tuple[str, ...]) -> tuple[pa.Table, dict[str, np.ndarray]]:
    columns = ["'' AS dataset", "sample_id", "subset", "uri", "sha256", "n_bytes", PIXELS, BLIND]
    facts = raw.arrow(columns, where=where)
    blind = facts["blind"].to_numpy()
    return facts, {
        name: _laid_out(blind, raw.matrix(name, where=f"{where} AND grid IS NOT NULL"), name) for name in arrays
    }


def _laid_out(blind: np.ndarray, of_pictures: np.ndarray, name: str) -> np.ndarray:
    """Put the arrays of the pictures at their rows, zeros at those of texts."""
    if not blind.any() and len(blind):
        return of_pictures
    length, kind = (GRID_LENGTH, np.uint16) if name == "grid" else (THUMB_LENGTH, np.uint8)
    out = np.zeros((len(blind), length), kind)
    if not blind.all():
        out[~blind] = of_pictures
    return out


def _kept_of(context: StageContext, name: str, arrays: tuple[str, ...]) -> tuple[pa.Table, dict[str, np.ndarray]]:
    """Return facts and arrays of what another dataset keeps."""
    if name == context.dataset:
        raise EspalierError(f"The card of {name!r} compares it with itself.", "Take it out of reference_datasets.")
    raw, dedup = context.references[f"raw_dataset of {name}"], context.references[f"dedup_set of {name}"]
    if "thumb" in arrays and raw.meta.code_version != STAGES["raw_dataset"].version:
        raise EspalierError(f"raw_dataset of {name!r} was made by an older version.", f"Run: espalier dedup {name}")
    with session(raw=raw, dedup=dedup) as db:
        kept = db.sql(
            f"""SELECT '{name}' AS dataset, sample_id, subset, uri, raw.sha256, n_bytes,
                {PIXELS}, {BLIND}, {", ".join(arrays)}
                FROM raw JOIN dedup USING (sample_id) WHERE dedup.kept ORDER BY sample_id"""
        ).to_arrow_table()
    blind = kept["blind"].to_numpy()  # the blocks are of those that have a picture
    blocks = {a: _laid_out(blind, array_block(kept[a].combine_chunks()), a) for a in arrays}
    return kept.drop_columns(list(arrays)), blocks


def _verdicts(raw: Table, previous: Table) -> tuple[pa.Array, pa.Table, pa.Table, dict[str, pa.Table]]:
    """Return what the previous run found about samples of unchanged content.

    The ids kept, the verdicts on dropped ones that still hold, twins, and pairs of these.
    """
    with session(raw=raw, previous=previous) as db:
        db.execute("CREATE TEMP TABLE same AS SELECT p.* FROM raw r JOIN previous p USING (sample_id, sha256)")
        kept = db.sql("SELECT sample_id FROM same WHERE kept").to_arrow_table()
        carried = db.sql(
            """SELECT d.* FROM same d JOIN same k ON k.sample_id = d.duplicate_of AND k.kept
               WHERE NOT d.kept AND d.stage <> 'by hand' AND d.of_dataset IS NULL ORDER BY d.sample_id"""
        ).to_arrow_table()
        twins = db.sql(
            "SELECT s.sample_id, s.twin FROM same s JOIN same t ON t.sample_id = s.twin WHERE s.kept AND t.kept"
        ).to_arrow_table()
        border = db.sql(
            """SELECT b.* FROM in_previous.border b SEMI JOIN same USING (sample_id)
               SEMI JOIN (SELECT sample_id AS of_sample FROM same) USING (of_sample)
               WHERE b.dataset = '' AND b.of_dataset = ''"""
        ).to_arrow_table()
        db.register("carried", carried)
        db.execute(
            """CREATE TEMP TABLE settled AS SELECT sample_id FROM same WHERE kept
               UNION ALL SELECT sample_id FROM carried"""
        )
        pairs = {
            name: db.sql(
                f"""SELECT p.* FROM in_previous.{name} p SEMI JOIN settled USING (sample_id)
                    WHERE of_dataset IS NOT NULL OR of_sample IN (SELECT sample_id FROM settled)"""
            ).to_arrow_table()
            for name in ("copies", "similar_pairs")
        }
    return kept["sample_id"].combine_chunks(), carried, twins, {"border": border, **pairs}
