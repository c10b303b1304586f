"""The manifest folder of a pruned subset: its files are written together and appear together.

``manifests/<dataset>/<recipe>`` is a link to a folder that is whole; a new one is made beside it and the link is
replaced by a rename, so a reader opens the old files or the new ones.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from espalier.io.atomic import put, remove, remove_leftovers, sync, temporary
from espalier.io.results.kept import uid_array, write_trie, write_uids
from espalier.io.warehouse.store import recipe_file

ROW_GROUP = 131_072


@dataclass(frozen=True)
class StagedFolder:
    """A folder that is written but not yet what its link points to."""

    folder: Path
    link: Path

    def commit(self) -> None:
        """Point the link at this folder, then remove the one that it replaces."""
        old = self.link.resolve() if self.link.is_symlink() else None
        for path in (*self.folder.iterdir(), self.folder):
            sync(path)
        fresh = temporary(self.link, suffix=".link")
        fresh.symlink_to(self.folder.name)
        put(fresh, self.link)
        if old is not None and old != self.folder.resolve() and old.parent == self.link.parent.resolve():
            remove(old)

    def discard(self) -> None:
        """Throw it away."""
        remove(self.folder)


def manifest_folder(manifests: Path, dataset: str, recipe: str) -> Path:
    """Return where a recipe's manifest is or would be."""
    return manifests / dataset / recipe_file(recipe)


def write_manifest(link: Path, rows: pa.Table, summary: Mapping[str, Any]) -> StagedFolder:
    """Write the files of a manifest into a fresh folder beside ``link``.

    ``manifest.parquet``, ``kept.txt``, ``kept.marisa``, ``summary.json``, and ``kept_uids.npy`` where the rows have
    ``uid`` and ``sha256``. The bytes depend on the rows and the summary only.

    Parameters
    ----------
    link : Path
        Where the manifest will appear.
    rows : pyarrow.Table
        Every sample in order of sample_id, with a boolean column ``kept``.
    summary : mapping
        What ``summary.json`` says; the digest of kept.txt is added.
    """
    link.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(link.parent, link.name, spare=link.resolve() if link.is_symlink() else None)
    folder = temporary(link)
    folder.mkdir()
    # One chunk a column: pages end where chunks do, and chunks come as threads happened to make them.
    rows = rows.combine_chunks()
    pq.write_table(rows, folder / "manifest.parquet", compression="zstd", row_group_size=ROW_GROUP)
    digest = _write_kept(folder / "kept.txt", rows)
    kept = rows.filter(rows["kept"])
    write_trie(folder / "kept.marisa", kept["sample_id"])
    if {"uid", "sha256"} <= set(rows.column_names):
        write_uids(folder / "kept_uids.npy", uid_array(kept["uid"], kept["sha256"]))
    text = json.dumps({**summary, "kept_sha256": digest}, indent=2, sort_keys=True)
    (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
    return StagedFolder(folder, link)


def _write_kept(path: Path, rows: pa.Table) -> str:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for batch in rows.select(["sample_id", "kept"]).to_batches(max_chunksize=ROW_GROUP):
            ids = batch.column(0).filter(batch.column(1)).cast(pa.string())
            if len(ids):
                lines = pa.ListArray.from_arrays(pa.array([0, len(ids)], pa.int32()), ids)
                text = pc.binary_join(lines, "\n")[0].as_py() + "\n"
                file.write(text.encode())
                digest.update(text.encode())
    return digest.hexdigest()
