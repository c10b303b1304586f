"""Writes tables and lists: kept rows of Parquet, saved Hugging Face datasets, CSV, TSV and JSONL as they stand.

Rows are written out contiguously, in their order, into files of the source's names; nothing points back by an index.
Files of which no row is kept are left out (a saved dataset keeps each split). Schema and metadata stay. Pictures that a
table or list names by path, and those of img2dataset's ``files`` output with the texts beside them, come along at the
same place below it. A path in a table or list that is absolute, a URL, or climbs and comes back is rewritten to where
the picture is in the export; every other value stays as it is.
"""

import csv
import hashlib
import json
import shutil
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from espalier.core.errors import EspalierError
from espalier.io.files.cells import open_arrow, open_parquet
from espalier.io.files.listing import is_url
from espalier.io.formats.read.base import Sample
from espalier.io.formats.read.lists import ListFile, json_lines, open_list, separator_of
from espalier.io.formats.read.tables import ParquetTables, SavedDataset, read_json
from espalier.io.formats.write.base import Progress, Subset, Written, inside, put_file, refuse_link

ROW_GROUP = 10_000
_BYTES = 256 << 20
_BATCH = 1024


def write_parquet(subset: Subset, folder: Path, *, link: bool, progress: Progress) -> Written:
    """Write the kept rows of every Parquet file; see ``espalier.io.formats.write.base.Writer``."""
    reader, left, files = ParquetTables(subset.card), subset.ids(), {}  # type: ParquetTables, set[str], dict[str, str]
    packed = False
    for file in reader.files():
        kept = first_of_each(reader.rows(file), left)
        if not kept:
            continue
        samples = list(kept.values())
        with open_parquet(file.uri) as table:
            columns = reader.columns_of(file, table.schema_arrow)
            packed |= bool(columns.image)
            path = inside(folder, file.name)
            names = None
            if not columns.image and columns.path:
                names = bring([sample.uri for sample in samples], columns.root, path.parent, link)
            elif not columns.image and any(sample.uri for sample in samples):
                _bring_siblings(Path(file.uri).with_suffix(""), path.with_suffix(""), kept, link)
            _copy_rows(table, path, np.array(list(kept)), columns.path, names, progress)
        files |= {sample.sample_id: file.name for sample in samples}
    refuse_link(link and packed, "tables")
    return Written(files)


def first_of_each(rows: Iterable[Sample], left: set[str]) -> dict[int, Sample]:
    """Return by row the first readable sample of each id that is still ``left``, and take these out of it."""
    kept = {}
    for row, sample in enumerate(rows):
        if sample.sample_id in left and sample.error is None:
            left.remove(sample.sample_id)
            kept[row] = sample
    return kept


def _copy_rows(
    source: pq.ParquetFile, path: Path, rows: np.ndarray, column: str, names: list[str] | None, progress: Progress
) -> None:
    """Write the rows at ``rows`` (ascending positions) into a new file, in full row groups.

    What ``column`` says of them are paths, which become ``names`` where they would mean another picture.
    """
    waiting: list[pa.Table] = []
    start = done = 0
    with pq.ParquetWriter(path, source.schema_arrow, compression="zstd") as writer:
        for batch in source.iter_batches(_BATCH):
            within = rows[np.searchsorted(rows, start) : np.searchsorted(rows, start + batch.num_rows)] - start
            start += batch.num_rows
            if not len(within):
                continue
            part = pa.Table.from_batches([batch.take(pa.array(within))], source.schema_arrow)
            part = part if names is None else _with_paths(part, column, names[done : done + len(part)])
            done += len(part)
            waiting.append(part)
            if sum(map(len, waiting)) >= ROW_GROUP or sum(t.nbytes for t in waiting) >= _BYTES:
                writer.write_table(pa.concat_tables(waiting), row_group_size=ROW_GROUP)
                waiting = []
            progress(len(part))
        if waiting:
            writer.write_table(pa.concat_tables(waiting), row_group_size=ROW_GROUP)


def _with_paths(part: pa.Table, column: str, names: list[str]) -> pa.Table:
    place = part.schema.get_field_index(column)
    field, old = part.schema.field(place), part.column(place).to_pylist()
    paths = [was if was and stays(was) else name for was, name in zip(old, names, strict=True)]
    return part.set_column(place, field, pa.array(paths, field.type))


def stays(path: str) -> bool:
    """Tell whether a path means the same picture in the export as in the source."""
    return not path.startswith("/") and not is_url(path) and ".." not in path.split("/")


def bring(uris: list[str], root: str, folder: Path, link: bool) -> list[str]:
    """Put pictures into ``folder`` at their paths below ``root``, each once; return these paths ('' for no uri)."""
    start = root.rstrip("/") + "/"
    names: list[str] = []
    there: set[str] = set()
    for uri in uris:
        name = uri.removeprefix(start)
        if uri and name not in there:
            put_file(uri, inside(folder, name), link=link)
            there.add(name)
        names.append(name)
    return names


def _bring_siblings(source: Path, target: Path, kept: dict[int, Sample], link: bool) -> None:
    """Bring along ``<shard>/<key>.*`` of img2dataset's ``files`` output; links, which may lead anywhere, are not."""
    keys = {sample.sample_id for sample in kept.values()}
    for path in sorted(path for path in source.iterdir() if path.is_file() and not path.is_symlink()):
        if path.stem in keys:
            put_file(str(path), inside(target, path.name), link=link)


