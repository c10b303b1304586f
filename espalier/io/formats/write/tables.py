"""Writes tables: Parquet files and folders of Hugging Face ``datasets``, kept rows with all their columns.

Rows are written out contiguously, in their order, into files of the source's names; nothing points back by an index.
Files of which no row is kept are left out (a saved dataset keeps each split). Schema and metadata stay. Pictures that
a Parquet table names by path, and those of img2dataset's ``files`` output with the texts beside them, come along at
the same place below the table.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from espalier.core.errors import EspalierError
from espalier.io.files.cells import open_arrow
from espalier.io.files.listing import Entry, is_url, walk
from espalier.io.formats.read.base import Sample
from espalier.io.formats.read.columns import Columns
from espalier.io.formats.read.saved_dataset import SavedDataset
from espalier.io.formats.read.tables import ParquetTables, open_parquet
from espalier.io.formats.write.base import Progress, Subset, Written, inside, put_file
from espalier.io.formats.write.webdataset import refuse_link

ROW_GROUP = 10_000
_BYTES = 256 << 20
_BATCH = 1024


def write_parquet(subset: Subset, folder: Path, *, link: bool, progress: Progress) -> Written:
    """Write the kept rows of every Parquet file; see ``espalier.io.formats.write.base.Writer``."""
    reader, left, files = ParquetTables(subset.card), subset.ids(), {}  # type: ParquetTables, set[str], dict[str, str]
    packed = False
    for entry in walk(subset.card.uri):
        if not entry.path.endswith(".parquet"):
            continue
        name = entry.path if "://" not in entry.path and not entry.path.startswith("/") else Path(entry.path).name
        kept = [(row, s) for row, s in enumerate(reader.rows(entry)) if s.sample_id in left and s.error is None]
        kept = first_of_each(kept, left)
        if not kept:
            continue
        with open_parquet(entry.uri) as file:
            columns = reader.columns(entry, file.schema_arrow)
            packed |= bool(columns.image)
            rewrite = _pictures(entry, inside(folder, name), columns, [s for _, s in kept], link)
            _copy_rows(file, inside(folder, name), np.array([row for row, _ in kept]), rewrite, progress)
        files |= {s.sample_id: name for _, s in kept}
    refuse_link(link and packed, "tables")
    return Written(files)


def first_of_each(rows: Sequence[tuple[int, Sample]], left: set[str]) -> list[tuple[int, Sample]]:
    """Return the first row of each id that is still ``left``, and take these out of it."""
    found = []
    for row, sample in rows:
        if sample.sample_id in left:
            left.remove(sample.sample_id)
            found.append((row, sample))
    return found


def _copy_rows(
    file: pq.ParquetFile,
    path: Path,
    rows: np.ndarray,
    rewrite: Callable[[pa.Table, int], pa.Table],
    progress: Progress,
) -> None:
    """Write the rows at ``rows`` (ascending positions) into a new file, in full row groups."""
    waiting: list[pa.Table] = []
    start = done = 0
    with pq.ParquetWriter(path, file.schema_arrow, compression="zstd") as writer:
        for batch in file.iter_batches(_BATCH):
            within = rows[np.searchsorted(rows, start) : np.searchsorted(rows, start + batch.num_rows)] - start
            start += batch.num_rows
            if not len(within):
                continue
            part = rewrite(pa.Table.from_batches([batch.take(pa.array(within))], file.schema_arrow), done)
            done += len(part)
            waiting.append(part)
            if sum(map(len, waiting)) >= ROW_GROUP or sum(t.nbytes for t in waiting) >= _BYTES:
                writer.write_table(pa.concat_tables(waiting), row_group_size=ROW_GROUP)
                waiting = []
            progress(len(part))
        if waiting:
            writer.write_table(pa.concat_tables(waiting), row_group_size=ROW_GROUP)


def _pictures(
    entry: Entry, table: Path, columns: Columns, samples: list[Sample], link: bool
) -> Callable[[pa.Table, int], pa.Table]:
    """Bring along the pictures that a table names; return what its rows become then."""
    if columns.image or not any(s.uri for s in samples):
        return lambda part, _: part
    if not columns.path:
        _siblings(entry, table, samples, link)
        return lambda part, _: part
    names = bring([s.uri for s in samples], columns.root, table.parent, link)

    def rewrite(part: pa.Table, at: int) -> pa.Table:
        place = part.schema.get_field_index(columns.path)
        old = part.column(place).to_pylist()
        new = [was if was and stays(was) else name for was, name in zip(old, names[at : at + len(part)], strict=True)]
        fresh = pa.array(new, part.schema.field(place).type)
        return part.set_column(place, part.schema.field(place), fresh)

    return rewrite


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


def _siblings(entry: Entry, table: Path, samples: list[Sample], link: bool) -> None:
    """Bring along ``<shard>/<key>.*`` of img2dataset's ``files`` output; links, which may lead anywhere, are not."""
    source, target = Path(entry.uri.removesuffix(".parquet")), table.with_suffix("")
    keys = {sample.sample_id for sample in samples}
    with os.scandir(source) as found:
        names = sorted(item.name for item in found if item.is_file(follow_symlinks=False))
    for name in names:
        if os.path.splitext(name)[0] in keys:  # noqa: PTH122
            put_file(str(source / name), inside(target, name), link=link)


