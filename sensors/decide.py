"""What to do about what was found in the landing zone: pure functions, no Dagster, no files."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from espalier.io.landing.zone import Listing

MOST_A_TICK = 10


@dataclass(frozen=True)
class Memory:
    """What the last tick saw; kept in the sensor's cursor.

    ``seen`` has the fingerprint of each dataset at the last tick, ``asked`` the one that a run was last requested for.
    A user who deletes a default recipe keeps it deleted, so they are registered once. ``n_asked``, runs requested so
    far, is a part of their keys: a dataset that was forgotten and lands again is taken again, and a tick that is
    repeated after a crash asks for the same runs.
    """

    seen: Mapping[str, str] = field(default_factory=dict)
    asked: Mapping[str, str] = field(default_factory=dict)
    recipes_registered: bool = False
    n_asked: int = 0

    @classmethod
    def loads(cls, cursor: str | None) -> "Memory":
        """Read a cursor; none at all is an empty memory."""
        return cls(**json.loads(cursor)) if cursor else cls()

    def dumps(self) -> str:
        """Write as a cursor."""
        return json.dumps(asdict(self), sort_keys=True)


@dataclass(frozen=True)
class Decision:
    """Datasets to materialize now (name, key of the run), those that wait, and what to remember."""

    ready: tuple[tuple[str, str], ...]
    waiting: tuple[str, ...]
    memory: Memory


def decide(
    found: Mapping[str, Listing | None], memory: Memory, stored: Mapping[str, str | None], most: int = MOST_A_TICK
) -> Decision:
    """Decide which landed datasets to take, ``most`` a tick.

    A dataset is taken when its listing has not changed for one tick, or at once when it holds ``_SUCCESS``, unless what
    is stored (``stored``: the fingerprint that each raw_dataset was made from) was made from this very listing or a run
    for it was requested before. A listing that is None could not be read, which is not emptiness: such a dataset keeps
    what is remembered of it and nothing happens to it.
    """
    seen, asked = {}, {n: f for n, f in memory.asked.items() if n in found}
    ready: list[tuple[str, str]] = []
    waiting: list[str] = []
    for name, listing in sorted(found.items()):
        if listing is None:
            if name in memory.seen:
                seen[name] = memory.seen[name]
            continue
        mark = listing.fingerprint
        seen[name] = mark
        if listing.n_files == 0 or mark in (stored.get(name), asked.get(name)):
            continue
        settled = listing.has_success or memory.seen.get(name) == mark
        if settled and len(ready) < most:
            ready.append((name, f"{name}:{mark}:{memory.n_asked + len(ready)}"))
            asked[name] = mark
        else:
            waiting.append(name)
    return Decision(
        tuple(ready), tuple(waiting), Memory(seen, asked, memory.recipes_registered, memory.n_asked + len(ready))
    )


def refresh_plan(stale: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the stages to run again for each dataset that has stale ones."""
    return {name: list(stages) for name, stages in sorted(stale.items()) if stages}
