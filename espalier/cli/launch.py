"""Launching Dagster runs from the command line: the same jobs as the UI's, in this process, on the same instance."""

import fcntl
import functools
import os
import shutil
import sys
import uuid
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from espalier.cli.preflight import check_encoder
from espalier.cli.workspace import project_folder
from espalier.core.errors import EspalierError, UsageError
from espalier.io.atomic import put, remove, remove_leftovers, temporary, written
from espalier.io.home import Home
from espalier.stages.graph import CHAIN, STAGES
from espalier.stages.staleness import Staleness

if TYPE_CHECKING:
    import dagster as dg

HISTORY = "history"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def prepare(home: Home) -> Home:
    """Make the home and its Dagster folder, and point Dagster and this process at home and project."""
    project = project_folder()
    if str(project) not in sys.path[:1]:  # as Dagster's working_directory does
        sys.path.insert(0, str(project))
    home.ensure()
    config = home.dagster / "dagster.yaml"
    if not config.exists():
        with written(config) as fresh:
            shutil.copyfile(project / "dagster.yaml", fresh)
    os.environ["DAGSTER_HOME"] = str(home.dagster)
    os.environ["ESPALIER_HOME"] = str(home.root)
    return home


def open_instance(home: Home) -> "dg.DagsterInstance":
    """Open the home's instance, one process at a time: two that make its databases at once spoil each other's."""
    import dagster as dg

    with (home.dagster / ".opening.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home.dagster / HISTORY).exists():
            _make_databases(home.dagster)
        return dg.DagsterInstance.from_config(str(home.dagster))


def _make_databases(folder: Path) -> None:
    """Make Dagster's databases aside and move them in whole: it cannot mend those that a killed process left."""
    import dagster as dg

    remove_leftovers(folder, "databases")
    made = temporary(folder / "databases")
    try:
        made.mkdir()
        shutil.copyfile(folder / "dagster.yaml", made / "dagster.yaml")
        dg.DagsterInstance.from_config(str(made)).dispose()
        for name in ("schedules", HISTORY):  # the sign that all are there comes last
            (made / name).mkdir(exist_ok=True)  # none where dagster.yaml names another storage
            put(made / name, folder / name)
    finally:
        remove(made)


class Launcher(AbstractContextManager):
    """Runs the jobs on a home's Dagster instance, with a progress bar a stage; the home is made when missing."""

    def __init__(self, home: Home, *, bars: bool = True) -> None:
        self.home, self.bars = prepare(home), bars

    @functools.cached_property
    def instance(self) -> "dg.DagsterInstance":
        """The home's instance, opened when the first run needs it; runs that were killed are ended."""
        from espalier.io.leases import LeaseWatch
        from sensors.dead_runs import end_dead_runs

        instance = open_instance(self.home)
        end_dead_runs(instance, self.home, LeaseWatch())
        return instance

    @functools.cached_property
    def defs(self) -> "dg.Definitions":
        """The graph, with progress bars in the place of log lines."""
        from definitions import build_defs
        from espalier.cli.progress import BarProgress
        from resources import HomeResource, ProgressResource

        progress = BarProgress() if self.bars else ProgressResource()
        return build_defs(home=HomeResource(path=str(self.home.root)), progress=progress)

    def refresh(self, dataset: str, stages: tuple[str, ...] = CHAIN, *, afresh: bool = False) -> dict[str, list[str]]:
        """Run those stages of a dataset's chain that are missing or stale; return the run's id with what it ran.

        With ``afresh`` all of them run, and none builds on what it made before.
        """
        staleness = Staleness(self.home, dataset)
        due = list(stages if afresh else staleness.stages(stages))
        if "embeddings" in due:
            check_encoder(staleness.options, self.home.models)
        if "raw_dataset" in due:
            from assets.landed import observed

            self.instance.report_runless_asset_event(observed(dataset, staleness.listing))
        config = {name: {"config": {"afresh": True}} for name in due if afresh and STAGES[name].grows}
        return {self.run("chain", dataset, due, config=config): due} if due else {}

    def run(
        self, job: str, dataset: str, stages: Iterable[str], recipe: str = "", config: Mapping[str, Any] | None = None
    ) -> str:
        """Run ``stages`` of a job for a dataset (and recipe) as one Dagster run; return the run's id.

        A stage that fails is an EspalierError with the stage's own words.
        """
        import dagster as dg

        from assets.partitions import DATASET, RECIPE, manifest_key
        from espalier.io.leases import leased

        self.instance.add_dynamic_partitions(DATASET, [dataset])
        if recipe:
            self.instance.add_dynamic_partitions(RECIPE, [recipe])
        definition, run_id = self.defs.resolve_job_def(job), str(uuid.uuid4())
        with leased(self.home, run_id):  # before the run is there, so that it is never without
            result = definition.execute_in_process(
                instance=self.instance,
                run_id=run_id,
                partition_key=manifest_key(dataset, recipe) if recipe else dataset,
                asset_selection=[dg.AssetKey(name) for name in stages],
                run_config={**QUIET, **({"ops": config} if config else {})},
                raise_on_error=False,
            )
        if not result.success:
            raise _failure(result)
        return result.run_id

    def __exit__(self, *_: object) -> None:
        if "instance" in self.__dict__:
            self.instance.dispose()


def _failure(result: "dg.ExecuteInProcessResult") -> EspalierError:
    """Return the error of the step that failed: its own words, or the first cause of what went wrong."""
    for event in result.all_events:
        if not event.is_step_failure:
            continue
        data = event.step_failure_data
        if data.user_failure_data is not None:
            code = data.user_failure_data.metadata.get("exit code")
            kind = UsageError if code is not None and code.value == UsageError.exit_code else EspalierError
            return kind(data.user_failure_data.description or f"{event.step_key} failed.")
        if data.error is None:
            continue
        cause = data.error
        while cause.cause is not None:
            cause = cause.cause
        if cause.cls_name == "DagsterExecutionInterruptedError":
            raise click.Abort
        return EspalierError(
            f"{event.step_key} failed: {' '.join(cause.message.split())}",
            f"The whole story is in run {result.run_id[:8]} (espalier ui), and below {os.environ['DAGSTER_HOME']}.",
        )
    return EspalierError("The run failed.", f"See run {result.run_id[:8]} in espalier ui.")
