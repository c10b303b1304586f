"""``espalier sql``: everything that is stored, as views."""

import click

from espalier.cli.common import open_home, table, to_json


@click.command("sql")
@click.argument("query")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words.")
@click.option("--limit", default=1000, show_default=True, help="Most rows of the table; --json prints all.")
def command(query: str, as_json: bool, limit: int) -> None:
    """Run one SELECT over the stored assets: one view an asset, with the columns dataset and recipe.

    \b
    espalier sql "select fate, count(*) from pruned_manifest group by all"
    espalier sql "select sample_id, error from raw_dataset where error is not null" --json
    """  # noqa: D301
    from espalier.io.warehouse.views import query as run

    with run(open_home().store(), query) as result:
        if as_json:
            separator = "["
            for batch in result.to_arrow_reader(4096):  # row objects of an array, block by block
                for row in batch.to_pylist():
                    click.echo(separator + to_json(row), nl=False)
                    separator = ",\n"
            click.echo("]" if separator != "[" else "[]")
            return
        rows = result.limit(limit + 1).fetchall()
        table("", result.columns, rows[:limit])
    if len(rows) > limit:
        click.echo(f"Only the first {limit} rows are shown; add a limit, or --json for all.", err=True)
