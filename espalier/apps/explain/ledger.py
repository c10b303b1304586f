"""The ledger: what each stage decided about each sample, in words for one sample, and two recipes compared."""

import difflib
from pathlib import Path
from typing import Any

from espalier.apps.explain import explanations
from espalier.apps.explain.explanations import Case, fetch, row_of
from espalier.core.errors import UsageError
from espalier.core.prune.counts import kept_counts
from espalier.io.home import Home
from espalier.io.warehouse import Table
from espalier.io.warehouse.table import session

JOINED = """
CREATE TEMP TABLE d AS SELECT a.sample_id, coalesce(a.cluster, b.cluster) AS cluster, a.labels,
  a.kept AS in_a, b.kept AS in_b FROM a JOIN b USING (sample_id) WHERE a.kept OR b.kept
"""
SIDES = {"both": "in_a AND in_b", "only_a": "in_a AND NOT in_b", "only_b": "in_b AND NOT in_a"}


def why(home: Home, dataset: str, sample_id: str) -> dict[str, Any]:
    """Tell every stage's verdict on a sample; an unknown one is refused with the nearest ids.

    ``steps`` has stage to sentence, in the order of the graph, ``recipes`` recipe to ``kept`` and ``reason``; the rows
    behind the sentences stand under a key an asset.
    """
    store = home.store()
    raw_dataset = store.need("raw_dataset", dataset)
    raw = row_of(raw_dataset, sample_id)
    if raw is None:
        raise UsageError(f"{dataset!r} has no sample {sample_id!r}.", nearest_ids(raw_dataset, sample_id))
    steps = {"raw_dataset": explanations.landed(raw), "by hand": _pending(home, dataset, sample_id)}
    rows: dict[str, Any] = {"raw_dataset": raw}
    for stage, explain in (
        ("dedup_set", explanations.dedup),
        ("embeddings", explanations.embedded),
        ("semantic_dedup_set", explanations.semantic),
        ("clusters", explanations.cluster),
    ):
        table = store.get(stage, dataset)
        if table is None:
            break
        rows[stage] = row_of(table, sample_id)
        steps[stage] = explain(Case(table, rows[stage], raw, raw_dataset))
    manifests = {recipe: store.need("pruned_manifest", dataset, recipe) for recipe in store.recipes(dataset)}
    verdicts = {recipe: row for recipe, table in manifests.items() if (row := row_of(table, sample_id))}
    return {
        "dataset": dataset,
        "sample_id": sample_id,
        "steps": {stage: sentence for stage, sentence in steps.items() if sentence},
        "recipes": {recipe: {"kept": row["kept"], "reason": row["reason"]} for recipe, row in verdicts.items()},
        **rows,
        **({"pruned_manifest": verdicts} if verdicts else {}),
    }


def diff(home: Home, dataset: str, one: str, other: str) -> dict[str, Any]:
    """Compare two manifests of a dataset: what only one keeps, by cluster and by label."""
    a, b = (home.store().need("pruned_manifest", dataset, recipe) for recipe in (one, other))
    with session(a=a, b=b) as db:

        def rows(select: str) -> list[dict[str, Any]]:
            return db.sql(select).to_arrow_table().to_pylist()

        db.execute(JOINED)
        counts = ", ".join(f"count(*) FILTER ({where}) AS {key}" for key, where in SIDES.items())
        only = [(key, where) for key, where in SIDES.items() if key != "both"]
        ids = {key: rows(f"SELECT sample_id FROM d WHERE {where} ORDER BY sample_id") for key, where in only}
        return {
            "dataset": dataset,
            "recipe_a": one,
            "recipe_b": other,
            "counts_a": kept_counts(a.meta.stats),
            "counts_b": kept_counts(b.meta.stats),
            **rows(f"SELECT {counts} FROM d")[0],
            "clusters": rows(f"SELECT cluster, {counts} FROM d GROUP BY cluster ORDER BY cluster"),
            "labels": rows(
                f"SELECT label, {counts} FROM (SELECT *, unnest(labels) AS label FROM d) GROUP BY label ORDER BY label"
            ),
            "samples": {key: [row["sample_id"] for row in only_there] for key, only_there in ids.items()},
        }


def check_samples(home: Home, dataset: str, samples: tuple[str, ...]) -> None:
    """Refuse ids that the dataset does not have, when it has been read already."""
    table = home.store().get("raw_dataset", dataset)
    for sample in samples if table else ():
        assert table is not None
        if row_of(table, sample) is None:
            raise UsageError(f"{dataset!r} has no sample {sample!r}.", nearest_ids(table, sample))


def nearest_ids(table: Table, sample_id: str) -> str:
    """Return the remedy for an id that is not there: those that are most like it."""
    select = "SELECT sample_id FROM data"
    alike = fetch(
        table, f"{select} WHERE contains(sample_id, ?) ORDER BY sample_id LIMIT 3", Path(sample_id).name
    ) or fetch(table, f"{select} ORDER BY jaro_winkler_similarity(sample_id, ?) DESC, sample_id LIMIT 3", sample_id)
    near = difflib.get_close_matches(sample_id, [row[0] for row in alike], 3, 0)
    return f"Did you mean {' or '.join(repr(name) for name in near or [row[0] for row in alike])}?"


def _pending(home: Home, dataset: str, sample_id: str) -> str:
    """Tell a verdict by hand that no run has honoured yet."""
    zone, table = home.zone(), home.store().get("dedup_set", dataset)
    if dataset not in zone.names() or table is None:
        return ""
    card, params = zone.card(dataset), table.meta.params
    for verb, now in (("keep", card.keep), ("drop", card.drop)):
        if (sample_id in now) != (sample_id in (params.get(verb) or ())):
            word = f"marked: {verb}" if sample_id in now else f"no longer marked: {verb}"
            return f"{word}; the next run honours it (espalier dedup {dataset})"
    return ""
