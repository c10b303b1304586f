"""Reads folders that Hugging Face ``datasets`` wrote with ``save_to_disk``: Arrow files, mapped into memory.

A row is a sample, as in ``read.tables``; splits are subsets.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from espalier.core.errors import EspalierError
from espalier.io.files.cells import open_arrow
from espalier.io.files.listing import local_path
from espalier.io.formats.read.base import Sample
from espalier.io.formats.read.rows import RowFile, TableReader
from espalier.io.formats.read.tables import ROWS
from espalier.io.landing.cards import Card


class SavedDataset(TableReader):
    """Streams a folder that Hugging Face ``datasets`` wrote with ``save_to_disk``, one dataset or one a split."""

    format, kind = "hf_disk", "arrow"

    def __init__(self, card: Card) -> None:
        super().__init__(card)
        path = local_path(card.uri)
        if path is None:
            raise EspalierError(f"{card.uri}: a saved dataset is mapped into memory.", "Copy it to a local disk.")
        self._root = path

    def splits(self) -> list[str]:
        """Return the names of the splits; '' for a dataset without any."""
        path = self._root / "dataset_dict.json"
        return [_plain(name, path) for name in read_json(path).get("splits", [])] if path.is_file() else [""]

    def files(self) -> Iterator[RowFile]:
        """Yield the Arrow files, split by split, in their order."""
        for split in self.splits():
            yield from self.files_of(split)

    def files_of(self, split: str) -> Iterator[RowFile]:
        """Yield the Arrow files of one split, in their order."""
        folder = self._root / split
        state = read_json(folder / "state.json")
        if state.get("_indices_data_files"):
            raise EspalierError(f"{folder} keeps its order in a file apart.", "Save it after flatten_indices().")
        for item in state.get("_data_files", []):
            path = folder / _plain(item["filename"], folder)
            name, stem = ("/".join(filter(None, (split, part))) for part in (path.name, path.stem))
            yield RowFile(str(path), name, stem + "/", split)

    def schema_of(self, file: RowFile) -> pa.Schema:
        """Return the columns of one file."""
        return self._opened(file).schema

    def rows(self, file: RowFile) -> Iterator[Sample]:
        """Yield a sample for every row of one file."""
        table = self._opened(file)
        columns = self.columns_of(file, table.schema)
        wanted = table.select(columns.wanted())
        parts = (wanted.slice(start, ROWS) for start in range(0, table.num_rows, ROWS))
        yield from self._samples_of(file, columns, (row for part in parts for row in part.to_pylist()))

    def _opened(self, file: RowFile) -> pa.Table:
        try:
            return open_arrow(file.uri)
        except OSError as error:
            raise EspalierError(f"{file.uri} cannot be read: {error}.", "Check it and try again.") from error


def read_json(path: Path) -> dict[str, Any]:
    """Read one of the JSON files of a saved dataset; {} when it holds no object."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise EspalierError(f"{path} cannot be read: {error}.", "Save the dataset again.") from error
    return value if isinstance(value, dict) else {}


def _plain(name: Any, where: Path) -> str:
    """Return a file's name that a json gives, refusing one that leads elsewhere."""
    if not isinstance(name, str) or not name or "/" in name or name in (".", ".."):
        raise EspalierError(f"{where} names a file {name!r} outside its folder.", "Save the dataset again.")
    return name
