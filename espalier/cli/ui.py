"""``espalier ui``: the Dagster page and its daemon on this home."""

import os
import signal
import socket
import subprocess
import sys

import click

from espalier.cli.common import open_home
from espalier.core.errors import EspalierError


@click.command("ui")
@click.option("-p", "--port", default=3000, show_default=True, help="Port of the page.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
def command(port: int, host: str) -> None:
    """Open the Dagster page; the landing sensor runs as long as it is open.

    \b
    espalier ui
    espalier ui -p 3333
    """  # noqa: D301
    from espalier.cli.launch import open_instance, prepare
    from espalier.cli.workspace import project_folder

    _check_port(host, port)
    home = prepare(open_home())
    open_instance(home).dispose()
    click.echo(f"Home: {home.root}")
    click.echo(f"A folder copied into {home.landing} becomes a dataset by itself.")
    click.echo(f"Page: http://{host}:{port}   (Ctrl-C ends it)")
    workspace = str(project_folder() / "workspace.yaml")
    arguments = [sys.executable, "-m", "dagster", "dev", "-w", workspace, "-p", str(port), "-h", host]
    process = subprocess.Popen(arguments, env=os.environ | {"DAGSTER_HOME": str(home.dagster)})
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    while True:
        try:
            sys.exit(process.wait())
        except KeyboardInterrupt:
            continue  # the page got the same Ctrl-C and is ending its processes


def _check_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise EspalierError(
                f"The page cannot listen on {host}:{port}: {error.strerror}.",
                f"Take another: espalier ui -p {port + 1}",
            ) from error