def write_saved_dataset(subset: Subset, folder: Path, *, link: bool, progress: Progress) -> Written:
    """Write the kept rows of a saved Hugging Face dataset; see ``espalier.io.formats.write.base.Writer``."""
    refuse_link(link, "tables")
    reader, left, files = SavedDataset(subset.card), subset.ids(), {}  # type: SavedDataset, set[str], dict[str, str]
    root = Path(reader.uri)
    sizes: dict[str, tuple[int, int]] = {}
    for split in reader.splits():
        names: list[str] = []
        n_rows = n_bytes = 0
        for file in reader.files_of(split):
            kept = first_of_each(reader.rows(file), left)
            if kept or not names:
                n_bytes += _copy_arrow(file.uri, inside(folder, file.name), np.array(list(kept), np.int64), progress)
                n_rows += len(kept)
                names.append(Path(file.uri).name)
            files |= {sample.sample_id: file.name for sample in kept.values()}
        sizes[split] = n_rows, n_bytes
        (folder / split).mkdir(exist_ok=True)
        _describe(root / split, folder / split, names, sizes)
    if (root / "dataset_dict.json").is_file():
        shutil.copyfile(root / "dataset_dict.json", folder / "dataset_dict.json")
    return Written(files)


def _copy_arrow(source: str, path: Path, rows: np.ndarray, progress: Progress) -> int:
    """Write rows into a new Arrow stream; return their bytes."""
    table, n_bytes = open_arrow(source), 0
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        for start in range(0, len(rows), _BATCH):
            part = table.take(pa.array(rows[start : start + _BATCH]))
            writer.write_table(part.combine_chunks(), max_chunksize=_BATCH)
            n_bytes += part.nbytes
            progress(len(part))
    return n_bytes


def _describe(source: Path, folder: Path, names: list[str], sizes: dict[str, tuple[int, int]]) -> None:
    """Write ``state.json`` and ``dataset_info.json`` of a split with the new files and counts."""
    state = read_json(source / "state.json")
    state["_data_files"] = [{"filename": name} for name in names]
    digest = hashlib.blake2b(json.dumps([state, sorted(sizes.items())], sort_keys=True).encode(), digest_size=8)
    state["_fingerprint"] = digest.hexdigest()
    write_json(folder / "state.json", state)
    path = source / "dataset_info.json"
    if not path.is_file():
        return
    info = read_json(path)
    for split, about in (info.get("splits") or {}).items():
        if split in sizes or len(sizes) == 1:
            n, n_bytes = sizes.get(split, next(iter(sizes.values())))
            about |= {"num_examples": n, "num_bytes": n_bytes}
            about.pop("shard_lengths", None)
    for gone in ("download_checksums", "download_size", "dataset_size", "size_in_bytes"):
        info.pop(gone, None)
    write_json(folder / "dataset_info.json", info)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write one of the JSON files of a saved dataset."""
    path.write_text(json.dumps(content, indent=2, sort_keys=True), "utf-8")


def write_list(subset: Subset, folder: Path, *, link: bool, progress: Progress) -> Written:
    """Write the kept rows of every list with their pictures; see ``espalier.io.formats.write.base.Writer``."""
    reader, left, files = ListFile(subset.card), subset.ids(), {}  # type: ListFile, set[str], dict[str, str]
    for file in reader.files():
        kept = first_of_each(reader.rows(file), left)
        if not kept:
            continue
        target, columns = inside(folder, file.name), reader.columns_of(file)
        paths: dict[int, str] = {}
        if columns.path:
            brought = bring([sample.uri for sample in kept.values()], columns.root, target.parent, link)
            paths = dict(zip(kept, brought, strict=True))
        with open_list(file.uri) as source, target.open("x", encoding="utf-8", newline="") as out:
            separator = separator_of(file.uri)
            if separator is None:
                _copy_lines(source, out, kept.keys(), columns.path, paths)
            else:
                _copy_cells(source, out, separator, kept.keys(), columns.path, paths)
        files |= {sample.sample_id: file.name for sample in kept.values()}
        progress(len(kept))
    return Written(files)


def _copy_lines(source: TextIO, out: TextIO, kept: Container[int], column: str, paths: dict[int, str]) -> None:
    """Copy the kept lines of a JSONL; a line is written anew only when its path changes."""
    for row, line in enumerate(json_lines(source)):
        if row not in kept:
            continue
        if row in paths:
            values: dict[str, Any] = json.loads(line)
            if not stays(str(values[column])):
                line = json.dumps(values | {column: paths[row]}, ensure_ascii=False)
        out.write(line.rstrip("\r\n") + "\n")


def _copy_cells(
    source: TextIO, out: TextIO, separator: str, kept: Container[int], column: str, paths: dict[int, str]
) -> None:
    """Copy the header and the kept rows of a CSV or TSV."""
    rows = (row for row in csv.reader(source, delimiter=separator) if row)
    writer = csv.writer(out, delimiter=separator, lineterminator="\n")
    header = next(rows, None)
    if header is None:
        raise EspalierError("The list is empty now.", "Prune again.")
    writer.writerow(header)
    place = header.index(column) if column in header else -1
    for number, row in enumerate(rows):
        if number in kept:
            if number in paths and not stays(row[place]):
                row[place] = paths[number]
            writer.writerow(row)
