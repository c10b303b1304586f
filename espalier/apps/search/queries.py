"""What is looked for: pictures, samples, words; all of it is found and checked before anything is ranked."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from espalier.apps.explain.explanations import fetch
from espalier.apps.explain.ledger import nearest_ids
from espalier.apps.search.rows import Rows
from espalier.core.errors import EspalierError, UsageError
from espalier.io.files.blobs import BlobError, read_bytes
from espalier.io.files.listing import is_url
from espalier.io.home import Home
from espalier.io.warehouse.pool import quoted

Kind = Literal["image", "item", "text"]


@dataclass(frozen=True)
class Query:
    """One thing that is looked for, or (``away``) that pushes away.

    ``value`` is a path or URL, a sample's id (``DATASET:ID`` where several have it), or words.
    """

    kind: Kind
    value: str
    away: bool = False

    def __post_init__(self) -> None:
        if self.value.strip():
            return
        if self.kind == "text":
            raise UsageError("The text to look for is empty.", 'Write for example --query-str "a red car".')
        what = "picture" if self.kind == "image" else "sample"
        raise UsageError(
            f"The {what} to look for is named by an empty text.", f"Give the {what}'s name, or leave it out."
        )

    def as_json(self) -> dict[str, Any]:
        """Return it as a plain mapping; ``not`` marks what pushes away."""
        return {"kind": self.kind, "value": self.value} | ({"not": True} if self.away else {})


@dataclass(frozen=True)
class QueryPicture:
    """Where the bytes of a query's picture are, and its row among the samples, or -1: it is in none of the datasets."""

    uri: str
    row: int


def read_query(value: str, *, away: bool = False) -> Query:
    """Read a query: ``img:``, ``item:`` or ``str:`` tells the kind; else a file or URL is a picture, the rest an id."""
    kinds: dict[str, Kind] = {"img": "image", "item": "item", "str": "text"}
    prefix, colon, rest = value.partition(":")
    if colon and prefix in kinds:
        return Query(kinds[prefix], rest.strip(), away)
    return Query("image" if os.path.isfile(value) or is_url(value) else "item", value, away)  # noqa: PTH113


def find_picture(query: Query, home: Home, rows: Rows, subset: str | None) -> QueryPicture:
    """Find the bytes of a picture query, and its row if it is a sample; an id must be that of one sample."""
    if query.kind == "item":
        return _item(query.value, home, rows, subset)
    uri = query.value if is_url(query.value) else os.path.abspath(os.path.expanduser(query.value))  # noqa: PTH100, PTH111
    try:
        data = read_bytes(uri)
    except BlobError as error:
        raise EspalierError(f"The query image {query.value} cannot be read: {error}.", "Check the path.") from error
    row = rows.find("uri", uri)  # a file may have changed since, and may have the bytes of others
    digest = hashlib.sha256(data).hexdigest()
    if row < 0 or rows.values("sha256", [row]) != [digest]:
        row = rows.find("sha256", digest)
    return QueryPicture(uri, row)


def _item(value: str, home: Home, rows: Rows, subset: str | None) -> QueryPicture:
    names: Sequence[str] = rows.names
    matches = _matches(home, names, value, subset)
    prefix, colon, rest = value.partition(":")
    if not matches and colon and prefix in names:
        names, value = (prefix,), rest
        matches = _matches(home, names, value, subset)
    if not matches:
        inside = f" in the subset {subset!r}" if subset else ""
        first = home.store().need("raw_dataset", names[0])
        raise UsageError(f"{' and '.join(names)}: no sample {value!r}{inside}.", nearest_ids(first, value))
    if len(matches) > 1:
        listed = ", ".join(f"{dataset}:{sample}" for dataset, sample, _, _ in matches[:4])
        raise UsageError(f"Several samples are called {value!r}: {listed}.", "Write one of these.")
    dataset, sample, uri, error = matches[0]
    if error:
        raise EspalierError(f"The sample {sample!r} of {dataset} is unreadable: {error}.", "Take another.")
    return QueryPicture(uri, rows.find("sample_id", sample, dataset))


def _matches(
    home: Home, names: Sequence[str], value: str, subset: str | None
) -> list[tuple[str, str, str, str | None]]:
    """Return (dataset, id, uri, error) of the samples with this id; failing these, with it as the end of their path."""
    inside = f"subset = {quoted(subset)}" if subset else "true"
    stem = r"regexp_replace(sample_id, '\.[^./]+$', '')"
    ends = quoted(f"/{value}")
    matches = []
    for name in names:
        matches += fetch(
            home.store().need("raw_dataset", name),
            f"""SELECT $2, sample_id, uri, error, sample_id = $1 FROM data
                WHERE {inside} AND (sample_id = $1 OR {stem} = $1 OR ends_with(sample_id, {ends})
                OR ends_with({stem}, {ends})) ORDER BY sample_id LIMIT 9""",
            value,
            name,
        )
    exact = [match[:4] for match in matches if match[4]]
    return exact or [match[:4] for match in matches]
