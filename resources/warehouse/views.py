"""All of the warehouse as SQL views: one an asset, with ``dataset`` (and ``recipe``) columns."""

import re
from pathlib import Path

import duckdb

from espalier.errors import EspalierError, UsageError
from resources.warehouse.store import Warehouse, file_recipe


def query(warehouse: Warehouse, sql: str) -> duckdb.DuckDBPyRelation:
    """Run one read-only SELECT over the assets' views; only the assets that it names are opened.

    Raises
    ------
    UsageError
        When the SQL is not valid, changes something, or names what is not there (with what is).
    """
    db = duckdb.connect(config={"allow_community_extensions": "false"})
    assets = {p.name: p for p in sorted(warehouse.root.iterdir())} if warehouse.root.exists() else {}
    for name, folder in assets.items():
        if re.search(rf"\b{re.escape(name)}\b", sql):
            _make_view(db, name, folder)
    try:
        statements = db.extract_statements(sql)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise UsageError(
                "espalier sql runs one SELECT.", "Write for example: select * from clusters limit 5"
            )
        db.execute("SET enable_external_access=false")
        db.execute("SET lock_configuration=true")
        return db.sql(sql)
    except duckdb.Error as error:
        known = ", ".join(assets) or "nothing yet; run espalier prune first"
        raise UsageError(f"{str(error).strip()}", f"Views: {known}.") from error


def _make_view(db: duckdb.DuckDBPyConnection, asset: str, folder: Path) -> None:
    selects = []
    for number, path in enumerate(sorted([*folder.glob("*.duckdb"), *folder.glob("*/*.duckdb")])):
        alias = f"{asset}_{number}"
        try:
            db.execute(f"ATTACH {_quote(str(path))} AS {alias} (READ_ONLY)")
        except duckdb.Error as error:
            raise EspalierError(
                f"{path} cannot be read: {error}.", "Delete it and run espalier prune."
            ) from error
        nested = path.parent != folder
        dataset = path.parent.name if nested else path.stem
        keys = f"{_quote(dataset)} AS dataset" + (
            f", {_quote(file_recipe(path.stem))} AS recipe" if nested else ""
        )
        selects.append(f"SELECT {keys}, * FROM {alias}.data")
    if selects:
        db.execute(f"CREATE VIEW {asset} AS {' UNION ALL BY NAME '.join(selects)}")


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
