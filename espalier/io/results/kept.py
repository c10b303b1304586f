"""What a subset keeps, in forms that training code reads: a trie of keys, and DataComp's array of uids.

Written into the manifest folder by ``results.manifests``; read by ``espalier.manifest``. Neither is a pickle.

A uid is 128 bits. Where the dataset gives one as 32 hexadecimal digits it is that; any other sample's is the first
128 bits of the SHA-256 of its bytes, so that equal content has equal uids in any dataset.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

UID = np.dtype("u8,u8")
_HEX = r"^[0-9a-fA-F]{32}$"
_BATCH = 131_072


def write_trie(path: Path, ids: pa.ChunkedArray) -> None:
    """Save the ids as a marisa-trie whose order is the byte order of the keys; the same ids give the same bytes."""
    import marisa_trie

    trie = marisa_trie.Trie((key for chunk in ids.chunks for key in chunk.to_pylist()), order=marisa_trie.LABEL_ORDER)
    trie.save(str(path))


def write_uids(path: Path, uids: np.ndarray) -> None:
    """Save an array of uids in numpy's own format, without pickles."""
    with path.open("wb") as file:
        np.lib.format.write_array(file, uids, allow_pickle=False)


def uid_array(uid: pa.ChunkedArray, sha256: pa.ChunkedArray) -> np.ndarray:
    """Return the distinct uids of samples, sorted.

    Parameters
    ----------
    uid, sha256 : pyarrow.ChunkedArray of string, length n
        The dataset's own uid (null or anything else where it gives none), and the digest of the bytes.

    Returns
    -------
    ndarray of shape (m,), dtype "u8,u8"
        m <= n: high and low half of each uid, in order of both.
    """
    own = pc.fill_null(pc.match_substring_regex(uid, _HEX), False)
    digits = pc.drop_null(pc.if_else(own, uid, pc.utf8_slice_codeunits(sha256, 0, 32)))
    halves = [_halves(digits.slice(at, _BATCH).to_pylist()) for at in range(0, len(digits), _BATCH)]
    pairs = np.concatenate(halves) if halves else np.empty((0, 2), np.uint64)
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    fresh = np.ones(len(pairs), bool)
    fresh[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
    return np.ascontiguousarray(pairs[fresh]).view(UID).reshape(-1)


def _halves(digits: list[str]) -> np.ndarray:
    return np.frombuffer(bytes.fromhex("".join(digits)), ">u8").astype(np.uint64).reshape(-1, 2)
