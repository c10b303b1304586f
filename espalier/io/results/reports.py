"""Report files: written beside their places, renamed into them together with the table that they show."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espalier.io.atomic import put, remove, remove_leftovers, temporary

PLOT, RECORD = "compare.png", "compare.json"


@dataclass(frozen=True)
class StagedFiles:
    """Files that are written but not yet in their places; ``moves`` are (from, to) pairs, ``gone`` what goes then."""

    moves: tuple[tuple[Path, Path], ...]
    gone: tuple[Path, ...] = ()

    def commit(self) -> None:
        """Rename each into its place."""
        for fresh, place in self.moves:
            put(fresh, place)
        for place in self.gone:
            place.unlink(missing_ok=True)

    def discard(self) -> None:
        """Throw them away."""
        for fresh, _ in self.moves:
            remove(fresh)


def report_files(folder: Path, summary: Mapping[str, Any], png: bytes) -> StagedFiles:
    """Write ``compare.png`` and ``compare.json`` for ``folder``."""
    text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
    return StagedFiles(_written(folder, {PLOT: png, RECORD: text.encode()}))


def sheet_files(folder: Path, stage: str, sheets: Mapping[str, bytes | None]) -> StagedFiles:
    """Write contact sheets as ``<stage>-<sheet>.png`` for ``folder``; one that is None has nothing to show and goes."""
    drawn = {sheet_name(stage, name): png for name, png in sheets.items() if png is not None}
    gone = (folder / sheet_name(stage, name) for name, png in sheets.items() if png is None)
    return StagedFiles(_written(folder, drawn), tuple(gone))


def sheet_name(stage: str, sheet: str) -> str:
    """Return the file name of a stage's contact sheet."""
    return f"{stage}-{sheet}.png"


def _written(folder: Path, files: Mapping[str, bytes]) -> tuple[tuple[Path, Path], ...]:
    folder.mkdir(parents=True, exist_ok=True)
    moves = []
    for name, content in files.items():
        remove_leftovers(folder, name)
        fresh = temporary(folder / name, suffix=".tmp")
        fresh.write_bytes(content)
        moves.append((fresh, folder / name))
    return tuple(moves)
