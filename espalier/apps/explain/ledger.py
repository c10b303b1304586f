"""The ledger: what each stage decided about each sample, in words for one sample, and two recipes compared."""

import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from espalier.apps.explain import explanations as ledger_words
from espalier.apps.explain.explanations import Case, row_of
from espalier.core.errors import UsageError
from espalier.core.prune.counts import kept_counts
from espalier.io.home import Home
from espalier.io.landing.zone import LandingZone
from espalier.io.warehouse import Table
from espalier.io.warehouse.session import session


@dataclass(frozen=True)
class Fate:
    """What happened to one sample.

    Attributes
    ----------
    sample_id : str
    steps : list of (stage, words)
        In the order of the graph.
    recipes : dict of recipe to (kept, words)
    facts : dict
        The numbers behind the words, for ``--json``.
    """

    sample_id: str
    steps: list[tuple[str, str]] = field(default_factory=list)
    recipes: dict[str, tuple[bool, str]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def why(home: Home, dataset: str, sample_id: str) -> Fate:
    """Tell every stage's verdict on a sample.

    Raises
    ------
    UsageError
        When the dataset has no such sample, with the nearest ids.
    """
    store = home.store()
    raw = row_of(store.need("raw_dataset", dataset), sample_id)
    if raw is None:
        raise UsageError(
            f"{dataset!r} has no sample {sample_id!r}.", nearest_ids(store.need("raw_dataset", dataset), sample_id)
        )
    fate = Fate(sample_id, facts={"raw_dataset": raw})
    fate.steps.append(("raw_dataset", ledger_words.landed(raw)))
    pending = _pending(home, dataset, sample_id)
    if pending:
        fate.steps.append(("by hand", pending))
    for stage, words in (
        ("dedup_set", ledger_words.dedup),
        ("embeddings", ledger_words.embedded),
        ("semantic_dedup_set", ledger_words.semantic),
        ("clusters", ledger_words.cluster),
    ):
        table = store.get(stage, dataset)
        if table is None:
            break
        row = row_of(table, sample_id)
        fate.facts[stage] = row
        said = words(Case(table, row, raw, store.need("raw_dataset", dataset)))
        if said:
            fate.steps.append((stage, said))
    for recipe in store.recipes(dataset):
        row = row_of(store.need("pruned_manifest", dataset, recipe), sample_id)
        if row:
            fate.recipes[recipe] = (row["kept"], row["reason"])
            fate.facts.setdefault("pruned_manifest", {})[recipe] = row
    return fate


def diff(home: Home, dataset: str, one: str, other: str) -> dict[str, Any]:
    """Compare two manifests of a dataset: what only one keeps, by cluster and by label."""
    store = home.store()
    a, b = (store.need("pruned_manifest", dataset, recipe) for recipe in (one, other))
    with session(a=a, b=b) as db:
        db.execute(
            """CREATE TEMP TABLE d AS SELECT a.sample_id, coalesce(a.cluster, b.cluster) AS cluster, a.labels,
               a.kept AS in_a, b.kept AS in_b FROM a JOIN b USING (sample_id) WHERE a.kept OR b.kept"""
        )
        count = (
            "count(*) FILTER (in_a AND in_b), count(*) FILTER (in_a AND NOT in_b), count(*) FILTER (in_b AND NOT in_a)"
        )
        both, only_a, only_b = db.execute(f"SELECT {count} FROM d").fetchall()[0]
        clusters = db.execute(f"SELECT cluster, {count} FROM d GROUP BY cluster ORDER BY cluster").fetchall()
        labels = db.execute(
            f"SELECT label, {count} FROM (SELECT *, unnest(labels) AS label FROM d) GROUP BY label ORDER BY label"
        ).fetchall()
        ids = {
            key: [row[0] for row in db.execute(f"SELECT sample_id FROM d WHERE {where} ORDER BY sample_id").fetchall()]
            for key, where in (("only_a", "in_a AND NOT in_b"), ("only_b", "in_b AND NOT in_a"))
        }
    keys = ("both", "only_a", "only_b")
    return {
        "dataset": dataset,
        "recipe_a": one,
        "recipe_b": other,
        "counts_a": kept_counts(a.meta.stats),
        "counts_b": kept_counts(b.meta.stats),
        "both": both,
        "only_a": only_a,
        "only_b": only_b,
        "clusters": [{"cluster": row[0], **dict(zip(keys, row[1:], strict=True))} for row in clusters],
        "labels": [{"label": row[0], **dict(zip(keys, row[1:], strict=True))} for row in labels],
        "samples": ids,
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
    name = Path(sample_id).name
    with table.connect() as db:
        found = db.execute(
            "SELECT sample_id FROM data WHERE contains(sample_id, ?) ORDER BY sample_id LIMIT 3", [name]
        ).fetchall()
        ids = [row[0] for row in found] or [
            row[0]
            for row in db.execute(
                "SELECT sample_id FROM data ORDER BY jaro_winkler_similarity(sample_id, ?) DESC, sample_id LIMIT 3",
                [sample_id],
            ).fetchall()
        ]
    near = difflib.get_close_matches(sample_id, ids, 3, 0) or ids
    return f"Did you mean {' or '.join(map(repr, near))}?"


def _pending(home: Home, dataset: str, sample_id: str) -> str:
    """Tell a verdict by hand that no run has honoured yet."""
    zone, table = LandingZone(home.landing), home.store().get("dedup_set", dataset)
    if dataset not in zone.names() or table is None:
        return ""
    card, params = zone.card(dataset), table.meta.params
    for verb, now in (("keep", card.keep), ("drop", card.drop)):
        if (sample_id in now) != (sample_id in (params.get(verb) or ())):
            word = f"marked: {verb}" if sample_id in now else f"no longer marked: {verb}"
            return f"{word}; the next run honours it (espalier dedup {dataset})"
    return ""
