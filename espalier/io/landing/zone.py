"""The landing zone: which datasets there are, where they lie, and whether they changed.

``landing/<name>/`` is a dataset, so is a card ``landing/<name>.yaml`` with a ``uri`` for data that stays where it is; a
card beside a folder of its name only adds to it. Nothing here touches the data itself, but
``forget(delete_data=True)``.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from espalier.core.errors import EspalierError, UsageError
from espalier.core.names import check_dataset_name, slugify
from espalier.io.atomic import remove_leftovers, temporary
from espalier.io.files.listing import expand, has_success, is_pattern, is_url, local_path, unreadable, walk
from espalier.io.formats.read.detect import check_format
from espalier.io.landing.cards import Card, read_card, write_card

_MODULUS = 1 << 256


@dataclass(frozen=True, slots=True)
class Listing:
    """The state of a dataset's files at one moment; ``has_success``: a file ``_SUCCESS`` says that it is complete.

    The fingerprint is 64 hexadecimal digits over names, sizes, mtimes and what the card says of reading them; the order
    in which a store lists its files does not matter.
    """

    fingerprint: str
    n_files: int
    n_bytes: int
    has_success: bool


class LandingZone:
    """The folder ``landing/`` of an Espalier home; it is made when the first card is written."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root).absolute()

    def names(self) -> list[str]:
        """Return the names of the datasets that can be read as such, sorted."""
        return [card.name for card in self.cards()]

    def cards(self) -> list[Card]:
        """Return the datasets, sorted by name; what is wrong with the others is in :meth:`problems`."""
        return [card for card in self._survey().values() if isinstance(card, Card)]

    def problems(self) -> dict[str, EspalierError]:
        """Return what in the landing zone is no dataset, by file name, with the error that says why."""
        return {name: fault for name, fault in self._survey().items() if isinstance(fault, EspalierError)}

    def card(self, name: str) -> Card:
        """Return the card of one dataset; an unknown name is refused with those that there are."""
        check_dataset_name(name)
        folder, file = self.root / name, self._file(name)
        if not folder.is_dir() and not file.is_file():
            known = ", ".join(self.names()) or "none yet"
            raise UsageError(f"There is no dataset {name!r}.", f"Landed: {known}. Land it with: espalier land PATH.")
        if not file.is_file():
            return Card(name, str(folder))
        return read_card(file, name, folder if folder.is_dir() else None)

    def land(
        self,
        path: str | Path,
        name: str | None = None,
        format: str | None = None,
        reader_options: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
        *,
        dry_run: bool = False,
    ) -> Card:
        """Write the card of a dataset that stays where it is; nothing of it is copied.

        Landing the same place again changes only what is given; ``options`` of the stages are added to those that the
        card has. The name comes of the last part of ``path`` where none is given. With ``dry_run`` nothing is written.
        Refused are an unknown format, a place where nothing is, and a name that belongs to a dataset elsewhere.
        """
        uri = _absolute(str(path))
        if format is not None:
            check_format(format)
        slug = check_dataset_name(name) if name is not None else slugify(_stem(uri))

        def planned() -> Card:
            card = self._taken(slug) or Card(slug, uri)
            if card.uri != uri:
                raise UsageError(
                    f"The name {slug!r} is taken by {card.uri}.",
                    "Give another with --name, or forget that one first.",
                )
            return replace(
                card,
                format=format or card.format,
                reader_options=card.reader_options if reader_options is None else reader_options,
                options=card.options | (options or {}),
            )

        card = planned()  # what is refused leaves no trace
        if dry_run:
            return card
        with self._locked():
            card = planned()
            if card != self._taken(slug):
                self._write(card)
        return card

    def set_references(self, name: str, others: Iterable[str]) -> Card:
        """Name the datasets that ``name`` is compared with; ``()`` takes all back."""
        with self._locked():
            return self._write(replace(self.card(name), reference_datasets=tuple(sorted(set(others)))))

    def record_verdicts(
        self, name: str, keep: Iterable[str] = (), drop: Iterable[str] = (), clear: Iterable[str] = ()
    ) -> Card:
        """Store which samples a human wants kept or dropped, or leaves to the stages again; a later verdict counts."""
        kept, dropped, cleared = set(keep), set(drop), set(clear)
        twice = sorted((kept & dropped) | (kept & cleared) | (dropped & cleared))
        if twice:
            raise UsageError(f"{twice[0]!r} is given two verdicts at once.", "Name each sample once.")
        with self._locked():
            card = self.card(name)
            said = kept | dropped | cleared
            keep = sorted(set(card.keep) - said | kept, key=str.encode)
            drop = sorted(set(card.drop) - said | dropped, key=str.encode)
            return self._write(replace(card, keep=tuple(keep), drop=tuple(drop)))

    def forget(self, name: str, *, delete_data: bool = False) -> list[Path]:
        """Remove a dataset, also one whose card is faulty, from the landing zone and return what was removed.

        ``delete_data`` also deletes ``landing/<name>/``, which is the data itself; without it such a folder is refused.
        Data outside is never touched.
        """
        check_dataset_name(name)
        folder, file = self.root / name, self._file(name)
        with self._locked():
            if folder.is_dir() and not folder.is_symlink() and not delete_data:
                raise UsageError(
                    f"{folder} is the data itself, not a card.",
                    "Move it out of the landing zone, or ask for its deletion with --delete-data.",
                )
            removed = [path for path in (file, folder) if path.exists() or path.is_symlink()]
            if not removed:
                self.card(name)
            for path in removed:
                _remove(path)
        return removed

    def fingerprint(self, name: str) -> Listing:
        """List the files of a dataset once, in flat memory; a store that does not answer is an error, not empty."""
        card = self.card(name)
        total, n_files, n_bytes = 0, 0, 0
        for entry in walk(card.uri, stat=True):
            line = f"{entry.path}\0{entry.n_bytes}\0{entry.stamp}\0{entry.error or ''}"
            total += int.from_bytes(hashlib.blake2b(line.encode(), digest_size=32).digest())
            n_files += 1
            n_bytes += entry.n_bytes
        total += int.from_bytes(hashlib.blake2b(card.reading().encode(), digest_size=32, person=b"card").digest())
        return Listing(f"{total % _MODULUS:064x}", n_files, n_bytes, has_success(card.uri))

    def _file(self, name: str) -> Path:
        return self.root / f"{name}.yaml"

    def _write(self, card: Card) -> Card:
        write_card(self._file(card.name), card, is_folder=(self.root / card.name).is_dir())
        return card

    def _taken(self, name: str) -> Card | None:
        exists = (self.root / name).is_dir() or self._file(name).is_file()
        return self.card(name) if exists else None

    def _survey(self) -> dict[str, Card | EspalierError]:
        try:
            entries = sorted(os.listdir(self.root))  # noqa: PTH208 (names are all it takes)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise unreadable(str(self.root), error) from error
        survey: dict[str, Card | EspalierError] = {}
        for entry in entries:
            path = self.root / entry
            if entry.startswith(".") or (path.is_file() and path.suffix not in (".yaml", ".yml")):
                continue
            if path.is_file() and path.suffix == ".yml":
                survey[entry] = EspalierError(f"{path} is not read.", f"Rename it {path.stem}.yaml.")
                continue
            name = path.stem if path.is_file() else entry
            try:
                survey[name] = self.card(name)
            except EspalierError as error:
                survey[name] = error
        return dict(sorted(survey.items()))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one writer at a time change cards (between processes, too)."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / ".lock").open("w")
        except OSError as error:
            raise EspalierError(
                f"The landing zone {self.root} cannot be written: {error.strerror}.",
                "Give this user the right to write there, or choose another home with ESPALIER_HOME.",
            ) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _absolute(path: str) -> str:
    if is_pattern(path):
        parts = [part if is_url(part) else os.path.abspath(part) for part in path.split("::")]  # noqa: PTH100
        pattern = "::".join(parts)
        next(walk(expand(pattern)[0]), None)
        return pattern
    local = local_path(path)
    if local is None:
        next(walk(path), None)
        return path.rstrip("/")
    local = Path(os.path.abspath(local.expanduser()))  # noqa: PTH100 (links stay as the user wrote them)
    if not local.exists():
        raise EspalierError(f"There is nothing at {local}.", "Check the path.")
    return str(local)


def _stem(uri: str) -> str:
    last = uri.rstrip("/").rsplit("/", 1)[-1]
    is_folder = not is_url(uri) and Path(uri).is_dir()
    return last.rsplit(".", 1)[0] if "." in last.strip(".") and not is_folder else last


def _remove(path: Path) -> None:
    """Delete a card, a link or a folder; a folder is hidden first, so a crash leaves no half of it in sight."""
    if path.is_symlink() or path.is_file():
        path.unlink()
        return
    remove_leftovers(path.parent, path.name)
    hidden = temporary(path)
    path.rename(hidden)
    shutil.rmtree(hidden)
