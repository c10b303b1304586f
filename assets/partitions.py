"""The two partition dimensions, both dynamic: datasets that landed, and recipes to prune them by.

Shards and clusters are never partitions: the UI and the daemon slow down with tens of thousands of keys.
"""

import dagster as dg

DATASET = "dataset"
RECIPE = "recipe"

datasets = dg.DynamicPartitionsDefinition(name=DATASET)
recipes = dg.DynamicPartitionsDefinition(name=RECIPE)
manifests = dg.MultiPartitionsDefinition({DATASET: datasets, RECIPE: recipes})


def manifest_key(dataset: str, recipe: str) -> dg.MultiPartitionKey:
    """Return the partition key of one dataset pruned by one recipe."""
    return dg.MultiPartitionKey({DATASET: dataset, RECIPE: recipe})


def split_key(key: str) -> tuple[str, str]:
    """Return (dataset, recipe) of any partition key; the recipe is "" where there is none."""
    if isinstance(key, dg.MultiPartitionKey):
        return key.keys_by_dimension[DATASET], key.keys_by_dimension[RECIPE]
    return key, ""
