"""The outside world as Dagster resources: primitive config in, plain domain objects out.

What a Home, a Warehouse or a LandingZone does stands in modules that know nothing of Dagster; what an asset
computes stands in ``assets``.
"""

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

import dagster as dg
from pydantic import Field

from resources.home import Home
from resources.landing.zone import LandingZone
from resources.progress import Advance, log_progress
from resources.run_leases import leased
from resources.scanning.apart import read_apart
from resources.scanning.job import Job, Reading, read_here
from resources.warehouse import Piece, Staged, Table


class HomeResource(dg.ConfigurableResource):
    """Where everything is kept."""

    path: str = Field(default="", description="The folder; empty means $ESPALIER_HOME, else ./.espalier.")

    def open(self) -> Home:
        """Return the home with its folders made."""
        return Home.find(self.path).ensure()

    def landing(self) -> LandingZone:
        """Return its landing zone."""
        return LandingZone(self.open().landing)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["HomeResource"]:
        """Hold the lease of a run as long as it goes on; a sensor has none."""
        if context.run is None:
            yield self
            return
        with leased(self.open(), context.run.run_id):
            yield self


class ProgressResource(dg.ConfigurableResource):
    """How a stage tells how far it is: lines in the run's log."""

    def bar(self, log: logging.Logger, label: str, total: int) -> AbstractContextManager[Advance]:
        """Give ``advance(n)`` for a stage of ``total`` items."""
        return log_progress(log, label, total)


class ComputeResource(dg.ConfigurableResource):
    """What a stage may use of this machine."""

    threads: int = Field(default=0, ge=0, description="Threads of a stage; 0 means one a core.")

    def n_threads(self) -> int:
        """Return the number of threads."""
        return self.threads or os.cpu_count() or 1


class ReadingResource(dg.ConfigurableResource):
    """How the files of a dataset are read."""

    apart: bool = Field(
        default=True, description="In a process of its own: a file that crashes its decoder takes no run with it."
    )

    def open(self, job: Job) -> Reading:
        """Return the rows of a dataset, to be gone through once."""
        return Reading(read_apart(job) if self.apart else read_here(job))


class WarehouseIOManager(dg.ConfigurableIOManager):
    """Hands tables from asset to asset; swaps in what an asset staged, if its blocking checks passed."""

    home: dg.ResourceDependency[HomeResource]

    def handle_output(self, context: dg.OutputContext, obj: Iterable[Piece]) -> None:
        """Commit the staged pieces in order, the table last: it is what says that a partition is there."""
        for piece in obj:
            if isinstance(piece, Staged):
                context.log.debug(f"storing {piece.target.name}")
            piece.commit()

    def load_input(self, context: dg.InputContext) -> Table:
        """Return the upstream partition as a read-only Table."""
        key = context.asset_partition_key
        if isinstance(key, dg.MultiPartitionKey):
            parts = key.keys_by_dimension
            return self.home.open().store().need(context.asset_key.path[-1], parts["dataset"], parts["recipe"])
        return self.home.open().store().need(context.asset_key.path[-1], key)
