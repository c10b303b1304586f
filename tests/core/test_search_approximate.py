"""The approximate index: what it reports is what it does."""

import faiss
import numpy as np
import pytest

from espalier.core.errors import EspalierError, UsageError
from espalier.core.rng import generator
from espalier.core.search import Explorer, Part
from espalier.core.search.approximate import ApproximateHamming
from espalier.core.search.hamming import Hamming
from espalier.core.search.joined import Joined


def grouped(n, groups=60, flip=0.08, n_bytes=32, seed=0):
    rng = generator(seed, "grouped")
    centres = rng.integers(0, 2, (groups, 8 * n_bytes), dtype=np.uint8)
    rows = centres[rng.integers(0, groups, n)] ^ (rng.random((n, 8 * n_bytes)) < flip)
    return np.packbits(rows, axis=1)


def recall_of(explorer, queries, k):
    _, exact = explorer.search(queries, k)
    _, found = explorer.search(queries, k, approximate=True)
    return float((found <= exact[:, -1:]).mean())


def test_the_asked_recall_is_held_on_queries_it_was_not_tuned_on():
    h = grouped(20_000)
    explorer = Explorer(h[:19_500])
    report = explorer.build_index(0.95, k=20)
    assert report.recall >= 0.95
    assert report.scanned < 0.5
    assert recall_of(explorer, h[19_500:], 20) >= 0.93
    hits = explorer.topk(h[19_500:19_503], 20, approximate=True)
    assert hits.recall == report.recall
    assert len(set(hits.row.tolist())) == len(hits) == 20
    assert (np.diff(hits.score) >= 0).all()


def test_hashes_without_groups_cost_nearly_everything_and_the_report_says_so():
    h = generator(0, "noise").integers(0, 256, (4000, 32)).astype(np.uint8)
    explorer = Explorer(h)
    report = explorer.build_index(0.95, k=10)
    assert report.recall >= 0.95
    assert report.scanned > 0.5


def test_a_full_recall_needs_no_luck():
    explorer = Explorer(grouped(2000))
    assert explorer.build_index(1.0, k=10, n_sample=50).recall == 1.0


def test_groups_that_hold_too_few_rows_are_made_up_exactly():
    explorer = Explorer(grouped(500, groups=100))
    explorer.build_index(0.5, k=2, n_lists=64)
    rows, distances = explorer.search(grouped(3, seed=5), 400, approximate=True)
    assert rows.shape == (3, 400)
    assert rows.min() >= 0
    assert all(len(set(one)) == 400 for one in rows.tolist())
    assert np.isfinite(distances).all()


def test_it_covers_several_datasets_and_is_the_same_every_time():
    h = grouped(3000)
    reports = [
        Explorer(parts=parts).build_index(0.9, k=10, seed=3)
        for parts in ([Part("a", hashes=h[:1000]), Part("b", hashes=h[1000:])], [Part("all", hashes=h)])
    ]
    assert reports[0] == reports[1]


def test_a_copy_at_distance_zero_is_found():
    h = grouped(3000)
    explorer = Explorer(h)
    explorer.build_index(0.9, k=10)
    _, distances = explorer.search(h[100:120], 1, approximate=True)
    assert (distances == 0).mean() >= 0.9


@pytest.mark.parametrize(
    "options", [{"fuse": "mean"}, {"unique": True}, {"where": np.ones(300, bool)}, {"without": grouped(1)}]
)
def test_what_it_cannot_do_is_refused_not_ignored(options):
    h = grouped(300)
    explorer = Explorer(h)
    explorer.build_index(0.9, k=5)
    with pytest.raises(UsageError):
        explorer.topk(h[0], 5, approximate=True, **options)


def test_a_target_out_of_range_and_missing_hashes_are_refused():
    with pytest.raises(EspalierError, match="recall"):
        Explorer(grouped(10)).build_index(1.5)
    with pytest.raises(EspalierError, match="hamming"):
        Explorer(vectors=np.eye(3, dtype=np.float32)).build_index()
    with pytest.raises(EspalierError, match="no hashes"):
        Explorer(grouped(10)[:0]).build_index()


def test_a_stored_index_that_is_of_another_kind_or_of_other_data_is_refused():
    rows, data = grouped(50), Joined([Hamming(grouped(50))])
    built = ApproximateHamming.build(data, target=0.9, k=5, n_sample=10, n_lists=4, seed=0)
    flat = faiss.IndexBinaryFlat(8 * rows.shape[1])
    flat.add(rows)
    for packed, words in (
        (built.dump()[:100], "cannot be read"),
        (faiss.serialize_index_binary(flat), "no groups"),
    ):
        with pytest.raises(EspalierError, match=words):
            ApproximateHamming.load(data, packed, built.report)
    with pytest.raises(EspalierError, match="other data"):
        ApproximateHamming.load(Joined([Hamming(grouped(40))]), built.dump(), built.report)
    assert ApproximateHamming.load(data, built.dump(), built.report).report == built.report


@pytest.mark.parametrize("n", [1, 2, 3])
def test_tiny_sets_are_indexed_too(n):
    h = grouped(n)
    explorer = Explorer(h)
    assert explorer.build_index(0.95).recall == 1.0
    assert explorer.topk(h[0], 5, approximate=True).row.tolist() == explorer.topk(h[0], 5).row.tolist()
