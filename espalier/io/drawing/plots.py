"""Plots as PNG bytes. Drawing only: what is drawn is computed by the caller."""

import io
import textwrap
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREEN, BROWN, GREY = "#3d7a4a", "#b0713a", "#c9c9c4"
TITLE_LETTERS = 68  # that a figure's width holds


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
