"""Report files: written beside their places, renamed into them together with the table that they show."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from espalier.io.atomic import Staged, remove_leftovers, temporary

PLOT, RECORD = "compare.png", "compare.json"


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
