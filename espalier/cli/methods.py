"""``espalier methods``: what can stand in a recipe."""

from typing import Any

import click

from espalier.cli.common import reporting, table


def _show(methods: list[dict[str, Any]]) -> None:
    rows = []
    for m in methods:
        params = "\n".join(f"{k}={_default(p['default'])}  ({p['takes']})" for k, p in m["params"].items())
        rows.append([m["method"], m["summary"], params])
    table("", ["method", "what it keeps", "parameters"], rows)
    click.echo("A recipe is METHOD@RATIO[:name=value]*, for example density@0.3:keep=easy. Details: docs/methods.md")


def _default(value: object) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return "+".join(value) or "all" if isinstance(value, tuple) else str(value)


@click.command("methods")
@reporting(_show)
def command() -> list[dict[str, Any]]:
    """List the prune methods with their parameters and defaults.

    \b
    espalier methods
    espalier methods --json
    """  # noqa: D301
    from espalier.core.prune import METHODS
    from espalier.core.prune.scope import Scope
    from espalier.core.recipe import describe, fields_of

    methods = []
    for name, kind in METHODS.items():
        shared = {k: v for k, v in fields_of(Scope).items() if k in kind.accepts}
        params = {k: {"takes": describe(p.kind), "default": p.default} for k, p in (fields_of(kind) | shared).items()}
        methods.append({"method": name, "summary": kind.summary, "params": params})
    return methods
