"""Report files: written beside their places, renamed into them together with the table that they show."""

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PLOT, RECORD = "compare.png", "compare.json"


@dataclass(frozen=True)
class StagedFiles:
    """Files that are written but not yet in their places; ``moves`` are (from, to) pairs."""

    moves: tuple[tuple[Path, Path], ...]

    def commit(self) -> None:
        """Rename each into its place."""
        for fresh, place in self.moves:
            fresh.replace(place)

    def discard(self) -> None:
        """Throw them away."""
        for fresh, _ in self.moves:
            fresh.unlink(missing_ok=True)


def report_files(folder: Path, summary: Mapping[str, Any], png: bytes) -> StagedFiles:
    """Write ``compare.png`` and ``compare.json`` for ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
    moves = []
    for name, content in ((PLOT, png), (RECORD, text.encode())):
        fresh = folder / f".{name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp"
        fresh.write_bytes(content)
        moves.append((fresh, folder / name))
    return StagedFiles(tuple(moves))
