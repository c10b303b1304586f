"""What is asked of the explorer and what it answers, as plain data."""

from dataclasses import asdict, dataclass
from typing import Any

from espalier.apps.search.queries import Query
from espalier.core.errors import UsageError

METRICS = ("hamming", "cosine")
DEFAULT_TOPK = 50
FUSES = ("best", "mean", "rrf")


@dataclass(frozen=True)
class SearchRequest:
    """One question.

    ``queries`` hold at least one that does not push away. ``metric`` is hamming or cosine, ``fuse`` best, mean or rrf
    as those of ``espalier.core.search.Explorer.topk``. Only samples of one of the ``subsets``, with one of the
    ``labels``, are shown, for which ``where`` holds: SQL over the columns of the view ``ledger``, and uri, sha256,
    n_bytes, width, height, caption, uid. ``unique`` hides near duplicates of what is shown, ``others`` leaves out the
    samples that are asked with. ``item_subset`` is the subset of those. ``approximate`` looks only into the nearest
    groups of hashes (``espalier.apps.search.indexed``): with ``hamming`` and ``best``, and nothing that filters or
    pushes away.
    """

    queries: tuple[Query, ...]
    topk: int = DEFAULT_TOPK
    metric: str = "hamming"
    fuse: str = "best"
    subsets: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    where: str = ""
    unique: bool = False
    others: bool = False
    item_subset: str | None = None
    approximate: bool = False

    def __post_init__(self) -> None:
        if self.topk < 1:
            raise UsageError(f"top-k is {self.topk}.", "Ask for at least 1 result.")
        for what, value, known in (("metric", self.metric, METRICS), ("fuse", self.fuse, FUSES)):
            if value not in known:
                raise UsageError(f"{what} is {value!r}.", f"Use one of {', '.join(known)}.")
        if self.item_subset is not None and not any(query.kind == "item" for query in self.queries):
            raise UsageError("A subset of the item is given, but no item.", "Give one (--query-item), or use --subset.")
        if all(query.away for query in self.queries):
            raise UsageError(
                "There is nothing to look for.",
                "Give a picture (--query-img), a sample (--query-item) or words (--query-str).",
            )
        if self.approximate and (clash := self._not_approximate()):
            raise UsageError(
                f"--approximate does not go with {clash}.", "Leave out one of them; without it the search is exact."
            )

    def _not_approximate(self) -> str:
        """Name what the approximate index cannot do."""
        clashes = {
            "--metric cosine": self.metric != "hamming",
            f"--fuse {self.fuse}": self.fuse != "best",
            "--not": any(query.away for query in self.queries),
            "--unique": self.unique,
            "--subset": bool(self.subsets),
            "--label": bool(self.labels),
            "--where": bool(self.where),
        }
        return ", ".join(name for name, asked in clashes.items() if asked)


@dataclass(frozen=True)
class Result:
    """One sample that was found.

    ``distance`` is to the nearest query, of number ``query``: differing bits of 512 (``hamming``) or 1 - cosine.
    ``copy_of`` is the kept sample in whose favour this one was dropped; ``text`` is that of a sample without a picture.
    """

    dataset: str
    sample_id: str
    subset: str
    distance: float
    uri: str
    query: int
    copy_of: str | None
    text: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as a plain mapping; a Hamming distance is a whole number."""
        distance = int(self.distance) if self.distance == int(self.distance) else round(self.distance, 6)
        out = asdict(self) | {"distance": distance}
        return out if self.text is not None else {name: value for name, value in out.items() if name != "text"}


@dataclass(frozen=True)
class SearchResponse:
    """What was found, best first.

    ``pictures`` are the queries with a picture, each with the uri of it. ``recall`` is the measured one of an
    approximate search; None means exact.
    """

    request: SearchRequest
    results: tuple[Result, ...]
    pictures: tuple[tuple[Query, str], ...]
    encoder: str
    recall: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as a plain mapping."""
        return {
            "queries": [query.as_json() for query in self.request.queries],
            "results": [result.as_json() for result in self.results],
            "metric": self.request.metric,
            "encoder": self.encoder,
            "recall": self.recall,
        }
