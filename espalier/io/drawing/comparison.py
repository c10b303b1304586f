"""The plot of a comparison: accuracy and coverage over the share kept, a line a method, random with its band."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from espalier.core.evaluate.baseline import RAW_RANDOM
from espalier.io.drawing.plots import png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RANDOM = "random"
INK, SOFT = "#2b2b28", "#8a8a84"
COLOURS = (
    "#3d7a4a", "#b0713a", "#3b6ea5", "#a34a5e", "#7a6bb0", "#c2a23a",
    "#4fa3a0", "#d0806f", "#6f8f3f", "#9a6b4f", "#5a5f9e", "#b05fa0",
)  # fmt: skip
MARKERS = "osD^vPX<>hp*"
PANELS = (
    ("probe_accuracy", "logistic probe accuracy, %", 100.0),
    ("radius_mean", "mean coverage radius (less is better)", 1.0),
)
UNLABELLED = (PANELS[1], ("redundancy", "redundancy (less is better)", 1.0))


def draw(summary: Mapping[str, Any]) -> bytes:
    """Draw a comparison, as ``espalier.stages.quality_rows.summarise`` gives it, as a PNG.

    A filled mark beats random of its size, a hollow one does not.
    """
    from matplotlib.figure import Figure

    panels = PANELS if "probe_accuracy" in summary["everything"] else UNLABELLED
    figure = Figure(figsize=(12.4, 5.0), dpi=110, layout="constrained")
    lines = _lines(summary["recipes"])
    for axes, (measure, title, scale) in zip(figure.subplots(1, 2), panels, strict=True):
        _panel(axes, lines, measure, scale)
        if measure in summary["everything"] and measure == "probe_accuracy":
            axes.axhline(summary["everything"][measure] * scale, color=SOFT, linewidth=1, linestyle=":")
            axes.annotate(
                "all training samples", (0.01, summary["everything"][measure] * scale), (0, 3),
                xycoords=("axes fraction", "data"), textcoords="offset points", color=SOFT, fontsize=8,
            )  # fmt: skip
        axes.set_title(title, loc="left", fontsize=10.5, color=INK)
        axes.set_xlabel("kept of the training samples")
        _ticks(axes, summary["recipes"])
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=9)
    figure.suptitle(
        f"{summary['dataset']}: methods beside random of the same size (filled: beats it; band: its deviation "
        f"over {summary['seeds']} seeds)",
        x=0.01, ha="left", fontsize=11, color=INK,
    )  # fmt: skip
    return png(figure)


def _lines(recipes: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Group the recipes that differ in their amount only; random first."""
    lines: dict[str, list[dict[str, Any]]] = {}
    for recipe in recipes:
        method, _, rest = recipe["recipe"].partition("@")
        tail = rest.partition(":")[2]
        lines.setdefault(f"{method}:{tail}" if tail else method, []).append(recipe)
    first = [name for name in (RANDOM, RAW_RANDOM) if name in lines]
    return {name: lines[name] for name in [*first, *sorted(lines.keys() - set(first))]}


def _panel(axes: "Axes", lines: Mapping[str, list[dict[str, Any]]], measure: str, scale: float) -> None:
    other = 0
    for name, recipes in lines.items():
        points = [r for r in recipes if measure in r]
        if not points:
            continue
        x = np.array([r["share"] for r in points])
        y = np.array([r[measure]["mean"] * scale for r in points])
        if name in (RANDOM, RAW_RANDOM):
            std = np.array([(r[measure]["std"] or 0.0) * scale for r in points])
            colour, line, label = (INK, "-", "random") if name == RANDOM else (SOFT, "--", "random over all files")
            axes.fill_between(x, y - std, y + std, color=colour, alpha=0.16, linewidth=0)
            axes.plot(x, y, color=colour, linewidth=2.4, linestyle=line, label=label, zorder=5)
            continue
        colour, marker = COLOURS[other % len(COLOURS)], MARKERS[other % len(MARKERS)]
        other += 1
        marks: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 6}
        axes.plot(x, y, linewidth=1.2, markerfacecolor="white", label=name, alpha=0.95, **marks)
        better = [i for i, r in enumerate(points) if r.get("beside_random", {}).get("beats")]
        axes.plot(x[better], y[better], linestyle="", **marks)


def _ticks(axes: "Axes", recipes: list[dict[str, Any]]) -> None:
    shares = sorted({r["share"] for r in recipes})
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xticks(shares, [f"{100 * s:.3g}%" for s in shares])
    axes.grid(axis="y", color="#e6e6e1", linewidth=0.8)
    axes.set_axisbelow(True)
