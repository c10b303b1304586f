"""The prune methods by name. A new method is a file beside this one and a line here."""

from __future__ import annotations

from espalier.errors import UsageError
from espalier.prune.balanced import Balanced
from espalier.prune.base import Method
from espalier.prune.centroid import Centroid
from espalier.prune.cluster_random import ClusterRandom
from espalier.prune.density import Density
from espalier.prune.entropy import Entropy
from espalier.prune.kcenter import KCenter
from espalier.prune.ndr import Ndr
from espalier.prune.prototypes import Prototypes
from espalier.prune.query_clust import QueryClust
from espalier.prune.random import Random
from espalier.prune.stratified import Stratified

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