def write_saved_dataset(subset: Subset, folder: Path, *, link: bool, progress: Progress) -> Written:
    """Write the kept rows of a saved Hugging Face dataset; see ``espalier.io.formats.write.base.Writer``."""
    refuse_link(link, "tables")
    reader, left, files = SavedDataset(subset.card), subset.ids(), {}  # type: SavedDataset, set[str], dict[str, str]
    root = Path(reader.uri)
    sizes: dict[str, tuple[int, int]] = {}
    for split in reader.splits():
        written: list[tuple[int, int]] = []
        names: list[str] = []
        for source in reader.files(root / split):
            kept = first_of_each(list(enumerate(reader.rows(source, split))), left)
            name = "/".join(filter(None, (split, source.name)))
            rows = np.array([row for row, _ in kept], np.int64)
            if len(rows) or not names:
                written.append(_copy_arrow(source, inside(folder, name), rows, progress))
                names.append(source.name)
            files |= {s.sample_id: name for _, s in kept}
        sizes[split] = (sum(n for n, _ in written), sum(b for _, b in written))
        _describe(root / split, inside(folder, "/".join(filter(None, (split, "state.json")))).parent, names, sizes)
    if (root / "dataset_dict.json").is_file():
        (folder / "dataset_dict.json").write_bytes((root / "dataset_dict.json").read_bytes())
    return Written(files)


def _copy_arrow(source: Path, path: Path, rows: np.ndarray, progress: Progress) -> tuple[int, int]:
    """Write rows into a new Arrow stream; return their number and bytes."""
    table, n_bytes = open_arrow(str(source)), 0
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        for part in _parts(table, rows):
            writer.write_table(part.combine_chunks(), max_chunksize=_BATCH)
            n_bytes += part.nbytes
            progress(len(part))
    return len(rows), n_bytes


def _parts(table: pa.Table, rows: np.ndarray) -> Iterator[pa.Table]:
    for at in range(0, len(rows), _BATCH):
        yield table.take(pa.array(rows[at : at + _BATCH]))


def _describe(source: Path, folder: Path, names: list[str], sizes: dict[str, tuple[int, int]]) -> None:
    """Write ``state.json`` and ``dataset_info.json`` of a split with the new files and counts."""
    state = _json(source / "state.json")
    state["_data_files"] = [{"filename": name} for name in names]
    digest = hashlib.blake2b(json.dumps([state, sorted(sizes.items())], sort_keys=True).encode(), digest_size=8)
    state["_fingerprint"] = digest.hexdigest()
    (folder / "state.json").write_text(json.dumps(state, indent=2, sort_keys=True), "utf-8")
    path = source / "dataset_info.json"
    if not path.is_file():
        return
    info = _json(path)
    for split, about in (info.get("splits") or {}).items():
        if split in sizes or len(sizes) == 1:
            n, n_bytes = sizes.get(split, next(iter(sizes.values())))
            about |= {"num_examples": n, "num_bytes": n_bytes}
            about.pop("shard_lengths", None)
    for gone in ("download_checksums", "download_size", "dataset_size", "size_in_bytes"):
        info.pop(gone, None)
    (folder / "dataset_info.json").write_text(json.dumps(info, indent=2, sort_keys=True), "utf-8")


def _json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise EspalierError(f"{path} cannot be read: {error}.", "Save the dataset again.") from error
    return found
