"""Samples as a dataset lists them, made fit for a table: ids that are unique, texts that can be written."""

import hashlib
from dataclasses import replace

import numpy as np

from espalier.io.formats.read.base import Sample


class SampleIds:
    """The ids of the samples so far, in 16 bytes each, as sorted blocks of digests that double in size."""

    def __init__(self) -> None:
        self._blocks: list[np.ndarray] = []
        self._rows = 0

    def check(self, batch: list[Sample]) -> list[Sample]:
        """Return the batch with samples whose id was there before, or is empty, turned into errors."""
        digests = np.array([_digest(sample.sample_id) for sample in batch], dtype="V16").view("S16")
        repeated = np.ones(len(batch), dtype=bool)
        repeated[np.unique(digests, return_index=True)[1]] = False
        for block in self._blocks:
            places = np.minimum(np.searchsorted(block, digests), len(block) - 1)
            repeated |= block[places] == digests
        self._add(np.sort(digests[~repeated]))
        checked = [
            self._refused(sample, row) if bad else sample
            for row, (sample, bad) in enumerate(zip(batch, repeated, strict=True))
        ]
        self._rows += len(batch)
        return checked

    def _add(self, block: np.ndarray) -> None:
        while self._blocks and len(self._blocks[-1]) <= 2 * len(block):
            block = np.sort(np.concatenate([self._blocks.pop(), block]), kind="stable")
        if len(block):
            self._blocks.append(block)

    def _refused(self, sample: Sample, row: int) -> Sample:
        return Sample(
            f"{sample.sample_id}#repeat-{self._rows + row}",
            sample.subset,
            sample.uri,
            sample.labels,
            sample.caption,
            sample.uid,
            f"the sample id {sample.sample_id!r} is there already",
        )


def writable(sample: Sample) -> Sample:
    """Return the sample, or an error when no column or no kept.txt can hold its texts (JSON allows half characters)."""
    texts = (sample.sample_id, sample.subset, sample.uri, sample.caption or "", sample.uid or "", *sample.labels)
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        sample_id, subset, uri, caption, uid, *labels = (
            text.encode("utf-8", "backslashreplace").decode() for text in texts
        )
        reason = sample.error or "a text of it is not Unicode"
        return Sample(sample_id, subset, uri, tuple(labels), caption or None, uid or None, reason)
    if "\n" in sample.sample_id and sample.error is None:
        return replace(sample, error="a line break in the sample id, which kept.txt could not hold")
    return sample


def _digest(sample_id: str) -> bytes:
    return hashlib.blake2b(sample_id.encode(), digest_size=16).digest()
