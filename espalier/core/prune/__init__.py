"""Prune methods: ``Density(temperature=0.1)(features, target=..., rng=...)`` gives a Selection.

A new method is a file here and a line in ``METHODS``.
"""

from __future__ import annotations

from espalier.core.errors import UsageError
from espalier.core.prune.balanced import Balanced
from espalier.core.prune.base import Clusters, Features, Labels, Method, Rule, Selection
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

__all__ = ["METHODS", "Clusters", "Features", "Labels", "Method", "Rule", "Selection", "method_class"]

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
