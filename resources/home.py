"""ESPALIER_HOME: the one folder in which everything that Espalier keeps has its place."""

import os
from dataclasses import dataclass
from pathlib import Path

from espalier.errors import EspalierError
from resources.warehouse import Warehouse

FOLDERS = ("landing", "warehouse", "manifests", "reports", "models", "dagster")


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

    def __getattr__(self, name: str) -> Path:
        """Give ``home.landing``, ``home.manifests`` and the other folders of FOLDERS."""
        if name in FOLDERS:
            return self.root / name
        raise AttributeError(name)

    def ensure(self) -> "Home":
        """Make the folders that are missing; a folder that cannot be written is a clear error."""
        try:
            for name in FOLDERS:
                (self.root / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EspalierError(
                f"Cannot write to {self.root}: {error.strerror}.",
                "Set ESPALIER_HOME to a folder that you may write to.",
            ) from error
        closed = [folder for name in FOLDERS if not os.access(folder := self.root / name, os.W_OK | os.X_OK)]
        if closed:
            raise EspalierError(
                f"Cannot write to {closed[0]}: permission denied.",
                "Set ESPALIER_HOME to a folder that you may write to.",
            )
        return self

    def store(self) -> Warehouse:
        """Return the warehouse of this home."""
        return Warehouse(self.root / "warehouse")
