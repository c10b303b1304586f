"""The same picture re-encoded without loss: exact by pixels, where the bytes differ.

Only candidates are decoded in full (``near.reencoded``): rows of equal grid and size before the search, and
what the search finds to be near duplicates of equal size in two formats after it.
"""

import dataclasses

import numpy as np
import pyarrow as pa

from espalier.core.dedup.near import Duplicates
from espalier.core.dedup.near.reencoded import equal_grid_rows, other_format_rows
from espalier.io.images.pixels import formats, pixel_digests
from espalier.stages.context import StageContext


def content_codes(
    context: StageContext, facts: pa.Table, grids: np.ndarray, known: np.ndarray, blind: np.ndarray
) -> np.ndarray:
    """Return a code of every row, (n,) int64, that is equal for equal files and for equal pixels.

    Rows that are ``blind``, (n,) bool, are texts: equal ones have one code, unless the option ``text_copies`` is off.
    """
    codes = np.array(facts["sha256"].combine_chunks().dictionary_encode().indices, dtype=np.int64)
    if not context.options.text_copies:
        codes[blind] = codes.max(initial=0) + 1 + np.arange(np.count_nonzero(blind))
        codes = np.unique(codes, return_inverse=True)[1]
    rows = equal_grid_rows(codes, grids, _shapes(facts), known)
    rows = rows[~blind[rows]]
    name = np.arange(len(codes))
    first: dict[str, int] = {}
    for row, digest in zip(rows.tolist(), _digests(context, facts, rows), strict=True):
        if digest is not None:
            name[codes[row]] = first.setdefault(digest, codes[row])
    return name[codes]


def confirmed(context: StageContext, facts: pa.Table, grids: np.ndarray, duplicates: Duplicates) -> Duplicates:
    """Return the verdicts with those near duplicates exact that are the same picture in another format."""
    rows = other_format_rows(duplicates, grids, _shapes(facts))
    owners = duplicates.duplicate_of[rows]
    both = np.unique(np.concatenate([rows, owners]))
    kinds = formats(_uris(facts, both), threads=context.threads, max_pixels=_most_pixels(facts, both))
    kind = dict(zip(both.tolist(), kinds, strict=True))
    pairs = [(r, o) for r, o in zip(rows.tolist(), owners.tolist(), strict=True) if kind[r] != kind[o]]
    if not pairs:
        return duplicates
    wanted = np.unique(pairs)
    digest = dict(zip(wanted.tolist(), _digests(context, facts, wanted), strict=True))
    same = [row for row, owner in pairs if digest[row] is not None and digest[row] == digest[owner]]
    stage, similarity, via = duplicates.stage.copy(), duplicates.similarity.copy(), duplicates.via.copy()
    through = (stage == "exact") & np.isin(via, same)  # the same files as those, so exact copies of the owner, too
    stage[same], similarity[same] = "exact", 1
    similarity[through], via[through] = 1, -1
    return dataclasses.replace(duplicates, stage=stage, similarity=similarity, via=via)


def exact_by(facts: pa.Table, duplicates: Duplicates) -> pa.Array:
    """Say what is equal in exact copies: ``bytes`` or ``pixels``; null for all other rows."""
    sha256 = np.array(facts["sha256"].combine_chunks().dictionary_encode().indices)
    copied = np.where(duplicates.via >= 0, duplicates.via, duplicates.duplicate_of)
    by = np.where(sha256[copied] == sha256, "bytes", "pixels") if len(sha256) else np.empty(0, str)
    return pa.array(by.tolist(), pa.string(), mask=duplicates.stage != "exact")


def _digests(context: StageContext, facts: pa.Table, rows: np.ndarray) -> list[str | None]:
    if not len(rows):
        return []
    with context.bar("comparing pixels", len(rows)) as advance:
        return pixel_digests(
            _uris(facts, rows), threads=context.threads, max_pixels=_most_pixels(facts, rows), progress=advance
        )


def _uris(facts: pa.Table, rows: np.ndarray) -> list[str]:
    return facts["uri"].take(pa.array(rows)).to_pylist()


def _most_pixels(facts: pa.Table, rows: np.ndarray) -> int:
    """Bound what is decoded by what the scan saw: a file may have been replaced since."""
    return int(facts["pixels"].to_numpy()[rows].max()) if len(rows) else 1


def _shapes(facts: pa.Table) -> np.ndarray:
    return np.stack([facts["width"].to_numpy(), facts["height"].to_numpy()], axis=1).astype(np.int64)
