"""What the user asked of an export."""

from dataclasses import dataclass
from pathlib import Path

from espalier.core.errors import UsageError


@dataclass(frozen=True)
class ExportRequest:
    """Where and how to write a subset; no output with ``in_place``, which means the dataset's own folder."""

    output: Path | None
    format_name: str = ""
    link: bool = False
    overwrite: bool = False
    in_place: bool = False

    def __post_init__(self) -> None:
        if self.in_place and self.output is not None:
            raise UsageError("--in-place and -o are two places.", "Give one of them.")
        if self.in_place and not self.overwrite:
            raise UsageError("--in-place replaces the dataset itself.", "Add --overwrite if that is what you want.")
        if self.in_place and (self.format_name or self.link):
            raise UsageError("--in-place keeps the format and copies.", "Leave --format and --link out.")
