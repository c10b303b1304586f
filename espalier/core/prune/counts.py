"""How many samples a recipe kept, of how many, in numbers that add up and in words.

A recipe that names subsets prunes only these and keeps the others whole, so what a manifest keeps is of two kinds:
some of the samples that reach pruning, and all of the rest. Whoever tells of it takes the numbers and words from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from espalier.core.prune.select import pruned_subsets
from espalier.core.recipe import Recipe


def kept_counts(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Tell the samples that a manifest keeps apart.

    Parameters
    ----------
    summary : mapping
        Of the manifest: ``recipe``, ``n_kept`` (all that it keeps), ``n_total`` (what reached pruning), ``n_whole``
        (what it keeps of subsets that the recipe does not prune) and, where ``min_clip_score`` left samples out of
        ``n_total``, their number ``n_filtered``.

    Returns
    -------
    dict
        These, ``n_kept_of_total``, which is ``n_kept - n_whole``, and ``pruned_subsets``, the names of those that the
        recipe prunes; none means all.
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
    """Say how many were kept: ``2,237 of 4,473 of train, and all 500 of the other subsets``.

    Parameters
    ----------
    summary : mapping
        As for :func:`kept_counts`.
    """
    counts = kept_counts(summary)
    words = f"{counts['n_kept_of_total']:,} of {counts['n_total']:,}"
    if names := counts["pruned_subsets"]:
        words += f" of {', '.join(names[:-1])}{' and ' if names[1:] else ''}{names[-1]}"
    if counts["n_whole"]:
        words += f", and all {counts['n_whole']:,} of the other subsets"
    if counts["n_filtered"]:
        words += f" ({counts['n_filtered']:,} more are below min_clip_score)"
    return words
