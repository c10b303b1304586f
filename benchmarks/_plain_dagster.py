"""A plain Dagster program that makes the runs which a JSON file lists, of assets that do nothing; see bench_chain.

A run is a list of steps; each names its asset, what that reads, its checks, its metadata and how many lines it logs.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import dagster as dg

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
datasets, recipes = (dg.DynamicPartitionsDefinition(name=name) for name in ("dataset", "recipe"))
manifests = dg.MultiPartitionsDefinition({"dataset": datasets, "recipe": recipes})
MANIFEST_KEY = dg.MultiPartitionKey({"dataset": "data", "recipe": "recipe"})


def metadata(told: dict[str, Any]) -> dict[str, Any]:
    """Make metadata of its JSON."""
    schemas = {key: dg.TableSchema([dg.TableColumn(*c) for c in columns]) for key, columns in told["schemas"].items()}
    return told["plain"] | {key: dg.MetadataValue.md(text) for key, text in told["markdown"].items()} | schemas


class TextFiles(dg.ConfigurableIOManager):
    """Keeps what an asset returns as a text; Dagster's own IO manager for files would log a line each time."""

    folder: str

    def handle_output(self, context: dg.OutputContext, obj: str) -> None:
        """Write it."""
        Path(self.folder, context.asset_key.path[-1]).write_text(obj)

    def load_input(self, context: dg.InputContext) -> str:
        """Read it."""
        return Path(self.folder, context.asset_key.path[-1]).read_text()


def empty_asset(step: dict[str, Any]) -> dg.AssetsDefinition:
    """Make an asset that only tells what ``step`` says."""

    @dg.asset(
        name=step["name"],
        ins={name: dg.AssetIn() for name in step["reads"]},
        partitions_def=manifests if step["per_recipe"] else datasets,
        check_specs=[dg.AssetCheckSpec(check, asset=step["name"]) for check in step["checks"]],
    )
    def asset(context: dg.AssetExecutionContext, **_: str):
        for _ in range(step["lines"]):
            context.log.debug("a line")
        checks = [
            dg.AssetCheckResult(check_name=name, passed=True, metadata=metadata(told))
            for name, told in step["checks"].items()
        ]
        return dg.MaterializeResult(value=step["name"], metadata=metadata(step["metadata"]), check_results=checks)

    return asset


def main(runs: list[list[dict[str, Any]]]) -> None:
    """Make the runs on the instance of $DAGSTER_HOME."""
    assets = [empty_asset(step) for run in runs for step in run]
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions("dataset", ["data"])
        instance.add_dynamic_partitions("recipe", ["recipe"])
        for run in runs:
            key = MANIFEST_KEY if run[0]["per_recipe"] else "data"
            selection = [step["name"] for step in run]
            dg.materialize(
                assets,
                selection=selection,
                partition_key=key,
                instance=instance,
                resources={"io_manager": TextFiles(folder=os.environ["DAGSTER_HOME"])},
                run_config=QUIET,
            )


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
