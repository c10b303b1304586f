"""``espalier methods``: what can stand in a recipe."""

from typing import Any

import click

from espalier.cli.common import json_option, print_json, table


@click.command("methods")
@json_option
def command(as_json: bool) -> None:
    """List the prune methods with their parameters and defaults.

    \b
    espalier methods
    espalier methods --json
    """  # noqa: D301
    from espalier.core.prune import METHODS
    from espalier.core.prune.scope import Scope
    from espalier.core.recipe import describe, fields_of

    listed: list[dict[str, Any]] = []
    for name, kind in METHODS.items():
        shared = {k: v for k, v in fields_of(Scope).items() if k in kind.accepts}
        params = {k: {"takes": describe(p.kind), "default": p.default} for k, p in (fields_of(kind) | shared).items()}
        listed.append({"method": name, "summary": kind.summary, "params": params})
    if as_json:
        print_json(listed)
        return
    rows = []
    for m in listed:
        words = "\n".join(f"{k}={_default(p['default'])}  ({p['takes']})" for k, p in m["params"].items())
        rows.append([m["method"], m["summary"], words])
    table("", ["method", "what it keeps", "parameters"], rows)
    click.echo("A recipe is METHOD@RATIO[:name=value]*, for example density@0.3:keep=easy. Details: docs/methods.md")


def _default(value: object) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return "+".join(value) or "all" if isinstance(value, tuple) else str(value)
