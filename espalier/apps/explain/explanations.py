"""The words of ``espalier why``: one stage's verdict on one sample, for somebody who knows none of the stages.

Each function takes a :class:`Case` and returns a sentence, or '' where the stage has nothing to say.
"""

from dataclasses import dataclass
from typing import Any

from espalier.apps.explain.transforms import in_words
from espalier.io.formats.read.base import subset_role
from espalier.io.warehouse import Table

COPIES_SHOWN = 5
WIDE = ("grid", "thumb", "vector", "hash", "text_hash")


@dataclass(frozen=True)
class Case:
    """One stage's row of one sample (None where the stage has none), and what it takes to explain it.

    ``raw`` is the sample's row of raw_dataset.
    """

    table: Table
    row: dict[str, Any] | None
    raw: dict[str, Any]
    raw_dataset: Table


def fetch(table: Table, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Return what a query over a stored table gives."""
    with table.connect() as db:
        return db.execute(sql, values).fetchall()


def row_of(table: Table, sample_id: str) -> dict[str, Any] | None:
    """Return a sample's row without its arrays, or None."""
    with table.connect() as db:
        row = db.sql(
            f"SELECT COLUMNS(lambda c: c NOT IN {WIDE}) FROM data WHERE sample_id = ?", params=[sample_id]
        ).to_arrow_table()
    return next(iter(row.to_pylist()), None)


def landed(raw: dict[str, Any]) -> str:
    """Say what was read."""
    if raw["error"]:
        return f"unreadable: {raw['error']}. It is left out of everything below."
    labels = f", labels {', '.join(raw['labels'])}" if raw["labels"] else ""
    subset = f", subset {raw['subset']}" if raw["subset"] else ""
    size = f"{raw['width']} x {raw['height']} pixels" if raw["uri"] else "a text"
    return f"{size}, {raw['n_bytes']:,} bytes{subset}{labels}"


def dedup(case: Case) -> str:
    """Tell of exact and near duplicates."""
    row = case.row
    if row is None:
        return ""
    if row["kept"]:
        return f"kept{_though(case, row['twin'])}{_chained(case, row)}{_copies(case)}"
    if row["stage"] == "by hand":
        return "dropped by hand (espalier drop DATASET SAMPLE --clear takes that back)"
    of = row["duplicate_of"] + (f" of dataset {row['of_dataset']}" if row["of_dataset"] else "")
    return f"dropped: {(_equal if row['stage'] == 'exact' else _near)(case, row, of)}{_leak(case, row)}"


def embedded(case: Case) -> str:
    """Name the encoder, or why there is no embedding."""
    row, stats = case.row, case.table.meta.stats
    if row is not None:
        score = f", CLIP score {row['clip_score']:.3f}" if row.get("clip_score") is not None else ""
        return f"by {stats['encoder']} ({stats['encoder_id']}){score}"
    for (reason,) in fetch(case.table, "SELECT reason FROM errors WHERE sample_id = ?", case.raw["sample_id"]):
        return f"could not be embedded: {reason}. It is left out of everything below."
    return ""


def semantic(case: Case) -> str:
    """Tell of semantic duplicates."""
    row = case.row
    if row is None:
        return ""
    if row["kept"]:
        return f"kept{_though(case, None)}{_copies(case)}"
    limit = 1 - max(case.table.meta.params["eps"], 0)
    through = row["via"] if row["via"] != row["duplicate_of"] else None
    via = f" through {through}, which was dropped too (rule paper)" if through else ""
    other = row_of(case.table, row["via"])  # the pair that decided; neighbouring clusters are searched too (n_probe)
    assert other is not None
    here, there = sorted((row["fine_cluster"], other["fine_cluster"]))
    met = f"both lie in fine cluster {here}" if here == there else f"they lie in fine clusters {here} and {there}"
    return (
        f"dropped: semantic duplicate of {row['duplicate_of']}{via}: the cosine of their embeddings, "
        f"{row['similarity']:.3f}, is above the limit {limit:g}; {met}"
    )


def cluster(case: Case) -> str:
    """Tell the place in its cluster."""
    row = case.row
    if row is None:
        return ""
    counts = "SELECT count(*), count(*) FILTER (distance > ?) FROM data WHERE cluster = ?"
    ((size, farther),) = fetch(case.table, counts, row["distance"], row["cluster"])
    place = f"{farther:,} of its {size:,} samples are farther out" if size > 1 else "its only sample"
    return f"in cluster {row['cluster']}, at distance {row['distance']:.3f} from the centre; {place}"


def _equal(case: Case, row: dict[str, Any], of: str) -> str:
    how = {"bytes": "the same file as", "pixels": "pixel for pixel the same picture as"}
    same = how.get(row.get("exact_by") or "", "the same picture as")  # rows of older code do not say by what
    same = same if case.raw["uri"] else "the same text as"
    if row["via"]:
        return f"{same} {row['via']}, which is a near duplicate of {of} (similarity {row['similarity']:.3f})"
    return f"{same} {of}, which is kept"


def _near(case: Case, row: dict[str, Any], of: str) -> str:
    verified = _aligned(case, row)
    if verified:
        return f"near duplicate of {of}, which is kept: {verified}, and copies are above {_threshold(case)}"
    mirrored = ", mirrored" if row["mirrored"] else ""
    number = f"similarity {row['similarity']:.3f}, and copies are above {_threshold(case)}"
    return f"near duplicate of {of}{mirrored}, which is kept: {number}"


def _threshold(case: Case) -> str:
    return f"{case.table.meta.stats['threshold']:g}"


def _aligned(case: Case, row: dict[str, Any]) -> str:
    """Tell how a verified copy lies in the picture that stays; "" where it was found by its grid."""
    pairs = fetch(
        case.table,
        """SELECT transform, mirrored, similarity, overlap FROM copies
           WHERE sample_id = ? AND of_sample = ? AND of_dataset IS NOT DISTINCT FROM ? AND transform IS NOT NULL""",
        row["sample_id"],
        row["duplicate_of"],
        row["of_dataset"],
    )
    for transform, mirrored, similarity, overlap in pairs:
        size = {"width": case.raw["width"], "height": case.raw["height"]}
        said = in_words(transform, mirrored=mirrored, **size)
        alike = f"alike at {similarity:.2f} over {overlap:.0%} of the picture".replace("%", " %")
        return f"{said}; {alike}" if said else alike
    return ""


def _leak(case: Case, row: dict[str, Any]) -> str:
    """Say that a copy stands in two subsets."""
    if row["of_dataset"]:
        return ""
    other = row_of(case.raw_dataset, row["duplicate_of"])
    if other is None or other["subset"] == case.raw["subset"]:
        return ""
    roles = case.table.meta.params.get("protect") or ()
    why = f"{other['subset']} is protected and loses nothing" if subset_role(other["subset"]) in roles else "a leak"
    return f"; it stood in subset {case.raw['subset'] or 'none'}, the other in {other['subset'] or 'none'}: {why}"


def _though(case: Case, twin: str | None) -> str:
    """Say what kept a sample beside being no copy."""
    params = case.table.meta.params
    if case.raw["sample_id"] in (params.get("keep") or ()):
        return f" by hand, though it is a copy of {twin}" if twin else " by hand (espalier keep)"
    if not twin:
        return ""
    protected = subset_role(case.raw["subset"]) in (params.get("protect") or ())
    why = f"subset {case.raw['subset']} is protected" if protected else "an earlier run kept it"
    return f", though it is a copy of {twin}: {why}"


def _chained(case: Case, row: dict[str, Any]) -> str:
    """Tell the chain by which a kept sample hangs together with others."""
    if not row["chained"]:
        return ""
    via = row["via"]
    link = row_of(case.table, via)
    keeper = (link or {}).get("duplicate_of")
    if keeper is None:
        return f"; chained: a copy of it resembles {via}, but it is not similar enough to {via} to be its copy"
    return f"; chained: linked with {via}, a copy of {keeper}, but not similar enough to {keeper} to be its copy"


def _copies(case: Case) -> str:
    of = "SELECT sample_id FROM data WHERE duplicate_of = ? ORDER BY sample_id"
    copies = [sample for (sample,) in fetch(case.table, of, case.raw["sample_id"])]
    if not copies:
        return ""
    more = f" and {len(copies) - COPIES_SHOWN} more" if len(copies) > COPIES_SHOWN else ""
    were = "copies were" if len(copies) > 1 else "copy was"
    return f"; {len(copies)} {were} dropped in its favour: {', '.join(copies[:COPIES_SHOWN])}{more}"
