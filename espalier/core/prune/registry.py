"""The prune methods by name. A new method is a file beside this one and a line here."""

from __future__ import annotations

from espalier.core.errors import UsageError
from espalier.core.prune.balanced import Balanced
from espalier.core.prune.base import Method
from espalier.core.prune.centroid import Centroid
from espalier.core.prune.cluster_random import ClusterRandom
from espalier.core.prune.density import Density
from espalier.core.prune.entropy import Entropy
from espalier.core.prune.kcenter import KCenter
from espalier.core.prune.ndr import Ndr
from espalier.core.prune.prototypes import Prototypes
from espalier.core.prune.query_clust import QueryClust
from espalier.core.prune.random import Random
from espalier.core.prune.stratified import Stratified

METHODS: dict[str, type[Method]] = {
    m.name: m
    for m in (
        Random,
        ClusterRandom,
        Centroid,
        QueryClust,
        Entropy,
        Ndr,
        Density,
        Prototypes,
        Stratified,
        KCenter,
        Balanced,
    )
}


def method_class(name: str) -> type[Method]:
    """Return the class of the method ``name``, or refuse with the list of what is known."""
    if name in METHODS:
        return METHODS[name]
    raise UsageError(f"There is no prune method {name!r}.", f"Known: {', '.join(METHODS)}.")
