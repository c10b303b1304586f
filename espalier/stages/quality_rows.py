"""The rows of subset_quality and comparison, and what is said of them: records, summaries, markdown."""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from espalier.core.evaluate import Quality
from espalier.core.evaluate.baseline import RAW_RANDOM, Comparison

FULL = "everything"
MEASURES = (
    "probe_accuracy",
    "knn_accuracy",
    "radius_mean",
    "radius_max",
    "redundancy",
    "label_divergence",
    "cluster_divergence",
)
_COUNTS = ("n", "n_kept", "n_dropped", "n_measured", "n_train", "n_test")
_VERDICT = pa.schema(
    [
        ("recipe", pa.string()),
        ("method", pa.string()),
        ("beside", pa.string()),
        ("beats", pa.bool_()),
        ("words", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("random_mean", pa.float64()),
        ("random_std", pa.float64()),
        ("difference", pa.float64()),
        ("margin", pa.float64()),
    ]
)


def quality_rows(measured: Iterable[tuple[str, int | None, Quality]], key: str, names: Sequence[str]) -> pa.Table:
    """Make rows of (what it is, seed or None, Quality); ``key`` names the first column.

    Classes that were lost stand by name.
    """
    types = {key: pa.string(), "seed": pa.int64(), **{f.name: pa.float64() for f in dataclasses.fields(Quality)}}
    types |= {"classes_lost": pa.list_(pa.string()), **dict.fromkeys(_COUNTS, pa.int64())}
    records = [
        {key: what, "seed": seed, **vars(quality), "classes_lost": [names[c] for c in quality.classes_lost]}
        for what, seed, quality in measured
    ]
    return pa.Table.from_pylist(records, pa.schema(types))


def comparison_rows(comparison: Comparison, everything: Quality, names: Sequence[str]) -> pa.Table:
    """Make the rows of a comparison: one a recipe and seed; all training samples stand last."""
    records = [
        (str(m.recipe), m.seeds[place] if m.seeds else None, quality)
        for m in comparison.measured
        for place, quality in enumerate(m.qualities)
    ]
    records += [(f"{RAW_RANDOM}@{amount}", seed, q) for amount, drawn in comparison.raw for seed, q in enumerate(drawn)]
    return quality_rows([*records, (FULL, None, everything)], "recipe", names)


def verdict_rows(comparison: Comparison) -> pa.Table:
    """Make a row a verdict: beside random, and beside random over all files where that was drawn."""
    records = [
        {
            **vars(verdict),
            "value": verdict.recipe,
            "recipe": str(m.recipe),
            "method": m.recipe.method.name,
            "beside": beside,
        }
        for m in comparison.measured
        for beside, verdict in (("random", m.verdict), (RAW_RANDOM, m.raw))
        if verdict is not None
    ]
    return pa.Table.from_pylist(records, _VERDICT)


def summarise(dataset: str, rows: pa.Table, verdicts: pa.Table, stats: Mapping[str, Any]) -> dict[str, Any]:
    """Return a comparison as plain values: a record a recipe with means and deviations over its seeds.

    ``recipes`` are in order of the share kept, then of accuracy (or coverage), best first; ``everything`` has the
    probes trained on all training samples.
    """
    records: dict[str, list[dict[str, Any]]] = {}
    for row in rows.to_pylist():
        records.setdefault(row["recipe"], []).append(row)
    everything = records.pop(FULL)[0]
    judged = {(v["recipe"], v["beside"]): v for v in verdicts.to_pylist()}
    recipes = [_recipe(name, group, judged) for name, group in records.items()]
    labelled = everything["probe_accuracy"] is not None
    recipes.sort(
        key=lambda r: (r["n_kept"], -r["probe_accuracy"]["mean"] if labelled else r["radius_mean"]["mean"], r["recipe"])
    )
    return {
        "dataset": dataset,
        **{k: v for k, v in stats.items() if k != "left_out"},
        "everything": {m: everything[m] for m in MEASURES if everything[m] is not None},
        "recipes": recipes,
        "left_out": [{"recipe": r, "why": why} for r, why in json.loads(stats["left_out"])],
    }


def _recipe(name: str, group: list[dict[str, Any]], judged: Mapping[tuple[str, str], dict[str, Any]]) -> dict[str, Any]:
    first = group[0]
    seeds = [row["seed"] for row in group if row["seed"] is not None]
    out = {
        "recipe": name,
        "method": name.partition("@")[0],
        "n_kept": first["n_kept"],
        "share": first["n_kept"] / first["n"],
        "seeds": seeds,
        "by_chance": bool(seeds),
    }
    for measure in MEASURES:
        values = [row[measure] for row in group if row[measure] is not None]
        if values:
            out[measure] = {
                "mean": float(np.mean(values)),
                "std": float(np.std(values, ddof=1)) if len(values) > 1 else None,
                "values": values,
            }
    out["classes_lost"] = sorted({name for row in group for name in row["classes_lost"]})
    for beside in ("random", RAW_RANDOM):
        verdict = judged.get((name, beside))
        if verdict:
            out[f"beside_{beside}"] = {k: v for k, v in verdict.items() if k not in ("recipe", "method", "beside")}
    return out


def verdict_word(verdict: Mapping[str, Any] | None) -> str:
    """Say a verdict in a few characters: the difference (points, or share of the radius), beats, no or worse."""
    if verdict is None:
        return ""
    if verdict["metric"] == "probe_accuracy":
        size = f"{verdict['difference'] * 100:+.1f}"
    else:
        size = f"{-verdict['difference'] / (verdict['random_mean'] or 1.0):+.1%}"
    if verdict["beats"]:
        return f"{size} beats"
    return f"{size} worse" if verdict["difference"] < -verdict["margin"] else f"{size} no"


def shown(value: Mapping[str, Any] | None, *, percent: bool = False) -> str:
    """Write a mean with its deviation, in hundredths with ``percent``."""
    if value is None:
        return ""
    mean, std = value["mean"], value["std"]
    if percent:
        return f"{mean * 100:.1f}" + (f" ±{std * 100:.1f}" if std is not None else "")
    return f"{mean:.3f}" + (f" ± {std:.3f}" if std is not None else "")


def columns(summary: Mapping[str, Any], *, brief: bool = False) -> tuple[list[str], list[list[str]]]:
    """Return a comparison as a table of texts: titles, and a line a recipe; ``brief`` for a narrow page."""
    labelled = "probe_accuracy" in summary["everything"]
    raw = any(f"beside_{RAW_RANDOM}" in r for r in summary["recipes"])
    lost = labelled and (not brief or any(r["classes_lost"] for r in summary["recipes"]))
    wanted = ("radius_mean", *(() if raw else ("redundancy",))) if brief else MEASURES[2:]
    rest = tuple(m for m in wanted if any(m in r for r in summary["recipes"]))
    titles = ["recipe", "kept", *(("probe %", "10-NN %") if labelled else ())]
    titles += [m.split("_")[0][:6] if brief else m.replace("_", " ") for m in rest]
    titles += ["lost" if brief else "classes lost"] if lost else []
    titles += ["vs random", *(["vs all files"] if raw else [])]
    lines = []
    for r in summary["recipes"]:
        line = [r["recipe"], f"{r['n_kept']:,}"]
        if labelled:
            near = r["knn_accuracy"] | {"std": None} if brief and "knn_accuracy" in r else r.get("knn_accuracy")
            line += [shown(r.get("probe_accuracy"), percent=True), shown(near, percent=True)]
        line += [f"{r[m]['mean']:.3f}" if brief and m in r else shown(r.get(m)) for m in rest]
        line += [str(len(r["classes_lost"]))] if lost else []
        line += [verdict_word(r.get("beside_random")), *([verdict_word(r.get(f"beside_{RAW_RANDOM}"))] if raw else [])]
        lines.append(line)
    return titles, lines


def protocol_words(summary: Mapping[str, Any]) -> str:
    """Say in one line what was measured."""
    text = f"{summary['n_train']:,} training samples reach pruning"
    full = summary["everything"]
    if "probe_accuracy" not in full:
        return f"{text}; no labels, so coverage decides"
    where = f"the {summary['tested_on']} subset" if summary["tested_on"] in ("test", "val") else "a held-out tenth"
    return (
        f"{text}; tested on {where} ({summary['n_test']:,}); trained on all of them: "
        f"probe {full['probe_accuracy']:.1%}, 10-NN {full['knn_accuracy']:.1%}"
    )


def markdown_summary(summary: Mapping[str, Any]) -> str:
    """Write a comparison as a markdown table, with what was left out below it."""
    titles, lines = columns(summary)
    text = [protocol_words(summary), "", *_markdown(titles, lines)]
    if summary["left_out"]:
        text += ["", *(f"- left out: {r['recipe']} {r['why']}" for r in summary["left_out"])]
    return "\n".join(text)


def markdown_table(rows: pa.Table, key: str) -> str:
    """Write the rows of ``quality_rows`` as a markdown table."""
    names = [key, "seed", "n_kept", *MEASURES]
    lines = [
        [f"{v:.4f}" if isinstance(v, float) else "" if v is None else str(v) for v in (row[n] for n in names)]
        for row in rows.to_pylist()
    ]
    return "\n".join(_markdown([n.replace("_", " ") for n in names], lines))


def _markdown(titles: list[str], lines: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in (titles, ["---"] * len(titles), *lines)]
