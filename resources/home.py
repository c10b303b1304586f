"""The home as a resource: the one folder in which everything is kept."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import Field

from espalier.io.home import Home
from espalier.io.landing.zone import LandingZone
from espalier.io.leases import leased


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
