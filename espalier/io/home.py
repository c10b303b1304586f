"""ESPALIER_HOME: the one folder in which everything that Espalier keeps has its place."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from espalier.core.errors import EspalierError
from espalier.io.warehouse import Warehouse

if TYPE_CHECKING:
    from espalier.io.landing.zone import LandingZone


@dataclass(frozen=True)
class Home:
    """The folder and the places inside it; a plain object that knows nothing of Dagster.

    Attributes
    ----------
    root : Path
        Absolute path of the folder.
    """

    root: Path

    @classmethod
    def find(cls, path: str | Path | None = None) -> "Home":
        """Return the home at ``path``, else at $ESPALIER_HOME, else ``.espalier`` in the working folder."""
        chosen = path or os.environ.get("ESPALIER_HOME") or ".espalier"
        return cls(Path(chosen).expanduser().absolute())

    @property
    def landing(self) -> Path:
        """The landing zone: folders and cards."""
        return self.root / "landing"

    @property
    def warehouse(self) -> Path:
        """The stored tables."""
        return self.root / "warehouse"

    @property
    def manifests(self) -> Path:
        """A folder a dataset and recipe, with what is kept."""
        return self.root / "manifests"

    @property
    def reports(self) -> Path:
        """Contact sheets and comparisons, a folder a dataset."""
        return self.root / "reports"

    @property
    def models(self) -> Path:
        """Encoders: downloads, names that were added, compiled graphs."""
        return self.root / "models"

    @property
    def dagster(self) -> Path:
        """The Dagster instance."""
        return self.root / "dagster"

    def ensure(self) -> "Home":
        """Make the folders that are missing; a folder that cannot be written is a clear error."""
        folders = (self.landing, self.warehouse, self.manifests, self.reports, self.models, self.dagster)
        try:
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EspalierError(
                f"Cannot write to {self.root}: {error.strerror}.",
                "Set ESPALIER_HOME to a folder that you may write to.",
            ) from error
        closed = [folder for folder in folders if not os.access(folder, os.W_OK | os.X_OK)]
        if closed:
            raise EspalierError(
                f"Cannot write to {closed[0]}: permission denied.",
                "Set ESPALIER_HOME to a folder that you may write to.",
            )
        return self

    def zone(self) -> "LandingZone":
        """Return the landing zone of this home."""
        from espalier.io.landing.zone import LandingZone

        return LandingZone(self.landing)

    def store(self) -> Warehouse:
        """Return the warehouse of this home."""
        return Warehouse(self.warehouse)
