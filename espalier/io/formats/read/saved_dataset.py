"""Reads folders that Hugging Face ``datasets`` wrote with ``save_to_disk``: Arrow files, mapped into memory.

A row is a sample, as in ``read.tables``; splits are subsets. What does not belong here: which column means
what (``espalier.io.formats.read.columns``), and the bytes (``espalier.io.files.cells``).
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from espalier.core.errors import EspalierError
from espalier.io.files.blobs import cell_uri
from espalier.io.files.cells import open_arrow
from espalier.io.files.listing import local_path
from espalier.io.formats.read.base import Sample, batched, check_options, nothing_in, sorted_labels
from espalier.io.formats.read.columns import OPTIONS, Columns, choose
from espalier.io.formats.read.tables import ROWS, class_names, column_kinds
from espalier.io.landing.cards import Card


class SavedDataset:
    """Streams a folder that Hugging Face ``datasets`` wrote with ``save_to_disk``, one dataset or one a split.

    Parameters
    ----------
    card : Card
        ``uri`` is the local folder with ``dataset_info.json`` or ``dataset_dict.json``.
    """

    format = "hf_disk"

    def __init__(self, card: Card) -> None:
        check_options(self.format, card.reader_options, OPTIONS)
        self.uri, self._options = card.uri, card.reader_options
        path = local_path(card.uri)
        if path is None:
            raise EspalierError(f"{card.uri}: a saved dataset is mapped into memory.", "Copy it to a local disk.")
        self._root = path
        self._names: tuple[str, ...] = ()
        self._labels: dict[str, None] | None = None

    def batches(self, size: int) -> Iterator[list[Sample]]:
        """Yield lists of at most ``size`` samples, split by split, in the order of rows."""
        return batched(self._samples(), size)

    def categories(self) -> list[str]:
        """Return the class names of the features, or those of a full pass, sorted."""
        if self._labels is None:
            for _ in self._samples():
                pass
        return list(self._names) or sorted_labels(self._labels or ())

    def _samples(self) -> Iterator[Sample]:
        labels: dict[str, None] = {}
        empty = True
        for split in self.splits():
            for file in self.files(self._root / split):
                for sample in self.rows(file, split):
                    empty = False
                    labels.update(dict.fromkeys(sample.labels))
                    yield sample
        if empty:
            raise nothing_in(self.uri, "row")
        self._labels = labels

    def splits(self) -> list[str]:
        """Return the names of the splits; '' for a dataset without any."""
        path = self._root / "dataset_dict.json"
        return [_plain(name, path) for name in _json(path).get("splits", [])] if path.is_file() else [""]

    def files(self, folder: Path) -> list[Path]:
        """Return the Arrow files of one split, in their order."""
        state = _json(folder / "state.json")
        if state.get("_indices_data_files"):
            raise EspalierError(f"{folder} keeps its order in a file apart.", "Save it after flatten_indices().")
        return [folder / _plain(item["filename"], folder) for item in state.get("_data_files", [])]

    def unused(self) -> list[str]:
        """Return the columns of the first file that no sample is made of."""
        names, columns, _ = self._first()
        return columns.unused(names)

    def boxed(self) -> bool:
        """Tell whether the first file has boxes."""
        return self._first()[1].objects != ""

    def schema(self) -> pa.Schema:
        """Return the schema of the first file."""
        return self._first()[2]

    def _first(self) -> tuple[list[str], Columns, pa.Schema]:
        file = next(file for split in self.splits() for file in self.files(self._root / split))
        table, columns = self._opened(file)
        return table.schema.names, columns, table.schema

    def _opened(self, file: Path) -> tuple[pa.Table, Columns]:
        try:
            table = open_arrow(str(file))
        except OSError as error:
            raise EspalierError(f"{file} cannot be read: {error}.", "Check it and try again.") from error
        where = str(file), str(file.parent)
        return table, choose(column_kinds(table.schema), self._options, *where, class_names(table.schema))

    def rows(self, file: Path, split: str) -> Iterator[Sample]:
        """Yield a sample for every row of one file."""
        table, columns = self._opened(file)
        self._names = self._names or columns.names or columns.box_names
        stem = "/".join(filter(None, (split, file.stem)))
        wanted, row_number = table.select([name.split(".")[0] for name in columns.wanted()]), 0
        for start in range(0, table.num_rows, ROWS):
            rows = (
                wanted.slice(start, ROWS).to_pylist()
                if wanted.num_columns
                else [{}] * min(ROWS, table.num_rows - start)
            )
            for row in rows:
                uri = cell_uri("arrow", str(file), row_number, columns.image) if columns.image else ""
                yield columns.sample(row, f"{stem}/{row_number:09}", split, uri)
                row_number += 1


def _json(path: Path) -> dict[str, Any]:
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
