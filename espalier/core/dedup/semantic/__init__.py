"""SemDeDup: semantic duplicates inside fine clusters of embeddings (Abbas et al. 2023, arXiv 2303.09540).

The costly part, finding similar pairs, is done once (``similar_pairs``); ``resolve`` turns them into verdicts for any
``eps`` that they cover, and ``eps_for_share`` finds the ``eps`` that keeps a wanted share.
Differs from the paper's code: ``keep_one`` is the default rule, unit norm is checked, pairs across cluster borders
can be found, every similar pair inside a cluster is found whatever the cluster's size. The clusters are an argument.
"""

from __future__ import annotations

from espalier.core.dedup.semantic.direct import resolve_directly
from espalier.core.dedup.semantic.resolve import (
    SemanticDuplicates,
    eps_for_share,
    rank_positions,
    resolve,
)
from espalier.core.dedup.semantic.search import SimilarPairs, TooManyPairs, similar_pairs

__all__ = [
    "SemanticDuplicates",
    "SimilarPairs",
    "TooManyPairs",
    "eps_for_share",
    "rank_positions",
    "resolve",
    "resolve_directly",
    "similar_pairs",
]
