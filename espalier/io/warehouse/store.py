"""Writing and finding partitions: a file is written beside the old one and renamed over it when whole."""

import glob
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import duckdb
import pyarrow as pa

from espalier.core.errors import EspalierError
from espalier.core.names import check_dataset_name
from espalier.io.atomic import put, remove_leftovers, sync, temporary
from espalier.io.warehouse.pool import created
from espalier.io.warehouse.table import Draft, Meta, Rows, Table

WIDE_ARRAY = 32


class Piece(Protocol):
    """Something that a step wrote beside its place: a table, a folder, files, or parts that are no longer needed."""

    def commit(self) -> None:
        """Put it in its place."""

    def discard(self) -> None:
        """Throw it away; what stood in its place stays."""


@dataclass(frozen=True)
class Staged:
    """A partition that is written and can be read, but not yet in its place."""

    table: Table
    target: Path

    def commit(self) -> None:
        """Swap it in: readers see the old file or the new one, never half of one."""
        put(self.table.path, self.target)

    def discard(self) -> None:
        """Throw it away; what stood in its place stays."""
        self.table.path.unlink(missing_ok=True)


class Warehouse:
    """All stored partitions below one folder.

    ``<asset>/<dataset>.duckdb``, and ``<asset>/<dataset>/<recipe>.duckdb`` for assets with recipes.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, asset: str, dataset: str, recipe: str = "") -> Path:
        """Return where the partition's file is or would be."""
        folder = self.root / asset
        check_dataset_name(dataset)
        return folder / dataset / f"{recipe_file(recipe)}.duckdb" if recipe else folder / f"{dataset}.duckdb"

    def parts(self, asset: str, dataset: str) -> Path:
        """Return the folder of a long stage's resumable parts."""
        return self.root / asset / f"{check_dataset_name(dataset)}.parts"

    def get(self, asset: str, dataset: str, recipe: str = "") -> Table | None:
        """Return the partition, or None when it was never stored."""
        path = self.path(asset, dataset, recipe)
        return Table(path) if path.exists() else None

    def need(self, asset: str, dataset: str, recipe: str = "") -> Table:
        """Return the partition, or say how to make it."""
        table = self.get(asset, dataset, recipe)
        if table is None:
            by, how = (f" by {recipe}", f" --recipe {recipe}") if recipe else ("", "")
            raise EspalierError(
                f"{asset} of {dataset!r}{by} has not been made yet.", f"Run: espalier prune {dataset}{how}"
            )
        return table

    def datasets(self, asset: str = "raw_dataset") -> list[str]:
        """Return the datasets that have ``asset`` stored, sorted."""
        return sorted(p.stem for p in (self.root / asset).glob("*.duckdb"))

    def recipes(self, dataset: str, asset: str = "pruned_manifest") -> list[str]:
        """Return the recipes stored for a dataset, sorted."""
        folder = self.root / asset / check_dataset_name(dataset)
        return sorted(file_recipe(p.stem) for p in folder.glob("*.duckdb"))

    def holds(self, dataset: str) -> bool:
        """Tell whether anything is stored for a dataset."""
        return next(self._files(dataset, ""), None) is not None

    def stage(self, draft: Draft, meta: Meta) -> Staged:
        """Write a draft beside its place; ``commit`` swaps it in.

        Left-overs of writers that were killed are removed first.
        """
        target = self.path(meta.asset, meta.dataset, meta.recipe)
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(target.parent, target.stem)
        path = temporary(target, target.stem, ".tmp")
        try:
            _write(path, draft, meta)
        except BaseException as error:
            for half in (path, path.with_name(f"{path.name}.wal")):
                half.unlink(missing_ok=True)
            if isinstance(error, duckdb.OutOfMemoryException):
                what = f"Storing {meta.asset} of {meta.dataset!r} ran out of memory."
                raise EspalierError(what, "Free some and run again.") from error
            raise
        return Staged(Table(path), target)

    def forget(self, dataset: str, recipe: str = "") -> int:
        """Delete what is stored for a dataset (or only one recipe of it); return how many files went."""
        gone = list(self._files(dataset, recipe))
        for path in gone:
            path.unlink()
        if not recipe:
            for asset in (p for p in self.root.iterdir() if p.is_dir()) if self.root.exists() else ():
                shutil.rmtree(asset / dataset, ignore_errors=True)
                shutil.rmtree(asset / f"{dataset}.parts", ignore_errors=True)
                (asset / f".{dataset}.parts.lock").unlink(missing_ok=True)
        return len(gone)

    def _files(self, dataset: str, recipe: str) -> Iterator[Path]:
        check_dataset_name(dataset)
        if recipe:
            yield from self.root.glob(f"*/{dataset}/{glob.escape(recipe_file(recipe))}.duckdb")
            return
        yield from self.root.glob(f"*/{dataset}.duckdb")
        yield from self.root.glob(f"*/{dataset}/*.duckdb")


def recipe_file(recipe: str) -> str:
    """Return a recipe as a file name: ``:`` becomes ``~``, which no recipe contains."""
    return recipe.replace(":", "~")


def file_recipe(stem: str) -> str:
    """Return the recipe that ``recipe_file`` wrote."""
    return stem.replace("~", ":")


def _write(path: Path, draft: Draft, meta: Meta) -> None:
    with created(path) as db:
        _create(db, "data", draft.rows, draft.sort)
        for name, rows in draft.side.items():
            _create(db, name, rows, "")
        n_rows, version = _contents(db, ["data", *draft.side])
        record = replace(meta, data_version=version, n_rows=n_rows, stats=dict(draft.stats))
        db.execute("CREATE TABLE _meta (record VARCHAR)")
        db.execute("INSERT INTO _meta VALUES (?)", [record.dumps()])
    sync(path)


def _create(db: duckdb.DuckDBPyConnection, name: str, rows: Rows, sort: str) -> None:
    # Wide arrays of floats do not shrink, and looking for a way costs more than writing them.
    wide = any(pa.types.is_fixed_size_list(f.type) and f.type.list_size >= WIDE_ARRAY for f in rows.schema)
    db.execute(f"PRAGMA force_compression='{'uncompressed' if wide else 'auto'}'")
    db.register("incoming", rows)
    db.execute(f"CREATE TABLE {name} AS SELECT * FROM incoming {f'ORDER BY {sort}' if sort else ''}")
    db.unregister("incoming")


def _contents(db: duckdb.DuckDBPyConnection, tables: list[str]) -> tuple[int, str]:
    """Count the main table's rows and digest all rows: xor and sum of 64-bit row hashes, order apart."""
    count, xor, total = 0, 0, 0
    for place, table in enumerate(tables, start=1):
        columns = db.execute(f"SELECT * FROM {table} LIMIT 0").description or []
        # DuckDB hashes no list and an empty one alike.
        lists = [f"{name} IS NULL" for name, kind, *_ in columns if str(kind).endswith("[]")]
        row = f"hash({', '.join([table, *lists])})"
        ((n, xors, sums),) = db.execute(f"SELECT count(*), bit_xor({row}), sum({row}) FROM {table}").fetchall()
        count = n if table == "data" else count
        xor ^= (int(xors or 0) * place) % 2**64
        total = (total + int(sums or 0) * place + n) % 2**64
    return count, f"{xor:016x}{total:016x}"
