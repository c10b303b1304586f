"""The files that people and training code read: the manifest folder of a pruned subset, and reports.

What is kept stands in it for people (``kept.txt``) and for training code: a trie of keys, and DataComp's array of uids;
``espalier.manifest`` reads them. Neither is a pickle. A uid is 128 bits. Where the dataset gives one as 32 hexadecimal
digits it is that; any other sample's is the first 128 bits of the SHA-256 of its bytes, so that equal content has equal
uids in any dataset.

``manifests/<dataset>/<recipe>`` is a link to a folder that is whole; a new one is made beside it and the link is
replaced by a rename, so a reader opens the old files or the new ones.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from espalier.io.atomic import Staged, put, remove, remove_leftovers, sync, temporary
from espalier.io.warehouse.store import recipe_file

ROW_GROUP = 131_072
PLOT, RECORD = "compare.png", "compare.json"
UID = np.dtype("u8,u8")
_HEX = r"^[0-9a-fA-F]{32}$"


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
    """Write the files of a manifest into a fresh folder beside ``link``, where it will appear.

    ``manifest.parquet``, ``kept.txt``, ``kept.marisa``, ``summary.json`` with the digest of kept.txt, and
    ``kept_uids.npy`` where the rows have ``uid`` and ``sha256``. The rows are all samples in order of sample_id, with a
    boolean column ``kept``. The bytes depend on the rows and the summary only.
    """
    import marisa_trie

    link.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(link.parent, link.name, spare=link.resolve() if link.is_symlink() else None)
    folder = temporary(link)
    folder.mkdir()
    # One chunk a column: pages end where chunks do, and chunks come as threads happened to make them.
    rows = rows.combine_chunks()
    pq.write_table(rows, folder / "manifest.parquet", compression="zstd", row_group_size=ROW_GROUP)
    digest = _write_kept(folder / "kept.txt", rows)
    kept = rows.filter(rows["kept"])
    # The order of its bytes makes the same ids the same file.
    keys = (key for chunk in kept["sample_id"].chunks for key in chunk.to_pylist())
    marisa_trie.Trie(keys, order=marisa_trie.LABEL_ORDER).save(str(folder / "kept.marisa"))
    if {"uid", "sha256"} <= set(rows.column_names):
        np.save(folder / "kept_uids.npy", uid_array(kept["uid"], kept["sha256"]), allow_pickle=False)
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


def uid_array(uid: pa.ChunkedArray, sha256: pa.ChunkedArray) -> np.ndarray:
    """Return the distinct uids of samples, sorted: (m,) of dtype "u8,u8", high and low half.

    A sample's own uid counts where it is 32 hexadecimal digits, else the digest of its bytes.
    """
    own = pc.fill_null(pc.match_substring_regex(uid, _HEX), False)
    digits = pc.drop_null(pc.if_else(own, uid, pc.utf8_slice_codeunits(sha256, 0, 32)))
    halves = [_halves(digits.slice(at, ROW_GROUP).to_pylist()) for at in range(0, len(digits), ROW_GROUP)]
    pairs = np.concatenate(halves) if halves else np.empty((0, 2), np.uint64)
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    fresh = np.ones(len(pairs), bool)
    fresh[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
    return np.ascontiguousarray(pairs[fresh]).view(UID).reshape(-1)


def _halves(digits: list[str]) -> np.ndarray:
    return np.frombuffer(bytes.fromhex("".join(digits)), ">u8").astype(np.uint64).reshape(-1, 2)


def report_files(folder: Path, summary: Mapping[str, Any], png: bytes) -> tuple[Staged, ...]:
    """Write ``compare.png`` and ``compare.json`` for ``folder``."""
    text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
    return _staged(folder, {PLOT: png, RECORD: text.encode()})


def sheet_files(folder: Path, stage: str, sheets: Mapping[str, bytes | None]) -> tuple[Staged, ...]:
    """Write contact sheets as ``<stage>-<sheet>.png`` for ``folder``; one that is None has nothing to show and goes."""
    return _staged(folder, {sheet_name(stage, name): png for name, png in sheets.items()})


def sheet_name(stage: str, sheet: str) -> str:
    """Return the file name of a stage's contact sheet."""
    return f"{stage}-{sheet}.png"


def _staged(folder: Path, files: Mapping[str, bytes | None]) -> tuple[Staged, ...]:
    folder.mkdir(parents=True, exist_ok=True)
    staged = []
    for name, content in files.items():
        remove_leftovers(folder, name)
        fresh = None if content is None else temporary(folder / name, suffix=".tmp")
        if fresh is not None and content is not None:
            fresh.write_bytes(content)
        staged.append(Staged(fresh, folder / name))
    return tuple(staged)
