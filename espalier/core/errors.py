"""The errors that a user can mend: each names the thing, what is wrong with it and what to do."""

from __future__ import annotations


class EspalierError(Exception):
    """A failure that the user can understand and mend: ``what`` is wrong with which thing, and the ``remedy``."""

    exit_code = 1

    def __init__(self, what: str, remedy: str = "") -> None:
        self.what, self.remedy = what, remedy
        super().__init__(f"{what} {remedy}".strip())


class UsageError(EspalierError):
    """Wrong use: an unknown name, a value out of range, an ambiguous number (exit code 2)."""

    exit_code = 2
