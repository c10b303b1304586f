"""Walks the headers of an uncompressed tar and says where each member's bytes lie, without extracting any.

Python's tarfile keeps a list of all members and makes an object of each; this reads USTAR, GNU (long names, base-256
sizes) and pax headers straight from the file, in flat memory. Only regular files are of use here: anything else is
passed on with its kind, for the caller to refuse.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

BLOCK = 512
MAX_EXTENSION = 1 << 20
_KINDS = {b"1": "a hard link", b"2": "a link", b"3": "a device", b"4": "a device", b"6": "a pipe"}
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ")
_REGULAR = (b"0", b"\0", b"7")


class BadTar(Exception):
    """The file is no tar that can be walked further; the text is a short reason."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a tar; ``kind`` is '' for a regular file, else what it is ("a link")."""

    name: str
    offset: int
    size: int
    kind: str = ""


def members(file: BinaryIO, size: int) -> Iterator[Member]:
    """Yield the members of a seekable tar of ``size`` bytes in their order; folders are passed over.

    The caller may read from the file between members. BadTar when a header is damaged, or the file ends inside a
    member.
    """
    position = 0
    long_name, pax, common = "", {}, {}  # type: str, dict[str, str], dict[str, str]
    while True:
        header = _block(file, position, size)
        if header is None:
            return
        length, kind = _number(header[124:136]), header[156:157]
        start = position + BLOCK
        if kind in (b"L", b"K", b"x", b"g"):
            content = _extension(file, start, length, size)
            if kind == b"L":
                long_name = content.rstrip(b"\0").decode("utf-8", "surrogateescape")
            elif kind == b"x":
                pax = _records(content)
            elif kind == b"g":
                common |= _records(content)
            position = start + -(-length // BLOCK) * BLOCK
            continue
        known = common | pax
        length = int(known.get("size", length))
        name = known.get("path") or long_name or _name(header)
        if start + length > size:
            raise BadTar(f"it ends inside the member {name!r}")
        if kind in _REGULAR and "GNU.sparse.major" not in known:
            yield Member(name, start, length)
        elif kind != b"5":
            yield Member(name, start, length, _KINDS.get(kind, "a sparse file or an unknown kind of member"))
        position = start + (0 if kind in _KINDS else -(-length // BLOCK) * BLOCK)
        long_name, pax = "", {}


def _block(file: BinaryIO, position: int, size: int) -> bytes | None:
    """Read the header at ``position``; None at the end of the archive."""
    if position >= size:
        return None
    file.seek(position)
    header = file.read(BLOCK)
    if header[:1] == b"\0" and not header.strip(b"\0"):
        return None
    if position == 0 and header.startswith(_COMPRESSED):
        raise BadTar("it is compressed; unpack it first, members are read in place")
    if len(header) < BLOCK:
        raise BadTar("it ends inside a header")
    try:
        written = _number(header[148:156])
    except BadTar:
        written = -1
    # The checksum is that of the header with blanks in its own place.
    if written != sum(header) - sum(header[148:156]) + 8 * 32:
        raise BadTar("it is not a tar" if position == 0 else f"the header at byte {position} is damaged")
    return header


def _number(field: bytes) -> int:
    if field[0] & 0x80:
        return int.from_bytes(field[1:])
    try:
        return int(field.strip(b"\0 ") or b"0", 8)
    except ValueError:
        raise BadTar("a header holds no number where one belongs") from None


def _name(header: bytes) -> str:
    name = header[:100].split(b"\0", 1)[0]
    if header[257:263] == b"ustar\0":
        prefix = header[345:500].split(b"\0", 1)[0]
        name = prefix + b"/" + name if prefix else name
    return name.decode("utf-8", "surrogateescape")


def _extension(file: BinaryIO, start: int, length: int, size: int) -> bytes:
    if length > MAX_EXTENSION or start + length > size:
        raise BadTar("a header names more text than there can be")
    return file.read(length)


def _records(content: bytes) -> dict[str, str]:
    r"""Parse pax records, each ``LENGTH KEY=VALUE\\n``."""
    records, position = {}, 0
    while position < len(content):
        digits, _, _ = content[position : position + 20].partition(b" ")
        if not digits.isdigit() or int(digits) <= len(digits):
            raise BadTar("a pax header is damaged")
        record = content[position + len(digits) + 1 : position + int(digits)]
        key, equals, value = record.rstrip(b"\n").partition(b"=")
        if not equals:
            raise BadTar("a pax header is damaged")
        records[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        position += int(digits)
    return records
