"""Plots as PNG bytes. Drawing only: what is drawn is computed by the caller."""

import io
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from espalier.core.evaluate.baseline import RAW_RANDOM

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREEN, BROWN, GREY = "#3d7a4a", "#b0713a", "#c9c9c4"
TITLE_LETTERS = 68  # that a figure's width holds
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


def cluster_sizes(size: np.ndarray) -> bytes:
    """Draw the clusters' sizes, greatest first."""
    figure, axes = _figure()
    axes.bar(np.arange(1, len(size) + 1), np.sort(size)[::-1], width=_width(size), color=GREEN)
    axes.axhline(float(np.mean(size)), color=BROWN, linewidth=1, label=f"mean {np.mean(size):.0f}")
    axes.set(xlabel="cluster, largest first", ylabel="samples", title=f"{len(size)} clusters by size")
    axes.legend(frameon=False)
    return png(figure)


def complexity(d_intra: np.ndarray, d_inter: np.ndarray, size: np.ndarray) -> bytes:
    """Draw d_intra over d_inter, a dot a cluster with an area by its size (as in arXiv 2401.04578)."""
    figure, axes = _figure()
    area = 12 + 220 * size / max(1, size.max())
    dots = axes.scatter(
        d_inter, d_intra, s=area, c=d_intra * d_inter, cmap="YlGn", edgecolors="#44443f", linewidths=0.5
    )
    figure.colorbar(dots, ax=axes, label="complexity = d_intra x d_inter")
    axes.set(
        xlabel="d_inter: distance to the nearest centroids",
        ylabel="d_intra: distance inside",
        title="cluster complexity (area: size)",
    )
    return png(figure)


def kept_dropped(size: np.ndarray, kept: np.ndarray, title: str) -> bytes:
    """Draw kept and dropped samples a cluster, largest cluster first."""
    figure, axes = _figure()
    order = np.argsort(-size, kind="stable")
    place = np.arange(1, len(size) + 1)
    axes.bar(place, kept[order], width=_width(size), color=GREEN, label="kept")
    axes.bar(place, (size - kept)[order], width=_width(size), bottom=kept[order], color=GREY, label="dropped")
    axes.set(xlabel="cluster, largest first", ylabel="samples", title=textwrap.fill(title, TITLE_LETTERS))
    axes.legend(frameon=False)
    return png(figure)


NARROWEST = 1e-4  # of a histogram: numpy cannot part a range of a few float32 steps in 50


def histogram(values: np.ndarray, xlabel: str, title: str, mark: float | None = None) -> bytes:
    """Draw a histogram, with a vertical line at ``mark``; values that are all but equal are one bar."""
    figure, axes = _figure()
    values = np.asarray(values, np.float64)
    middle = float(values.mean()) if len(values) else 0.0
    narrow = len(values) and np.ptp(values) < NARROWEST
    axes.hist(values, bins=50, color=GREEN, range=(middle - NARROWEST, middle + NARROWEST) if narrow else None)
    if mark is not None:
        axes.axvline(mark, color=BROWN, linewidth=1.5, label=f"threshold {mark:g}")
        axes.legend(frameon=False)
    axes.set(xlabel=xlabel, ylabel="samples", title=title)
    return png(figure)


def _width(size: np.ndarray) -> float:
    return 1.0 if len(size) > 60 else 0.8


def _figure() -> tuple["Figure", "Axes"]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def png(figure: "Figure") -> bytes:
    """Return a figure as the bytes of a PNG, the same for the same figure."""
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def comparison_plot(summary: Mapping[str, Any]) -> bytes:
    """Draw a comparison, as ``espalier.stages.quality_rows.summarise`` gives it: a line a method, random with its band.

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
