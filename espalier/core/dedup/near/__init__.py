"""Exact and near duplicates of images: the gradient feature, the neighbour search, verified copies, the groups."""

from __future__ import annotations

from espalier.core.dedup.near.copy_pairs import CopyPairs
from espalier.core.dedup.near.duplicates import Duplicates, find_duplicates
from espalier.core.dedup.near.features import DEFAULT_THRESHOLD, auto_threshold, gradient_features, mirror_features
from espalier.core.dedup.near.verified import find_verified_duplicates

__all__ = [
    "DEFAULT_THRESHOLD",
    "CopyPairs",
    "Duplicates",
    "auto_threshold",
    "find_duplicates",
    "find_verified_duplicates",
    "gradient_features",
    "mirror_features",
]
