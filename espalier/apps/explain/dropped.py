"""The samples that are dropped as duplicates, as lists and pictures for people: files, not tables."""

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from espalier.core.errors import EspalierError, UsageError
from espalier.io.atomic import written
from espalier.io.home import Home
from espalier.io.results import sheet_name
from espalier.io.warehouse.table import session

SHEETS = (("dedup", "groups"), ("dedup", "leaks"), ("dedup", "threshold"), ("semantic", "pairs"))
COLUMNS = ("sample_id", "subset", "stage", "duplicate_of", "of_dataset", "similarity")
LIST = "dropped.csv"

DROPPED = """
SELECT r.sample_id, r.subset, coalesce(d.stage, 'semantic') AS stage,
  coalesce(d.duplicate_of, s.duplicate_of) AS duplicate_of, d.of_dataset,
  round(coalesce(d.similarity, s.similarity)::DOUBLE, 6) AS similarity
FROM raw r JOIN dedup d USING (sample_id) LEFT JOIN semantic s USING (sample_id)
WHERE NOT d.kept OR NOT s.kept ORDER BY sample_id
"""


def dropped_by_chain(home: Home, dataset: str) -> list[dict[str, Any]]:
    """Return what the chain dropped as duplicates, a dict of COLUMNS a sample, in order of sample_id."""
    assets = {"raw": "raw_dataset", "dedup": "dedup_set", "semantic": "semantic_dedup_set"}
    with session(**{name: home.store().need(asset, dataset) for name, asset in assets.items()}) as db:
        return db.sql(DROPPED).to_arrow_table().to_pylist()


def write_listing(path: Path, rows: Sequence[dict[str, Any]], columns: Sequence[str] = COLUMNS) -> None:
    """Write samples down, whole or not at all: for ``.csv`` a table with a header, else one id a line."""
    try:
        with written(path) as fresh, fresh.open("w", encoding="utf-8", newline="") as file:
            if path.suffix.lower() == ".csv":
                writer = csv.DictWriter(file, columns, lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
            else:
                file.writelines(f"{row['sample_id']}\n" for row in rows)
    except OSError as error:
        raise EspalierError(f"Cannot write {path}: {error.strerror or error}.", "Give another place.") from error


def check_list(path: Path | None, *, overwrite: bool) -> None:
    """Refuse a list's place before anything runs."""
    if path is None:
        return
    if path.is_dir():
        raise UsageError(f"{path} is a folder.", "Give a file for the list, such as dropped.txt or dropped.csv.")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} is there already.", "Give another file, or --overwrite.")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"There is no folder {path.absolute().parent}.", "Make it first.")


def sheet_paths(home: Home, dataset: str) -> list[Path]:
    """Return the contact sheets of a dataset's duplicates that there are."""
    paths = (home.reports / dataset / sheet_name(*name) for name in SHEETS)
    return [path for path in paths if path.is_file()]


def save_duplicates(home: Home, dataset: str, folder: Path) -> list[Path]:
    """Copy the contact sheets into a folder, with the list of dropped samples; return the files written.

    A sheet of an earlier answer that has nothing to show now goes; nothing else in the folder does.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for sheet in SHEETS:
            (folder / sheet_name(*sheet)).unlink(missing_ok=True)
        written = [Path(shutil.copyfile(path, folder / path.name)) for path in sheet_paths(home, dataset)]
    except OSError as error:
        raise EspalierError(f"Cannot write to {folder}: {error.strerror or error}.", "Give another folder.") from error
    write_listing(folder / LIST, dropped_by_chain(home, dataset))
    return [*written, folder / LIST]
