"""``espalier ui``: the Dagster page and its daemon on this home."""

import os
import subprocess
import sys

import click


@click.command("ui")
@click.option("-p", "--port", default=3000, show_default=True, help="Port of the page.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
def command(port: int, host: str) -> None:
    """Open the Dagster page; the landing sensor runs as long as it is open.

    \b
    espalier ui
    espalier ui -p 3333
    """  # noqa: D301
    from cli.launch import prepare, project_file
    from resources.home import Home

    home = prepare(Home.find())
    click.echo(f"Home: {home.root}")
    click.echo(f"A folder copied into {home.landing} becomes a dataset by itself.")
    click.echo(f"Page: http://{host}:{port}   (Ctrl-C ends it)")
    workspace = project_file("workspace.yaml")
    definitions = workspace.parent / "definitions.py"
    where = ["-w", str(workspace)] if definitions.exists() else ["-m", "definitions"]
    arguments = [sys.executable, "-m", "dagster", "dev", *where, "-p", str(port), "-h", host]
    try:
        sys.exit(subprocess.call(arguments, env=os.environ | {"DAGSTER_HOME": str(home.dagster)}))
    except KeyboardInterrupt:
        sys.exit(0)
