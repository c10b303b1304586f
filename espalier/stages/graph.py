"""The asset graph as data: each stage, what it reads, which options it depends on, its code's version.

The assets are built from this table, and the command line reads it without importing Dagster. Raise a
stage's ``version`` whenever its code would give other rows for the same inputs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

HISTORY = "previous"
"""Under this name an input is the data version of the partition that was replaced, where the rows depend on it."""


@dataclass(frozen=True)
class Stage:
    """One asset of the graph.

    ``reads`` are upstream assets, ``of_references`` those that it reads of the datasets that the option
    ``reference_datasets`` names, ``options`` the fields of StageOptions that its result depends on. A stage
    ``per_recipe`` is partitioned by dataset and recipe. One ``on_demand`` is made when somebody asks for it; nothing
    else sets it off. ``does`` is what a progress bar says.

    One that ``grows`` may build on the partition that it replaces, so that only what is new is computed; then the rows
    depend on the order in which samples came, and HISTORY is among its inputs. The run config ``afresh`` switches it
    off.
    """

    name: str
    version: str
    reads: tuple[str, ...]
    options: tuple[str, ...] = ()
    per_recipe: bool = False
    on_demand: bool = False
    does: str = ""
    of_references: tuple[str, ...] = ()
    grows: bool = False

    def also_reads(self, params: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
        """Name the partitions (asset, dataset) of other datasets that it reads with these options."""
        return {
            f"{a} of {other}": (a, other) for other in params.get("reference_datasets", ()) for a in self.of_references
        }


_EMBEDDED = ("raw_dataset", "embeddings", "semantic_dedup_set")
_PRUNED_FROM = ("raw_dataset", "dedup_set", "embeddings", "semantic_dedup_set", "clusters", "cluster_complexity")
_VERDICTS = ("protect", "keep", "drop", "seed")
_ENCODING = ("encoder", "embeddings", "device", "precision", "max_pixels")
_QUALITY = ("seed", "quality_seeds", "quality_rows")
_COMPARED = ("compare_methods", "compare_ratios", "compare_recipes", "raw_random")

STAGES = {
    s.name: s
    for s in (
        Stage("raw_dataset", "3", (), ("max_pixels",), does="reading files", grows=True),
        Stage(
            "dedup_set",
            "5",
            ("raw_dataset",),
            ("near", "near_threshold", "flips", "text_copies", "leaks", "reference_datasets", *_VERDICTS),
            does="duplicates",
            of_references=("raw_dataset", "dedup_set"),
            grows=True,
        ),
        Stage("embeddings", "2", ("raw_dataset", "dedup_set"), (*_ENCODING, "prompt"), does="embedding"),
        Stage(
            "semantic_dedup_set",
            "2",
            ("raw_dataset", "embeddings"),
            ("eps", "rule", "which_to_keep", "semantic_k", "n_probe", *_VERDICTS),
            does="semantic duplicates",
            grows=True,
        ),
        Stage("clusters", "1", _EMBEDDED, ("k", "seed"), does="clustering"),
        Stage("cluster_complexity", "1", ("raw_dataset", "clusters"), ("n_neighbors",), does="complexity"),
        Stage("pruned_manifest", "3", _PRUNED_FROM, ("keep",), per_recipe=True, does="pruning"),
        Stage(
            "subset_quality",
            "1",
            (*_EMBEDDED, "clusters", "pruned_manifest"),
            _QUALITY,
            per_recipe=True,
            does="quality",
        ),
        Stage(
            "comparison",
            "2",
            _PRUNED_FROM,
            (*_QUALITY, *_COMPARED, *_ENCODING),
            on_demand=True,
            does="comparing",
        ),
        Stage(
            "pruned_dataset",
            "1",
            ("raw_dataset", "pruned_manifest"),
            ("export_to", "export_format", "export_mode", "export_overwrite"),
            per_recipe=True,
            on_demand=True,
            does="writing",
        ),
    )
}

CHAIN = tuple(s.name for s in STAGES.values() if not s.per_recipe and not s.on_demand)
MANIFEST, QUALITY, COMPARISON, EXPORT = "pruned_manifest", "subset_quality", "comparison", "pruned_dataset"
DEFAULT_RECIPES = ("density@0.3", "random@0.3")
