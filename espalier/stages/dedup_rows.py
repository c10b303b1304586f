"""Who takes part in a search for duplicates: a dataset's own samples, what is known of them, and other datasets.

New against kept: a sample that the previous run with the same options and references kept is known, and is compared
with new ones only; one that it dropped stays dropped as long as the sample that it copies is still there, unchanged.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from espalier.core.errors import EspalierError
from espalier.io.scanning.scan import GRID_LENGTH
from espalier.io.warehouse import Table
from espalier.io.warehouse.table import array_block, session
from espalier.stages.context import StageContext

PIXELS = "coalesce(width, 0) AS width, coalesce(height, 0) AS height, coalesce(width::BIGINT * height, 0) AS pixels"
BLIND = "grid IS NULL AS blind"


@dataclass(frozen=True)
class DedupRows:
    """Rows of a search, one a readable sample; the dataset's own ``n_own`` come first, in order of sample_id.

    ``facts`` has dataset ("" for the own), sample_id, subset, uri, sha256, n_bytes, width, height, pixels; ``grids``,
    (n, 243) uint16, zeros where there is no picture. (n,) bool are ``blind`` (samples without a picture), ``known``
    (kept before, or of another dataset: stay, and are not compared with one another) and ``taking_part`` (all but the
    carried). ``carried`` are previous verdicts, in the stored form, of own samples that are not searched: they were
    dropped and stay so. ``twins`` has sample_id and twin of known samples that had one; ``border`` the previous run's
    pairs nearest to the threshold, of samples that are still there, unchanged.
    """

    facts: pa.Table
    grids: np.ndarray
    blind: np.ndarray
    n_own: int
    known: np.ndarray
    carried: pa.Table | None
    twins: pa.Table | None
    border: pa.Table | None
    taking_part: np.ndarray


def dedup_rows(context: StageContext, raw_dataset: Table) -> DedupRows:
    """Gather the rows of a dataset's search for duplicates."""
    own = _read(raw_dataset, "error IS NULL")
    others = [_kept_of(context, name) for name in context.options.reference_datasets]
    facts = pa.concat_tables([own[0], *(o[0] for o in others)])
    grids = np.concatenate([own[1], *(o[1] for o in others)]) if others else own[1]
    n, n_own = len(facts), len(own[0])
    known = np.arange(n) >= n_own
    carried, twins, border = None, None, None
    taking_part = np.ones(n, bool)
    if context.previous is not None:
        kept_before, carried, twins, border = _verdicts(raw_dataset, context.previous)
        known[:n_own] = pc.is_in(own[0]["sample_id"], kept_before).to_numpy()
        taking_part[:n_own] = ~pc.is_in(own[0]["sample_id"], carried["sample_id"].combine_chunks()).to_numpy()
    blind = facts["blind"].to_numpy()
    return DedupRows(facts.drop_columns("blind"), grids, blind, n_own, known, carried, twins, border, taking_part)


def _read(raw: Table, where: str) -> tuple[pa.Table, np.ndarray]:
    columns = ["'' AS dataset", "sample_id", "subset", "uri", "sha256", "n_bytes", PIXELS, BLIND]
    facts = raw.arrow(columns, where=where)
    return facts, _laid_out(facts["blind"].to_numpy(), raw.matrix("grid", where=f"{where} AND grid IS NOT NULL"))


def _laid_out(blind: np.ndarray, grids: np.ndarray) -> np.ndarray:
    """Put the grids of the pictures at their rows, zeros at those of texts."""
    if not blind.any():
        return grids
    out = np.zeros((len(blind), GRID_LENGTH), np.uint16)
    if not blind.all():
        out[~blind] = grids
    return out


def _kept_of(context: StageContext, name: str) -> tuple[pa.Table, np.ndarray]:
    """Return facts and grids of what another dataset keeps."""
    if name == context.dataset:
        raise EspalierError(f"The card of {name!r} compares it with itself.", "Take it out of reference_datasets.")
    raw, dedup = context.references[f"raw_dataset of {name}"], context.references[f"dedup_set of {name}"]
    with session(raw=raw, dedup=dedup) as db:
        kept = db.sql(
            f"""SELECT '{name}' AS dataset, sample_id, subset, uri, raw.sha256, n_bytes,
                {PIXELS}, {BLIND}, grid
                FROM raw JOIN dedup USING (sample_id) WHERE dedup.kept ORDER BY sample_id"""
        ).to_arrow_table()
    grids = array_block(kept["grid"].combine_chunks())  # of those that have one
    return kept.drop_columns("grid"), _laid_out(kept["blind"].to_numpy(), grids)


def _verdicts(raw: Table, previous: Table) -> tuple[pa.Array, pa.Table, pa.Table, pa.Table]:
    """Return what the previous run found about samples of unchanged content.

    The ids kept, the verdicts on dropped ones that still hold, twins, and the pairs nearest to the threshold.
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
    return kept["sample_id"].combine_chunks(), carried, twins, border
