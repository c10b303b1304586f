"""What is to be stored for an asset partition, and the record that is stored with it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

import pyarrow as pa

from espalier.core.names import RENAMED_OPTIONS

Rows: TypeAlias = pa.Table | pa.RecordBatchReader


@dataclass(frozen=True)
class Draft:
    """Tables about to be stored together.

    ``rows`` become the main table ``data``, ordered by the column ``sort`` ("": in order already); ``side`` tables are
    stored as they come. ``stats`` are counts that the command line and the next stages read without opening the tables.
    """

    rows: Rows
    sort: str = "sample_id"
    side: Mapping[str, Rows] = field(default_factory=dict)
    stats: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Meta:
    """Where a stored partition came from; kept inside its file, so it is swapped in with the rows.

    ``recipe`` is "" for assets with one dimension. ``inputs`` has the data version of each upstream partition at that
    time. ``data_version`` is 128 bits of the rows' contents, whatever their order: equal contents give equal versions.
    """

    asset: str
    dataset: str
    recipe: str
    code_version: str
    params: Mapping[str, Any]
    inputs: Mapping[str, str]
    data_version: str = ""
    n_rows: int = 0
    stats: Mapping[str, Any] = field(default_factory=dict)

    def dumps(self) -> str:
        """Write as JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def loads(cls, text: str) -> "Meta":
        """Read what ``dumps`` wrote."""
        record = json.loads(text)
        params = {RENAMED_OPTIONS.get(name, name): value for name, value in record["params"].items()}
        return cls(**record | {"params": params})
