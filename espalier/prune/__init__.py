"""Prune methods: ``Density(temperature=0.1)(features, target=..., rng=...)`` gives a Selection."""

from __future__ import annotations

from espalier.prune.balanced import Balanced
from espalier.prune.base import Clusters, Features, Labels, Method, Rule, Selection
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
