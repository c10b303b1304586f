"""``espalier workspace``: how another Dagster deployment loads Espalier beside its own code."""

import sys
from pathlib import Path

import click

import espalier


def project_folder() -> Path:
    """Return the folder with definitions.py, workspace.yaml and dagster.yaml.

    It lies beside the package in a checkout, inside it where a wheel was installed.
    """
    package = Path(espalier.__file__).parent
    inside = package / "project"
    return inside if inside.is_dir() else package.parent


@click.command("workspace")
def command() -> None:
    """Print the entry that makes Espalier a code location of a workspace.yaml.

    \b
    espalier workspace >> workspace.yaml
    """  # noqa: D301
    import yaml

    folder = project_folder()
    entry = {
        "python_file": {
            "relative_path": str(folder / "definitions.py"),
            "working_directory": str(folder),
            "location_name": "espalier",
            "executable_path": sys.executable,
        }
    }
    click.echo(yaml.safe_dump({"load_from": [entry]}, sort_keys=False), nl=False)
