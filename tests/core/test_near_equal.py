import numpy as np
import pytest

from espalier.core.dedup.near import equal
from espalier.core.dedup.near.equal import first_equal


def grids(n, distinct, width=243, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 2**16, (distinct, width), dtype=np.uint16)[rng.integers(0, distinct, n)]


def plain(rows):
    seen = {}
    return [seen.setdefault(row.tobytes(), place) for place, row in enumerate(rows)]


@pytest.mark.parametrize(("n", "distinct"), [(0, 1), (1, 1), (50, 50), (300, 40), (20_000, 9000)])
def test_equal_rows_are_found_as_a_dictionary_finds_them(n, distinct):
    values = grids(n, distinct)
    assert first_equal(values, np.arange(n)).tolist() == plain(values)


def test_only_the_chosen_rows_are_looked_at():
    values = grids(500, 60)
    rows = np.random.default_rng(1).permutation(500)[:200]
    assert first_equal(values, rows).tolist() == plain(values[rows])


@pytest.mark.parametrize("keys", [1, 5], ids=["one for all", "some"])
def test_a_hash_that_strangers_share_decides_nothing(monkeypatch, keys):
    values = grids(400, 70)
    monkeypatch.setattr(equal, "_keys", lambda values, rows: values[rows, 0].astype(np.uint64) % keys)
    assert first_equal(values, np.arange(400)).tolist() == plain(values)
