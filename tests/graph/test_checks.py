"""Each check that assets share fails on what it is there for."""

import numpy as np
import pyarrow as pa
import pytest

from assets import checks
from resources.warehouse import Draft, Meta, Warehouse
from resources.warehouse.table import array_column


@pytest.fixture
def stored(tmp_path):
    """Store rows as an asset and give their table."""

    def store(asset, side=None, stats=None, **columns):
        draft = Draft(pa.table(columns), sort="", side=side or {}, stats=stats or {})
        staged = Warehouse(tmp_path).stage(draft, Meta(asset, "set", "", "1", {}, {}))
        staged.commit()
        return Warehouse(tmp_path).need(asset, "set")

    return store


def run(check, staged, **upstream):
    return check.run(staged, upstream, None)


def test_ids_stand_once_and_are_known(stored):
    raw = stored("raw_dataset", sample_id=["a", "b", "c"])
    assert run(checks.ids_known, stored("clusters", sample_id=["a", "c"]), raw_dataset=raw)[0]
    repeated = run(checks.ids_known, stored("clusters", sample_id=["a", "a"]), raw_dataset=raw)
    assert repeated == (False, {"ids that raw_dataset lacks": 0, "repeated ids": 1})
    unknown = run(checks.ids_known, stored("clusters", sample_id=["a", "x", "y"]), raw_dataset=raw)
    assert unknown == (False, {"ids that raw_dataset lacks": 2, "repeated ids": 0})
    assert run(checks.ids_unique, raw)[0]
    assert run(checks.ids_unique, stored("raw_dataset", sample_id=["a", "a", "a"])) == (False, {"repeated ids": 2})


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 0.5, 1.0005])
def test_vectors_are_finite_and_unit(stored, wrong):
    vectors = np.eye(3, dtype=np.float32)
    good = stored("embeddings", sample_id=list("abc"), vector=array_column(vectors))
    assert run(checks.vectors_unit, good)[0]
    vectors[1, 1] = wrong
    bad = stored("embeddings", sample_id=list("abc"), vector=array_column(vectors))
    assert run(checks.vectors_unit, bad) == (False, {"vectors that are not finite and unit": 1})


@pytest.mark.parametrize(
    ("kept", "copy_of", "holds"),
    [([True, False], [None, "a"], True), ([False, False], [None, "a"], False), ([True, True], [None, "a"], False)],
)
def test_dropped_copies_name_a_kept_sample(stored, kept, copy_of, holds):
    staged = stored("dedup_set", sample_id=["a", "b"], kept=kept, duplicate_of=pa.array(copy_of, pa.string()))
    assert run(checks.duplicates_point_to_kept, staged)[0] is holds


def test_every_survivor_has_a_vector_or_a_reason(stored):
    dedup = stored("dedup_set", sample_id=["a", "b", "c", "d"], kept=[True, True, True, False])
    errors = {"errors": pa.table({"sample_id": ["c"]})}
    assert run(checks.all_survivors, stored("embeddings", errors, sample_id=["a", "b"]), dedup_set=dedup)[0]
    lost = run(checks.all_survivors, stored("embeddings", errors, sample_id=["a"]), dedup_set=dedup)
    assert lost == (False, {"survivors with neither a vector nor a reason": 1})


def test_the_manifest_keeps_what_was_asked_and_has_every_sample(stored):
    raw = stored("raw_dataset", sample_id=["a", "b", "c"])
    staged = stored("pruned_manifest", stats={"n_asked": 2}, sample_id=["a", "b"], kept=[True, False])
    assert run(checks.count_exact, staged) == (False, {"kept": 1, "asked": 2})
    assert run(checks.whole, staged, raw_dataset=raw) == (False, {"rows": 2, "samples in raw_dataset": 3})
