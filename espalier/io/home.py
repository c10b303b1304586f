"""ESPALIER_HOME: the one folder in which everything that Espalier keeps has its place."""

import os
from pathlib import Path

from espalier.core.errors import EspalierError
from espalier.io.landing.zone import LandingZone
from espalier.io.warehouse import Warehouse


class Home:
    """The folder and the places inside it; a plain object that knows nothing of Dagster.

    ``manifests`` has a folder a dataset and recipe, ``reports`` a folder a dataset (contact sheets and comparisons),
    ``models`` the encoders: downloads, names that were added, compiled graphs.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.landing, self.warehouse, self.manifests = root / "landing", root / "warehouse", root / "manifests"
        self.reports, self.models, self.dagster = root / "reports", root / "models", root / "dagster"

    @classmethod
    def find(cls, path: str | Path | None = None) -> "Home":
        """Return the home at ``path``, else at $ESPALIER_HOME, else ``.espalier`` in the working folder."""
        chosen = path or os.environ.get("ESPALIER_HOME") or ".espalier"
        return cls(Path(chosen).expanduser().absolute())

    def ensure(self) -> "Home":
        """Make the folders that are missing; a folder that cannot be written is a clear error."""
        folders = (self.landing, self.warehouse, self.manifests, self.reports, self.models, self.dagster)
        remedy = "Set ESPALIER_HOME to a folder that you may write to."
        for folder in folders:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise EspalierError(f"Cannot write to {self.root}: {error.strerror}.", remedy) from error
            if not os.access(folder, os.W_OK | os.X_OK):
                raise EspalierError(f"Cannot write to {folder}: permission denied.", remedy)
        return self

    def zone(self) -> LandingZone:
        """Return the landing zone of this home."""
        return LandingZone(self.landing)

    def store(self) -> Warehouse:
        """Return the warehouse of this home."""
        return Warehouse(self.warehouse)
