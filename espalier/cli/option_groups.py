"""Options that stand in a section of their own in ``--help``, below the command's plain ones."""

from typing import Any

import click
from click.core import ParameterSource


class GroupedOption(click.Option):
    """An option of the section ``group``."""

    def __init__(self, *args: Any, group: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose help shows each group of options under its name; ``--num_cut`` is ``--num-cut``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Spell long options with hyphens, up to a bare ``--``."""
        end = args.index("--") if "--" in args else len(args)
        return super().parse_args(ctx, [*map(_hyphens, args[:end]), *args[end:]])

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the plain options, then a section a group."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                sections.setdefault(getattr(param, "group", "Options"), []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def given_options(ctx: click.Context, *, grouped: bool) -> dict[str, str]:
    """Return the options that the user wrote, name to spelling: those of a group, or the plain ones."""
    written = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
    return {
        param.name: max(param.opts, key=len)
        for param in ctx.command.params
        if isinstance(param, click.Option)
        and param.name is not None
        and isinstance(param, GroupedOption) == grouped
        and ctx.get_parameter_source(param.name) in written
    }


def _hyphens(arg: str) -> str:
    name, equals, value = arg.partition("=")
    return name.replace("_", "-") + equals + value if arg.startswith("--") else arg
