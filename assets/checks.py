"""The checks of the assets: invariants that block, matters of taste that warn. Each looks at what is staged."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from espalier.core.linalg import not_unit
from espalier.io.warehouse import Table
from espalier.io.warehouse.table import array_block, session
from espalier.stages.context import StageContext

MUCH_UNREADABLE = 0.05

Result = tuple[bool, Mapping[str, Any]]
CheckFunction = Callable[[Table, Mapping[str, Table], StageContext], Result]


@dataclass(frozen=True)
class Check:
    """An invariant of an asset (blocking), or a matter of taste (a warning).

    ``run(staged, upstream, context)`` returns whether it holds and metadata that says why. Whether it blocks may
    depend on the dataset's options.
    """

    name: str
    description: str
    run: CheckFunction
    blocking: bool | Callable[[StageContext], bool] = True

    def blocks(self, context: StageContext) -> bool:
        """Return whether it blocks for this dataset."""
        return self.blocking if isinstance(self.blocking, bool) else self.blocking(context)


def _value(staged: Table, sql: str, **tables: Table) -> Any:
    with session(staged=staged, **tables) as db:
        row = db.execute(sql).fetchone()
    assert row is not None
    return row[0]


def _ids_unique(staged: Table, _: Mapping[str, Table], __: StageContext) -> Result:
    repeated = _value(staged, "SELECT count(*) - count(DISTINCT sample_id) FROM staged")
    return repeated == 0, {"repeated ids": repeated}


def _ids_known(staged: Table, upstream: Mapping[str, Table], _: StageContext) -> Result:
    unknown, repeated = _value(
        staged,
        """SELECT ((SELECT count(*) FROM staged ANTI JOIN raw USING (sample_id)),
                   (SELECT count(*) - count(DISTINCT sample_id) FROM staged))""",
        raw=upstream["raw_dataset"],
    )
    return unknown == 0 and repeated == 0, {"ids that raw_dataset lacks": unknown, "repeated ids": repeated}


def _some_readable(staged: Table, _: Mapping[str, Table], __: StageContext) -> Result:
    readable = _value(staged, "SELECT count(*) FROM staged WHERE error IS NULL")
    why = "" if readable else "No sample of this dataset can be read; the column error says why for each."
    return readable > 0, {"readable": readable, "why": why}


def _few_unreadable(staged: Table, _: Mapping[str, Table], __: StageContext) -> Result:
    share = _value(staged, "SELECT coalesce(avg((error IS NOT NULL)::INT), 0.0) FROM staged")
    return share <= MUCH_UNREADABLE, {"share unreadable": float(share), "allowed": MUCH_UNREADABLE}


def _duplicates_point_to_kept(staged: Table, _: Mapping[str, Table], __: StageContext) -> Result:
    names = staged.arrow(["*"], where="false").schema.names
    here = "s.of_dataset IS NULL" if "of_dataset" in names else "true"
    wrong = _value(
        staged,
        f"""SELECT count(*) FROM staged s LEFT JOIN staged k ON s.duplicate_of = k.sample_id
           WHERE s.duplicate_of IS NOT NULL AND {here} AND (s.kept OR NOT coalesce(k.kept, false))""",
    )
    return wrong == 0, {"dropped samples whose representative is not kept": wrong}


def _vectors_unit(staged: Table, _: Mapping[str, Table], __: StageContext) -> Result:
    columns = (batch.column(0) for batch in staged.batches(["vector"]))
    wrong = sum(column.null_count + len(not_unit(array_block(column))) for column in columns)
    return wrong == 0, {"vectors that are not finite and unit": wrong}


def _all_survivors(staged: Table, upstream: Mapping[str, Table], _: StageContext) -> Result:
    lost = _value(
        staged,
        """SELECT count(*) FROM dedup d ANTI JOIN staged s USING (sample_id)
           WHERE d.kept AND d.sample_id NOT IN (SELECT sample_id FROM in_staged.errors)""",
        dedup=upstream["dedup_set"],
    )
    return lost == 0, {"survivors with neither a vector nor a reason": lost}


def _clusters_not_empty(staged: Table, _: Mapping[str, Table], __: StageContext) -> Result:
    empty = _value(staged, "SELECT count(*) FROM in_staged.centroids c ANTI JOIN staged s ON c.cluster = s.cluster")
    return empty == 0, {"empty clusters": empty}


def _members_add_up(staged: Table, upstream: Mapping[str, Table], _: StageContext) -> Result:
    members, odd = _value(
        staged,
        """SELECT (sum(size)::BIGINT, count(*) FILTER (NOT (isfinite(d_intra) AND isfinite(d_inter)
                   AND isfinite(complexity) AND complexity >= 0))) FROM staged""",
    )
    clustered = len(upstream["clusters"])
    return (members or 0) == clustered and odd == 0, {
        "members": members,
        "clustered samples": clustered,
        "clusters without a finite complexity": odd,
    }


def _count_exact(staged: Table, _: Mapping[str, Table], __: StageContext) -> Result:
    kept = _value(staged, "SELECT count(*) FROM staged WHERE kept")
    asked = staged.meta.stats["n_asked"]
    return kept == asked, {"kept": kept, "asked": asked}


def _whole(staged: Table, upstream: Mapping[str, Table], _: StageContext) -> Result:
    raw = len(upstream["raw_dataset"])
    return len(staged) == raw, {"rows": len(staged), "samples in raw_dataset": raw}


def _no_leaks(staged: Table, _: Mapping[str, Table], __: StageContext) -> Result:
    leaks = _value(staged, "SELECT count(DISTINCT sample_id) FROM in_staged.leaks")
    return leaks == 0, {"samples that stand in two subsets or datasets": leaks, "see": "table leaks, and its pictures"}


def _not_worse(staged: Table, _: Mapping[str, Table], __: StageContext) -> Result:
    stats = staged.meta.stats
    return stats.get("difference", 0.0) >= -stats.get("margin", 0.0), {"verdict": stats["verdict"]}


def _all_written(staged: Table, upstream: Mapping[str, Table], _: StageContext) -> Result:
    asked = upstream["pruned_manifest"].meta.stats["n_kept"]
    return len(staged) == asked, {"written": len(staged), "kept by the manifest": asked}


ids_unique = Check("ids_unique", "No sample id stands twice.", _ids_unique)
ids_known = Check("ids_known", "Every sample id is one of raw_dataset, and none stands twice.", _ids_known)
some_readable = Check("some_readable", "At least one sample can be read.", _some_readable)
few_unreadable = Check(
    "few_unreadable", f"At most {MUCH_UNREADABLE:.0%} of the samples are unreadable.", _few_unreadable, blocking=False
)
duplicates_point_to_kept = Check(
    "duplicates_point_to_kept", "Every dropped copy names a sample that is kept.", _duplicates_point_to_kept
)
vectors_unit = Check("vectors_unit", "Every vector is finite and of length 1.", _vectors_unit)
all_survivors = Check("all_survivors", "Every survivor has a vector, or a reason why not.", _all_survivors)
clusters_not_empty = Check("clusters_not_empty", "Every cluster has a member.", _clusters_not_empty)
members_add_up = Check(
    "members_add_up", "Every clustered sample is counted once, every complexity is finite.", _members_add_up
)
count_exact = Check("count_exact", "Exactly as many samples are kept as the recipe asks for.", _count_exact)
whole = Check("every_sample_has_a_fate", "The manifest has a row for every sample of raw_dataset.", _whole)
no_leaks = Check(
    "no_leaks",
    "No picture stands in two subsets, or in a dataset compared against. The option leaks=block makes it blocking.",
    _no_leaks,
    blocking=lambda work: work.options.leaks == "block",
)
not_worse = Check(
    "not_worse_than_random", "The subset is no worse than random subsets of its size.", _not_worse, blocking=False
)
all_written = Check("all_written", "Every sample that the manifest keeps is in the export.", _all_written)
