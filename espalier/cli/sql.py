"""``espalier sql``: everything that is stored, as views."""

import click

from espalier.cli.common import json_option, table


@click.command("sql")
@click.argument("query")
@json_option
@click.option("--limit", default=1000, show_default=True, help="Most rows of the table; --json prints all.")
def command(query: str, as_json: bool, limit: int) -> None:
    """Run one SELECT over the stored assets: one view an asset, with the columns dataset and recipe.

    \b
    espalier sql "select fate, count(*) from pruned_manifest group by all"
    espalier sql "select sample_id, error from raw_dataset where error is not null" --json
    """  # noqa: D301
    from espalier.io.home import Home
    from espalier.io.warehouse.views import query as run

    with run(Home.find().store(), query) as result:
        if as_json:
            _print_rows(result)
            return
        names = result.columns
        rows = [list(row) for row in result.limit(limit + 1).fetchall()]
    table("", names, rows[:limit])
    if len(rows) > limit:
        click.echo(f"Only the first {limit} rows are shown; add a limit, or --json for all.", err=True)


def _print_rows(result: object) -> None:
    """Print an array of row objects, block by block."""
    import json

    separator = "["
    for batch in result.to_arrow_reader(4096):  # type: ignore[attr-defined]
        for row in batch.to_pylist():
            click.echo(separator + json.dumps(row, ensure_ascii=False, default=str), nl=False)
            separator = ",\n"
    click.echo("]" if separator != "[" else "[]")
