"""The command group. Subcommands are imported when they are asked for, Dagster only by those that launch runs."""

import importlib
import os
import sys
from typing import NoReturn

import click

from espalier import __version__
from espalier.core.errors import EspalierError

COMMANDS = {
    "land": "Make a folder of images a dataset (writes a card, copies nothing).",
    "prune": "Prune a dataset by a recipe; runs what is missing or stale and nothing else.",
    "export": "Write the samples that a recipe keeps into a folder, in any of some sixty formats.",
    "compare": "Measure prune methods beside random of the same size, with a table and a plot.",
    "explore": "Find what looks like a picture or a sample, or matches words.",
    "dedup": "Find duplicates: exact, near and semantic, and leaks between subsets or datasets.",
    "why": "Tell what each stage decided about one sample, and why.",
    "diff": "Show what only one of two recipes keeps.",
    "keep": "Keep samples by hand, whatever the stages say.",
    "drop": "Drop samples by hand.",
    "status": "Show datasets, stages and manifests, and what is stale.",
    "methods": "List the prune methods and their parameters.",
    "models": "List, add, check and convert encoders.",
    "sql": "Query everything that is stored, one view an asset.",
    "forget": "Remove a dataset, or one recipe of it, from Espalier (never your files).",
    "ui": "Open the Dagster page, with the landing sensor running.",
    "workspace": "Print the entry that adds Espalier to another Dagster workspace.",
    "demo": "Prune scikit-learn's handwritten digits by four recipes.",
}


class LazyGroup(click.Group):
    """A group that imports a subcommand's module only when that command runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of a user's way through them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import ``espalier.cli.<name>`` and return its ``command``."""
        if cmd_name not in COMMANDS:
            return None
        return importlib.import_module(f"espalier.cli.{cmd_name}").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def use_home(_: click.Context, __: click.Parameter, value: str | None) -> None:
    """Take the home that an option names."""
    if value:
        os.environ["ESPALIER_HOME"] = os.path.abspath(os.path.expanduser(value))  # noqa: PTH100, PTH111


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="espalier")
@click.option("--home", type=click.Path(), callback=use_home, expose_value=False,
              help="The folder that holds everything [ESPALIER_HOME or ./.espalier].")  # fmt: skip
def group() -> None:
    """Prune image datasets: duplicates out, clusters measured, the samples that teach most kept.

    \b
    Start:   espalier prune PATH/TO/IMAGES -m density -r 0.3
    Look:    espalier ui
    """  # noqa: D301


def main(argv: list[str] | None = None) -> NoReturn:
    """Run the command line; a user's mistake is one line and an exit code, never a traceback."""
    try:
        code = group.main(args=argv, prog_name="espalier", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("Interrupted. What was finished is kept; run the same command to go on.", err=True)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except EspalierError as error:
        click.secho("error: ", fg="red", bold=True, err=True, nl=False)
        click.echo(str(error), err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)
