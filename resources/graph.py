"""The asset graph as data: each stage, what it reads, which options it depends on, its code's version.

The assets are built from this table, and the command line reads it without importing Dagster. Raise a
stage's ``version`` whenever its code would give other rows for the same inputs.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One asset of the graph.

    Attributes
    ----------
    name, version : str
        Asset name; code version.
    reads : tuple of str
        Upstream assets.
    options : tuple of str
        Fields of Options that its result depends on.
    per_recipe : bool
        Partitioned by dataset and recipe, not by dataset alone.
    does : str
        What a progress bar says.
    """

    name: str
    version: str
    reads: tuple[str, ...]
    options: tuple[str, ...] = ()
    per_recipe: bool = False
    does: str = ""


STAGES = {
    s.name: s
    for s in (
        Stage("raw_dataset", "1", (), ("max_pixels",), does="reading files"),
        Stage(
            "dedup_set",
            "1",
            ("raw_dataset",),
            ("near_threshold", "flips", "protect", "keep", "drop", "seed"),
            does="duplicates",
        ),
        Stage(
            "embeddings",
            "1",
            ("raw_dataset", "dedup_set"),
            ("encoder", "device", "precision", "max_pixels"),
            does="embedding",
        ),
        Stage(
            "semantic_dedup_set",
            "1",
            ("raw_dataset", "embeddings"),
            ("eps", "rule", "rank", "semantic_k", "n_probe", "protect", "keep", "drop", "seed"),
            does="semantic duplicates",
        ),
        Stage(
            "clusters",
            "1",
            ("raw_dataset", "embeddings", "semantic_dedup_set"),
            ("k", "seed"),
            does="clustering",
        ),
        Stage("cluster_complexity", "1", ("raw_dataset", "clusters"), ("n_neighbors",), does="complexity"),
        Stage(
            "pruned_manifest",
            "1",
            (
                "raw_dataset",
                "dedup_set",
                "embeddings",
                "semantic_dedup_set",
                "clusters",
                "cluster_complexity",
            ),
            ("keep",),
            per_recipe=True,
            does="pruning",
        ),
    )
}

CHAIN = tuple(s.name for s in STAGES.values() if not s.per_recipe)
MANIFEST = "pruned_manifest"
DEFAULT_RECIPES = ("density@0.3", "random@0.3")
