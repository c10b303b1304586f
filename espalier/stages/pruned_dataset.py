"""``pruned_dataset``: the subset of a recipe written out as a dataset of its own."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from espalier.core.errors import EspalierError, UsageError
from espalier.core.prune.counts import kept_words
from espalier.io.files.listing import local_path
from espalier.io.formats.write.base import Subset
from espalier.io.formats.write.choose import choose_writer
from espalier.io.formats.write.place import check_replacement, default_target, file_facts, stage_export
from espalier.io.warehouse import Draft, Table
from espalier.io.warehouse.table import session
from espalier.stages.context import Markdown, StageContext, StageResult

KEPT = """
SELECT r.sample_id, r.subset, r.uri, r.labels, r.caption, r.uid FROM raw_dataset r
JOIN pruned_manifest m USING (sample_id) WHERE m.kept ORDER BY sample_id
"""
FILES = pa.schema([("sample_id", pa.string()), ("file", pa.string())])


def run(context: StageContext, raw_dataset: Table, pruned_manifest: Table) -> StageResult:
    """Write what a recipe keeps as a dataset of its own, in its own format or another."""
    if pruned_manifest.meta.inputs.get("raw_dataset") != raw_dataset.meta.data_version:
        what = f"{context.recipe} of {context.dataset!r} was made of an earlier raw_dataset."
        raise EspalierError(what, "Prune again, then export.")
    _unchanged(context, raw_dataset)
    source = str(raw_dataset.meta.stats["format"])
    format_name, write = choose_writer(source, context.options.export_format)
    target, overwrite = _target(context)
    with session(raw_dataset=raw_dataset, pruned_manifest=pruned_manifest) as db:
        rows = db.sql(KEPT).to_arrow_table()
    if not len(rows):
        raise EspalierError(f"{context.recipe} keeps no sample of {context.dataset!r}.", "Keep more.")
    names = raw_dataset.arrow(["name"], "categories")["name"].to_pylist()
    subset = Subset(context.card, source, rows, _shard_size(raw_dataset), tuple(names))
    link = context.options.export_mode == "link"
    with context.bar("writing", len(rows)) as advance:
        staged, written = stage_export(subset, write, target, link=link, overwrite=overwrite, progress=advance)
    try:
        _unchanged(context, raw_dataset)
        _check_in_place(context, raw_dataset, rows, target, staged.folder)
        facts = file_facts(staged.folder)
    except BaseException:
        staged.discard()
        raise
    files = written.files
    ids = [i for i in rows["sample_id"].to_pylist() if i in files]
    table = pa.table({"sample_id": pa.array(ids, pa.string()), "file": pa.array([files[i] or None for i in ids])})
    stats = {"folder": str(target), "format": format_name, "n_files": facts[0], "n_bytes": facts[1]}
    return StageResult(
        Draft(table.cast(FILES), stats=stats | {"notes": list(written.notes)}),
        shown={
            "export": target,
            "written": kept_words(pruned_manifest.meta.stats),
            **({"not in it": Markdown("\n".join(f"- {note}" for note in written.notes))} if written.notes else {}),
        },
        folders=(staged,),
    )


def _check_in_place(context: StageContext, raw_dataset: Table, kept: pa.Table, target: Path, fresh: Path) -> None:
    """Refuse to replace the dataset itself by an export that lacks what is no sample."""
    source = local_path(context.card.uri)
    if source is None or not target.exists() or not target.samefile(source):
        return
    rows = raw_dataset.arrow(["uri", "subset"])
    gone = set(rows["subset"].unique().to_pylist()) - set(kept["subset"].unique().to_pylist())
    check_replacement(target, rows["uri"].to_pylist(), fresh, gone)


def _target(context: StageContext) -> tuple[Path, bool]:
    """Return where the export goes and whether what is there may be replaced; our own folder always may."""
    if not context.options.export_to:
        return default_target(context.home.root, context.dataset, context.recipe), True
    target = Path(context.options.export_to)
    if not target.is_absolute():
        raise UsageError(f"export_to is {context.options.export_to!r}.", "Write an absolute path.")
    return target, context.options.export_overwrite


def _unchanged(context: StageContext, raw_dataset: Table) -> None:
    if context.home.zone().fingerprint(context.dataset).fingerprint != raw_dataset.meta.inputs["listing"]:
        raise EspalierError(
            f"The files of {context.dataset!r} changed since they were read.", "Prune again, then export."
        )


def _shard_size(raw_dataset: Table) -> int:
    """Return the samples of the source's fullest shard, or a usual number where it has no shards."""
    shards = pc.replace_substring_regex(raw_dataset.arrow(["uri"], where="uri LIKE 'tar:%'")["uri"], r"#\d+\+\d+$", "")
    counts = shards.value_counts().field("counts").to_numpy()
    return int(np.max(counts)) if len(counts) else Subset.shard_size
