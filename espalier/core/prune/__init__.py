"""Prune methods: ``Density(temperature=0.1)(features, target=..., rng=...)`` gives a Selection."""

from __future__ import annotations

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

__all__ = [
    "Balanced",
    "Centroid",
    "ClusterRandom",
    "Clusters",
    "Density",
    "Entropy",
    "Features",
    "KCenter",
    "Labels",
    "Method",
    "Ndr",
    "Prototypes",
    "QueryClust",
    "Random",
    "Rule",
    "Selection",
    "Stratified",
]
