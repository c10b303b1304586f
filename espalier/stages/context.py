"""What every stage is given and gives back: plain objects, so that a stage runs in a notebook as it does in Dagster.

home = Home.find()
context = StageContext.open(home, "clusters", "photos")
result = clusters.run(context, **inputs_of(home, "clusters", "photos"))
"""

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from espalier.io.home import Home
from espalier.io.landing.cards import Card
from espalier.io.progress import Advance, log_progress
from espalier.io.scanning.request import Reading, ScanRequest, read_here
from espalier.io.warehouse import Draft, Meta, Piece, Table
from espalier.stages.graph import STAGES, Stage
from espalier.stages.options import StageOptions, in_full

Bar: TypeAlias = Callable[[str, int], AbstractContextManager[Advance]]


@dataclass(frozen=True)
class StageContext:
    """What a stage is given beside its tables: names, options, and the outside world.

    ``recipe`` is "" for a stage that knows none. ``options`` have an encoder's name in full. ``bar(label, total)`` is a
    context that gives ``advance(n)``; ``read`` is how the files of a dataset are read. ``references`` are what it reads
    of other datasets, under the names that ``Stage.also_reads`` gives.

    ``replaced`` is the partition that it replaces, None for a stage that does not grow; ``previous`` is the same where
    that was made by the same code with the same options and references. Who builds on it says so in
    ``StageResult.inputs``, under HISTORY.
    """

    dataset: str
    recipe: str
    card: Card
    options: StageOptions
    home: Home
    threads: int
    log: logging.Logger
    bar: Bar
    read: Callable[[ScanRequest], Reading]
    references: Mapping[str, Table]
    previous: Table | None
    replaced: Table | None

    @classmethod
    def open(
        cls,
        home: Home,
        stage: str,
        dataset: str,
        recipe: str = "",
        *,
        given: Mapping[str, Any] | None = None,
        afresh: bool = False,
        threads: int = 0,
        log: logging.Logger | None = None,
        bar: Bar | None = None,
        read: Callable[[ScanRequest], Reading] | None = None,
    ) -> "StageContext":
        """Gather what a stage of ``STAGES`` needs to run for a dataset of a home.

        Options ``given`` stand in the place of the card's. With ``afresh`` it builds on nothing that was stored before.
        0 threads are one a core. By default it logs to this module's logger, bars are lines in it, and files are read
        in this process.
        """
        declared, store = STAGES[stage], home.store()
        card = home.zone().card(dataset)
        options = in_full(StageOptions.of_card(card).override(given or {}, "run config"), home.models)
        params = options.pick(declared.options)
        references = {name: store.need(*partition) for name, partition in declared.also_reads(params).items()}
        replaced = store.get(stage, dataset, recipe) if declared.grows and not afresh else None
        log = log or logging.getLogger(__name__)
        return cls(
            dataset,
            recipe,
            card,
            options,
            home,
            threads or os.cpu_count() or 1,
            log,
            bar or (lambda label, total: log_progress(log, label, total)),
            read or (lambda request: Reading(read_here(request))),
            references,
            replaced if replaced and _made_alike(replaced.meta, declared, params, references) else None,
            replaced,
        )


class Markdown(str):
    """Text for the page that is Markdown."""


@dataclass(frozen=True)
class Picture:
    """A PNG for the page, the words in its place where it cannot be shown, and where it is kept at its full size."""

    png: bytes
    words: str
    file: Path | None = None


Shown: TypeAlias = bool | int | float | str | Markdown | Picture | Path | list[dict[str, str]]
"""What the page can show: a number, a text, Markdown, a picture, a place, or the rows of a table."""


@dataclass(frozen=True)
class StageResult:
    """What a stage returns: the rows to store, and what a person should see of them, by title.

    ``folders`` appear together with the rows, ``cleanup`` may go once they are stored. ``inputs`` are versions of what
    was read beside the tables that it was given: the landed files (``listing``), and the replaced partition where it
    was built on (HISTORY).
    """

    draft: Draft
    shown: Mapping[str, Shown] = field(default_factory=dict)
    folders: tuple[Piece, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    cleanup: tuple[Piece, ...] = ()


def inputs_of(home: Home, stage: str, dataset: str, recipe: str = "") -> dict[str, Table]:
    """Return the stored tables that a stage reads, by name; one that was not made yet is an error."""
    store = home.store()
    return {name: store.need(name, dataset, recipe if STAGES[name].per_recipe else "") for name in STAGES[stage].reads}


def _made_alike(meta: Meta, stage: Stage, params: Mapping[str, Any], references: Mapping[str, Table]) -> bool:
    """Tell whether a partition was made by this code with these options, beside these partitions of other datasets."""
    same = meta.code_version == stage.version and meta.params == params
    return same and all(meta.inputs.get(name) == table.meta.data_version for name, table in references.items())
