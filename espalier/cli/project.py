"""Where the Dagster project lies: beside the package in a checkout, inside it where a wheel was installed."""

import sys
from pathlib import Path

import espalier


def project_folder() -> Path:
    """Return the folder with definitions.py, workspace.yaml and dagster.yaml."""
    package = Path(espalier.__file__).parent
    inside = package / "project"
    return inside if inside.is_dir() else package.parent


def on_path() -> Path:
    """Put the project first on this process's path, as Dagster's ``working_directory`` does; return its folder."""
    folder = project_folder()
    if str(folder) not in sys.path[:1]:
        sys.path.insert(0, str(folder))
    return folder
