"""Prune methods: ``Density(temperature=0.1)(features, target=..., rng=...)`` gives a Selection."""

from __future__ import annotations

from espalier.prune.base import Clusters, Features, Labels, Method, Selection
from espalier.prune.random import Random

__all__ = ["Clusters", "Features", "Labels", "Method", "Random", "Selection"]
