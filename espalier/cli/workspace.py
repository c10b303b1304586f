"""``espalier workspace``: how another Dagster deployment loads Espalier beside its own code."""

import sys

import click


@click.command("workspace")
def command() -> None:
    """Print the entry that makes Espalier a code location of a workspace.yaml.

    \b
    espalier workspace >> workspace.yaml
    """  # noqa: D301
    import yaml

    from espalier.cli.project import project_folder

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
