"""Reads the folder of a manifest: which keys a subset keeps, for training code.

Training code imports this module; it needs numpy and marisa-trie and nothing else: no table, no database, no
orchestrator. Writing belongs to
``espalier.io.results``, what each file holds to docs/manifests.md. Nothing here is a pickle.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from espalier.core.errors import EspalierError

if TYPE_CHECKING:
    import marisa_trie


class Manifest:
    """The samples that a subset keeps.

    ``key in manifest`` asks for one, iteration gives all in byte order, ``len`` counts them. The trie is mapped into
    memory, so many worker processes share one copy; a manifest that is pickled for a worker carries its path only.

    Examples
    --------
    >>> manifest = Manifest.load("manifests/photos/density@0.3")  # doctest: +SKIP
    >>> "00000/000000123" in manifest  # doctest: +SKIP
    True
    """

    def __init__(self, folder: Path, keys: marisa_trie.Trie) -> None:
        self.folder, self._keys = folder, keys

    @classmethod
    def load(cls, folder: str | Path) -> Manifest:
        """Open a manifest folder.

        Parameters
        ----------
        folder : str or pathlib.Path
            ``manifests/<dataset>/<recipe>`` of an Espalier home, or a copy of it.

        Raises
        ------
        EspalierError
            When there is no ``kept.marisa`` in it, or it is damaged.
        """
        import marisa_trie

        # The folder behind the link is looked up once, so that all files come from one manifest.
        real = Path(folder).resolve()
        path = real / "kept.marisa"
        if not path.is_file():
            raise EspalierError(f"{folder} is no manifest: it holds no kept.marisa.", "Make it with: espalier prune")
        try:
            keys = marisa_trie.Trie().mmap(str(path))
        except RuntimeError as error:
            raise EspalierError(f"{path} is damaged.", "Prune again, or copy the folder again.") from error
        return cls(real, keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"Manifest({str(self.folder)!r}, {len(self)} kept)"

    def __reduce__(self) -> tuple[Any, ...]:
        return Manifest.load, (self.folder,)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """``summary.json``: recipe, counts, encoder, seeds, versions, fingerprint of the input."""
        summary: dict[str, Any] = json.loads((self.folder / "summary.json").read_text("utf-8"))
        return summary

    @cached_property
    def uids(self) -> np.ndarray:
        """``kept_uids.npy``: the distinct kept uids, sorted; shape (m,), dtype "u8,u8"."""
        uids: np.ndarray = np.load(self.folder / "kept_uids.npy", allow_pickle=False)
        return uids

    def filter_webdataset(self, shards_in: str | None = None) -> WebDatasetFilter:
        """Return what ``wds.WebDataset(...).select(...)`` takes: True for the samples that are kept.

        Parameters
        ----------
        shards_in : str, optional
            Give the folder of the shards when the dataset was landed with ``shard_in_key: true``; then the shard's
            path below that folder stands before each key.
        """
        return WebDatasetFilter(self, shards_in)


@dataclass(frozen=True)
class WebDatasetFilter:
    """Tells of a sample of the webdataset package whether a manifest keeps it; can be sent to worker processes.

    Attributes
    ----------
    manifest : Manifest
    shards_in : str or None
        Folder of the shards, where their paths are part of the keys.
    """

    manifest: Manifest
    shards_in: str | None = None

    def __call__(self, sample: Mapping[str, Any]) -> bool:
        """Look up ``sample["__key__"]``, with the shard of ``sample["__url__"]`` before it where asked for."""
        # Bytes that are not UTF-8 are escaped in sample ids.
        key = sample["__key__"].encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        if self.shards_in is not None:
            url = str(sample["__url__"]).removeprefix("file:")
            shard = url.removeprefix(self.shards_in.rstrip("/") + "/").removesuffix(".tar")
            key = f"{shard}/{key}"
        return key in self.manifest
