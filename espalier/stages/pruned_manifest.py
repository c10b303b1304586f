"""``pruned_manifest``: every sample of a dataset under one recipe, kept or not, and why."""

import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa

from espalier.core.errors import UsageError
from espalier.core.prune.base import Rule, Selection
from espalier.core.prune.counts import kept_counts, kept_words
from espalier.core.prune.reasons import reasons
from espalier.core.prune.select import needs, pruned_subsets, select
from espalier.core.recipe import Recipe
from espalier.io.drawing import plots
from espalier.io.results import manifest_folder, write_manifest
from espalier.io.warehouse import Draft, Table
from espalier.io.warehouse.table import session
from espalier.stages.context import Picture, StageContext, StageResult
from espalier.stages.graph import CHAIN, MANIFEST, STAGES
from espalier.stages.loading import features_for, marked, subsets_of

FATES = """
SELECT r.sample_id, r.subset, r.uid, r.sha256,
  coalesce(p.kept, false) AS kept,
  CASE WHEN r.error IS NOT NULL THEN 'unreadable'
       WHEN d.stage = 'by hand' THEN 'dropped by hand'
       WHEN NOT d.kept THEN d.stage || ' duplicate'
       WHEN x.reason IS NOT NULL THEN 'not embedded'
       WHEN NOT s.kept THEN 'semantic duplicate'
       WHEN p.filtered THEN 'low CLIP score'
       WHEN p.kept THEN 'kept' ELSE 'pruned' END AS fate,
  CASE WHEN r.error IS NOT NULL THEN 'unreadable: ' || r.error
       WHEN d.stage = 'exact' AND NOT d.kept
         THEN CASE r.uri WHEN '' THEN 'the same text as ' ELSE 'the same picture as ' END
           || coalesce(d.via || ', a near duplicate of ', '') || d.copied
       WHEN d.stage = 'by hand' THEN 'dropped by hand'
       WHEN NOT d.kept THEN format('near duplicate of {} at {:.3f}', d.copied, d.similarity)
       WHEN x.reason IS NOT NULL THEN 'could not be embedded: ' || x.reason
       WHEN NOT s.kept THEN format('semantic duplicate of {} at cosine {:.3f}', s.duplicate_of, s.similarity)
       ELSE p.reason END AS reason,
  coalesce(d.duplicate_of, s.duplicate_of) AS duplicate_of,
  CASE WHEN NOT d.kept THEN d.similarity WHEN NOT s.kept THEN s.similarity END AS similarity,
  p.cluster, p.distance, p.score, p.rank, r.labels
FROM raw_dataset r
LEFT JOIN (SELECT *, duplicate_of || coalesce(' of dataset ' || of_dataset, '') AS copied FROM dedup_set) d
  USING (sample_id)
LEFT JOIN in_embeddings.errors x USING (sample_id)
LEFT JOIN semantic_dedup_set s USING (sample_id)
LEFT JOIN picked p USING (sample_id)
ORDER BY sample_id
"""


def run(context: StageContext, **tables: Table) -> StageResult:
    """Decide under one recipe which samples are kept, and write the manifest's folder."""
    recipe = parse_key(context.recipe)
    features = features_for(needs(recipe), tables)
    codes, names = subsets_of(tables["raw_dataset"], tables["clusters"])
    ids = tables["clusters"].arrow(["sample_id"])["sample_id"].combine_chunks()
    selection = select(
        recipe, features, np.array(names, dtype=object)[codes], forced_keep=marked(ids, context.options.keep)
    )
    picked = _picked(tables["clusters"], selection, reasons(selection, recipe))
    with session(**tables, picked=picked) as db:
        rows = db.sql(FATES).to_arrow_table()
    stats = _stats(context, recipe, tables, rows, selection)
    pruned = pruned_subsets(recipe)
    stats["whole_subsets"] = sorted(set(names) - set(pruned)) if pruned else []
    link = manifest_folder(context.home.manifests, context.dataset, context.recipe)
    folder = write_manifest(link, rows, stats)
    size = tables["cluster_complexity"].column("size")
    kept = np.bincount(picked["cluster"].to_numpy()[selection.kept], minlength=len(size))
    told = kept_words(stats)
    title = f"{context.recipe}: kept {told}"
    return StageResult(
        Draft(rows, stats=stats),
        shown={
            "manifest": link,
            "kept": told,
            "kept by cluster": Picture(plots.kept_dropped(size, kept, title), title),
        },
        folders=(folder,),
    )


def parse_key(key: str) -> Recipe:
    """Parse a recipe partition key; one that is not written in the canonical form is refused."""
    recipe = Recipe.parse(key)
    if str(recipe) != key:
        raise UsageError(f"The recipe {key!r} has another canonical form.", f"Add the partition {str(recipe)!r}.")
    return recipe


def _picked(clusters: Table, selection: Selection, words: np.ndarray) -> pa.Table:
    rows = clusters.arrow(["sample_id", "cluster", "distance"])
    return pa.table(
        {
            **dict(zip(rows.column_names, rows.columns, strict=True)),
            "kept": pa.array(selection.kept),
            "score": pa.array(selection.score),
            "rank": pa.array(selection.rank),
            "reason": pa.array(words.tolist(), pa.string()),
            "filtered": pa.array(_ruled(selection, Rule.FILTERED)),
        }
    )


def _ruled(selection: Selection, rule: Rule) -> np.ndarray:
    """Return which samples a rule decided: (n,) bool."""
    return np.zeros(len(selection.kept), bool) if selection.rule is None else selection.rule == rule


def _stats(
    context: StageContext, recipe: Recipe, tables: Mapping[str, Table], rows: pa.Table, selection: Selection
) -> dict[str, Any]:
    counts = {c["values"]: c["counts"] for c in rows["fate"].value_counts().to_pylist()}
    embeddings = tables["embeddings"].meta
    whole = int(_ruled(selection, Rule.WHOLE).sum())
    n_filtered = int(_ruled(selection, Rule.FILTERED).sum())
    n_total = len(selection.kept) - whole - n_filtered
    kept = {"n_kept": counts.get("kept", 0), "n_total": n_total, "n_whole": whole, "n_filtered": n_filtered}
    return {
        "dataset": context.dataset,
        **kept_counts({"recipe": context.recipe, **kept}),
        "n_raw": len(rows),
        "n_unreadable": counts.get("unreadable", 0),
        "n_by_hand": counts.get("dropped by hand", 0),
        "n_not_embedded": counts.get("not embedded", 0),
        "n_exact": counts.get("exact duplicate", 0),
        "n_near": counts.get("near duplicate", 0),
        "n_semantic": counts.get("semantic duplicate", 0),
        "n_duplicates": sum(n for fate, n in counts.items() if fate.endswith("duplicate")),
        "n_asked": recipe.amount.target(n_total) + whole,
        **selection.measured,
        "method": recipe.method.name,
        "params": json.dumps(dict(recipe.params()), sort_keys=True),
        **recipe.method.used(tables["cluster_complexity"].meta.params),
        "seed": recipe.scope.seed,
        "encoder": embeddings.stats["encoder"],
        "encoder_id": embeddings.stats["encoder_id"],
        "fingerprint": tables["raw_dataset"].meta.inputs["listing"],
        "code": {name: STAGES[name].version for name in (*CHAIN, MANIFEST)},
        "espalier": version("espalier"),
    }
