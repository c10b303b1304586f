"""Launching Dagster runs from the command line: the same jobs as the UI's, in this process, on the same instance."""

import fcntl
import functools
import os
import shutil
import uuid
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from espalier.cli.common import echo_recall
from espalier.cli.project import on_path
from espalier.core.errors import EspalierError, UsageError
from espalier.io.home import Home
from espalier.io.landing.zone import LandingZone
from espalier.stages.graph import STAGES

if TYPE_CHECKING:
    import dagster as dg

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def prepare(home: Home) -> Home:
    """Make the home and its Dagster folder, and point Dagster and this process at home and project."""
    project = on_path()
    home.ensure()
    config = home.dagster / "dagster.yaml"
    if not config.exists():
        shutil.copyfile(project / "dagster.yaml", config)
    os.environ["DAGSTER_HOME"] = str(home.dagster)
    os.environ["ESPALIER_HOME"] = str(home.root)
    return home


def open_instance(home: Home) -> "dg.DagsterInstance":
    """Open the home's instance, one process at a time: two that make its databases at once spoil each other's."""
    import dagster as dg

    with (home.dagster / ".opening.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return dg.DagsterInstance.from_config(str(home.dagster))


class Launcher:
    """Runs the jobs on a home's Dagster instance.

    Parameters
    ----------
    home : Home
        The home, made when missing.
    bars : bool
        Show a progress bar a stage.
    """

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

    def chain(self, dataset: str, stages: Iterable[str], *, afresh: bool = False) -> str:
        """Run stages of a dataset's chain; with ``afresh`` none of them builds on what it made before."""
        stages = list(stages)
        config = {name: {"config": {"afresh": True}} for name in stages if afresh and STAGES[name].grows}
        return self.run("chain", dataset, stages, config=config)

    def run(
        self, job: str, dataset: str, stages: Iterable[str], recipe: str = "", config: Mapping[str, Any] | None = None
    ) -> str:
        """Run ``stages`` of a job for a dataset (and recipe) as one Dagster run; return the run's id.

        Raises
        ------
        EspalierError
            When a stage fails, with the stage's own words.
        """
        from assets.landed import observed
        from assets.partitions import DATASET, RECIPE, manifest_key

        stages = list(stages)
        self.instance.add_dynamic_partitions(DATASET, [dataset])
        if "raw_dataset" in stages:
            listing = LandingZone(self.home.landing).fingerprint(dataset)
            self.instance.report_runless_asset_event(observed(dataset, listing))
        if recipe:
            self.instance.add_dynamic_partitions(RECIPE, [recipe])
        import dagster as dg

        from espalier.io.leases import leased

        wanted, instance, run_id = self.defs.resolve_job_def(job), self.instance, str(uuid.uuid4())
        with leased(self.home, run_id):  # before the run is there, so that it is never without
            result = wanted.execute_in_process(
                instance=instance,
                run_id=run_id,
                partition_key=manifest_key(dataset, recipe) if recipe else dataset,
                asset_selection=[dg.AssetKey(name) for name in stages],
                run_config={**QUIET, **({"ops": config} if config else {})},
                raise_on_error=False,
            )
        if not result.success:
            raise _failure(result)
        return result.run_id

    def __enter__(self) -> "Launcher":
        return self

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


def echo_kept(summary: dict[str, Any]) -> None:
    """Say what a recipe kept and where its manifest is."""
    from espalier.core.prune.counts import kept_words

    out = [f"{summary['n_raw']:,} samples"]
    for key, word in (
        ("n_unreadable", "unreadable"),
        ("n_exact", "exact copies"),
        ("n_near", "near duplicates"),
        ("n_by_hand", "dropped by hand"),
        ("n_not_embedded", "not embedded"),
        ("n_semantic", "semantic duplicates"),
        ("n_filtered", "below min_clip_score"),
    ):
        if summary.get(key):
            out.append(f"{summary[key]:,} {word}")
    whole = f", {summary['n_whole']:,} are kept whole" if summary["n_whole"] else ""
    click.echo(f"{summary['dataset']}: {', '.join(out)}; {summary['n_total']:,} reach pruning{whole}.")
    if "brought" in summary:
        from espalier.io.precomputed.alignment import report

        click.echo(f"your embeddings: {report(summary['brought'])}")
    click.secho(f"{summary['recipe']}: kept {kept_words(summary)}", bold=True)
    echo_recall(summary)
    click.echo(f"manifest: {summary['manifest']}")
