"""The ledger: what each stage decided about each sample, in words for one sample, and two recipes compared."""

import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from espalier.errors import UsageError
from resources.home import Home
from resources.warehouse import Table
from resources.warehouse.session import session

COPIES_SHOWN = 5


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
    raw = _row(store.need("raw_dataset", dataset), sample_id)
    if raw is None:
        raise UsageError(
            f"{dataset!r} has no sample {sample_id!r}.", nearest_ids(store.need("raw_dataset", dataset), sample_id)
        )
    fate = Fate(sample_id, facts={"raw_dataset": raw})
    fate.steps.append(("raw_dataset", _landed(raw)))
    for stage, words in (
        ("dedup_set", _dedup),
        ("embeddings", _embedded),
        ("semantic_dedup_set", _semantic),
        ("clusters", _cluster),
    ):
        table = store.get(stage, dataset)
        if table is None:
            break
        row = _row(table, sample_id)
        fate.facts[stage] = row
        said = words(table, row, sample_id)
        if not raw["uri"]:
            said = said.replace("the same picture", "the same text")
        if said:
            fate.steps.append((stage, said))
    for recipe in store.recipes(dataset):
        row = _row(store.need("pruned_manifest", dataset, recipe), sample_id)
        if row:
            fate.recipes[recipe] = (row["kept"], row["reason"])
            fate.facts.setdefault("pruned_manifest", {})[recipe] = row
    return fate


def diff(home: Home, dataset: str, one: str, other: str) -> dict[str, Any]:
    """Compare two manifests of a dataset: what only one keeps, by cluster and by label."""
    store = home.store()
    with session(a=store.need("pruned_manifest", dataset, one), b=store.need("pruned_manifest", dataset, other)) as db:
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
        if _row(table, sample) is None:
            raise UsageError(f"{dataset!r} has no sample {sample!r}.", nearest_ids(table, sample))


def _row(table: Table, sample_id: str) -> dict[str, Any] | None:
    with table.connect() as db:
        wide = ("grid", "vector", "hash", "text_hash")
        names = [c[0] for c in db.execute("DESCRIBE data").fetchall() if c[0] not in wide]
        found = db.execute(f"SELECT {', '.join(names)} FROM data WHERE sample_id = ?", [sample_id]).fetchall()
    return dict(zip(names, found[0], strict=True)) if found else None


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


def _landed(raw: dict[str, Any]) -> str:
    if raw["error"]:
        return f"unreadable: {raw['error']}. It is left out of everything below."
    labels = f", labels {', '.join(raw['labels'])}" if raw["labels"] else ""
    subset = f", subset {raw['subset']}" if raw["subset"] else ""
    size = f"{raw['width']} x {raw['height']} pixels" if raw["uri"] else "a text"
    return f"{size}, {raw['n_bytes']:,} bytes{subset}{labels}"


def _copies(table: Table, sample_id: str) -> str:
    with table.connect() as db:
        found = db.execute(
            "SELECT sample_id FROM data WHERE duplicate_of = ? ORDER BY sample_id", [sample_id]
        ).fetchall()
    if not found:
        return ""
    names = ", ".join(row[0] for row in found[:COPIES_SHOWN])
    more = f" and {len(found) - COPIES_SHOWN} more" if len(found) > COPIES_SHOWN else ""
    return f"; {len(found)} dropped in its favour: {names}{more}"


def _dedup(table: Table, row: dict[str, Any] | None, sample_id: str) -> str:
    if row is None:
        return ""
    if row["kept"]:
        twin = f"; protected, though it is the same picture as {row['twin']}" if row["twin"] else ""
        chained = f"; connected with its likes only through {row['via']}, so kept" if row["chained"] else ""
        return f"kept{twin}{chained}{_copies(table, sample_id)}"
    if row["stage"] == "by hand":
        return "dropped by hand"
    of = f"{row['duplicate_of']}" + (f" of dataset {row['of_dataset']}" if row["of_dataset"] else "")
    how = " when mirrored" if row["mirrored"] else ""
    threshold = table.meta.stats["threshold"]
    if row["stage"] == "exact":
        return f"dropped: the same picture as {of}, which is kept"
    return f"dropped: near duplicate of {of}{how}, similarity {row['similarity']:.3f} (threshold {threshold:g})"


def _embedded(table: Table, row: dict[str, Any] | None, sample_id: str) -> str:
    if row is not None:
        score = f", CLIP score {row['clip_score']:.3f}" if row.get("clip_score") is not None else ""
        return f"by {table.meta.stats['encoder']} ({table.meta.stats['encoder_id']}){score}"
    with table.connect() as db:
        found = db.execute("SELECT reason FROM errors WHERE sample_id = ?", [sample_id]).fetchall()
    return f"could not be embedded: {found[0][0]}" if found else ""


def _semantic(table: Table, row: dict[str, Any] | None, sample_id: str) -> str:
    if row is None:
        return ""
    if row["kept"]:
        return f"kept{_copies(table, sample_id)}"
    limit = 1 - table.meta.params["eps"]
    via = f" through {row['via']}" if row["via"] and row["via"] != row["duplicate_of"] else ""
    return f"dropped: means the same as {row['duplicate_of']}{via}, cosine {row['similarity']:.3f} (limit {limit:g})"


def _cluster(table: Table, row: dict[str, Any] | None, _: str) -> str:
    if row is None:
        return ""
    with table.connect() as db:
        size, farther = db.execute(
            "SELECT count(*), count(*) FILTER (distance > ?) FROM data WHERE cluster = ?",
            [row["distance"], row["cluster"]],
        ).fetchall()[0]
    return f"cluster {row['cluster']} of {size:,} samples; distance {row['distance']:.3f}, {farther:,} are farther out"
