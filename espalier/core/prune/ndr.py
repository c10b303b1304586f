"""``ndr``: near-duplicate removal in the manner of Datumaro's plugin, then sampling to the exact count.

Whence: ``espalier.core.dedup.ndr``, which holds the algorithm and lists how it differs from datumaro 1.13. As a prune
method it differs from Datumaro's ``ndr`` in ``prune`` too: the ratio is what is kept (there 0.8 keeps 0.2),
and 1 keeps all; the samples of all subsets are compared (there those of one subset after the other, which is
``per_subset`` here). The plugin's ``num_cut`` is the recipe's amount, its ``seed`` the recipe's seed.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from espalier.core.dedup.ndr import Ndr as Plugin
from espalier.core.dedup.ndr import ndr_grid_features
from espalier.core.errors import UsageError
from espalier.core.prune.base import Features, Method, Selection
from espalier.core.prune.ranking import keep_first
from espalier.core.prune.scope import Scope, check_range

HASH_DIM = 32
_GRID = 9  # the stored grids have 9 x 9 cells


@dataclass(frozen=True)
class Ndr(Method):
    """Remove near duplicates, then sample up or down to the target.

    Parameters
    ----------
    working_subset : str
        The subset to work in, the others stay whole; the same as ``subsets``. Empty means all samples.
    per_subset : bool
        Prune each subset by itself, as Datumaro does: copies in two subsets are none, and every subset keeps its share
        of the count, by its size. Otherwise samples of all subsets are compared.
    duplicated_subset : str
        Where removed samples go, as the reasons say.
    algorithm : {"gradient"}
        Gradients of block means.
    over_sample : {"random", "similarity"}
        When removal leaves too few: bring duplicates back by chance, or the least similar first.
    under_sample : {"uniform", "inverse"}
        When it leaves too many: drop evenly, or rather those that share their hash key with many.
    block_shape : str
        Rows and columns of blocks, ``8x8``; at most 9x9.
    hash_dim : int, at least 1
        Bits of the hash key that ``inverse`` counts by.
    sim_threshold : float above 0, at most 1
        Samples are duplicates from this ``cosine ** 50`` on. Greater finds fewer.
    """

    name: ClassVar[str] = "ndr"
    summary: ClassVar[str] = "near-duplicate removal as in Datumaro's plugin, then sampling to the count"
    accepts: ClassVar[frozenset[str]] = frozenset({"seed", "subsets", "min_per_class", "min_clip_score"})
    instead: ClassVar[dict[str, str]] = {"num_cut": "It is the amount: write ndr@n1234."}

    working_subset: str = ""
    per_subset: bool = False
    duplicated_subset: str = "duplicated"
    algorithm: Literal["gradient"] = "gradient"
    over_sample: Literal["random", "similarity"] = "random"
    under_sample: Literal["uniform", "inverse"] = "uniform"
    block_shape: str = "8x8"
    hash_dim: int = HASH_DIM
    sim_threshold: float = 0.5

    def __post_init__(self) -> None:
        blocks = self.blocks
        check_range("sim_threshold", self.sim_threshold, 0, 1, above=True)
        check_range("hash_dim", self.hash_dim, 1, 6 * blocks[0] * blocks[1] + 1)
        if self.hash_dim != HASH_DIM and self.under_sample != "inverse":
            raise UsageError(
                f"hash_dim={self.hash_dim} has no effect with under_sample={self.under_sample}.",
                "Leave hash_dim out, or write under_sample=inverse.",
            )
        if self.working_subset and self.working_subset == self.duplicated_subset:
            raise UsageError(
                f"working_subset and duplicated_subset are both {self.working_subset!r}.", "Name two subsets."
            )

    @property
    def needs(self) -> frozenset[str]:
        """The grids of area means, and the subsets when each is pruned by itself."""
        return frozenset({"grids", "subsets"} if self.per_subset else {"grids"})

    @property
    def subsets(self) -> tuple[str, ...]:
        """The working subset."""
        return (self.working_subset,) if self.working_subset else ()

    @property
    def blocks(self) -> tuple[int, int]:
        """Rows and columns of blocks."""
        sides = re.fullmatch(rf"([1-{_GRID}])x([1-{_GRID}])", self.block_shape, re.ASCII)
        if not sides:
            raise UsageError(
                f"block_shape={self.block_shape} is not valid.", f"Write 1x1 up to {_GRID}x{_GRID}, say 8x8."
            )
        return int(sides[1]), int(sides[2])

    def check_scope(self, scope: Scope) -> None:
        """Refuse two names for the same, and ``per_subset`` where one subset is named."""
        super().check_scope(scope)
        if self.per_subset and len(scope.subsets or self.subsets) == 1:
            raise UsageError("per_subset has no effect on one subset.", "Leave it out, or name several.")
        if self.working_subset and scope.subsets:
            raise UsageError("working_subset and subsets say the same.", "Give one of them.")

    def __call__(self, features: Features, *, target: int, rng: np.random.Generator) -> Selection:
        """Run the plugin with ``num_cut`` = target; distinct samples are one group, near duplicates another."""
        self.check(features, target)
        assert features.grids is not None
        plugin = Plugin(
            per_subset=self.per_subset,
            duplicated_subset=self.duplicated_subset,
            algorithm=self.algorithm,
            num_cut=target,
            over_sample=self.over_sample,
            under_sample=self.under_sample,
            block_shape=self.blocks,
            hash_dim=self.hash_dim,
            sim_threshold=self.sim_threshold,
            seed=int(rng.integers(2**63)),
        )
        result = plugin(ndr_grid_features(features.grids, self.blocks), features.subsets if self.per_subset else None)
        group = (result.similarity > 0).astype(np.int32)
        # What was kept comes first; the rest in the order of likeness, which is at most 1.
        score = 2.0 * result.kept - result.similarity
        quota = np.bincount(group[result.kept], minlength=2)
        selection = keep_first(
            score,
            group,
            quota,
            group_word="the group of",
            order_word="placed",
            group_names=("distinct samples", f"near duplicates (subset {self.duplicated_subset})"),
        )
        return dataclasses.replace(selection, measured=result.search.describe())
