"""How many samples a recipe kept, of how many, in numbers that add up and in words, from a manifest's summary.

A recipe that names subsets prunes only these and keeps the others whole, so what a manifest keeps is of two kinds: some
of the samples that reach pruning, and all of the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from espalier.core.prune.select import pruned_subsets
from espalier.core.recipe import Recipe


def kept_counts(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Tell the samples that a manifest keeps apart.

    ``n_total`` reached pruning; ``n_whole`` are of subsets that the recipe does not prune; ``n_kept``, their sum with
    ``n_kept_of_total``, is all. ``min_clip_score`` left ``n_filtered`` out of the total. No ``pruned_subsets`` means
    all.
    """
    recipe, n_kept, n_total, n_whole = (summary[key] for key in ("recipe", "n_kept", "n_total", "n_whole"))
    return {
        "recipe": recipe,
        "n_kept": n_kept,
        "n_total": n_total,
        "n_kept_of_total": n_kept - n_whole,
        "n_whole": n_whole,
        "n_filtered": summary.get("n_filtered", 0),
        "pruned_subsets": list(pruned_subsets(Recipe.parse(recipe))),
    }


def kept_words(summary: Mapping[str, Any]) -> str:
    """Say how many were kept: ``2,237 of 4,473 of train, and all 500 of the other subsets``."""
    counts = kept_counts(summary)
    words = f"{counts['n_kept_of_total']:,} of {counts['n_total']:,}"
    if names := counts["pruned_subsets"]:
        words += f" of {', '.join(names[:-1])}{' and ' if names[1:] else ''}{names[-1]}"
    if counts["n_whole"]:
        words += f", and all {counts['n_whole']:,} of the other subsets"
    if counts["n_filtered"]:
        words += f" ({counts['n_filtered']:,} more are below min_clip_score)"
    return words
