"""SemDeDup in the graph: chains, stored pairs, new samples against kept ones, ids of any length."""

import numpy as np
import pytest
from PIL import Image

from espalier.apps.explain.ledger import why
from espalier.apps.target_share import eps_for_share_of
from espalier.core.kmeans import assign, fit_kmeans
from espalier.core.rng import generator

FIRST = ("raw_dataset", "dedup_set", "embeddings")
STAGE = "semantic_dedup_set"
WITH_ALL = (*FIRST, STAGE)


def with_vectors(kit, tmp_path, vectors, **options):
    """A chain whose samples a.png, b.png, ... have these embeddings."""
    data, brought = tmp_path / "data", tmp_path / "vectors"
    data.mkdir()
    brought.mkdir()
    names = [f"{chr(97 + n)}.png" for n in range(len(vectors))]
    for n, name in enumerate(names):
        kit.texture(n).save(data / name)
    np.save(brought / "x.npy", vectors)
    (brought / "x.txt").write_text("\n".join(names))
    chain = kit.Chain(tmp_path / "home", data)
    chain.zone.land(data, "set", options={"embeddings": str(brought), **options})
    return chain


@pytest.fixture
def growing(tmp_path, kit):
    """Forty textures, one class; semantic duplicates by a loose eps."""
    data = tmp_path / "data"
    data.mkdir()
    for n in range(40):
        kit.texture(n).save(data / f"{n:02}.png")
    chain = kit.Chain(tmp_path / "home", data)
    chain.zone.land(data, "set", options={"eps": 0.4, "semantic_k": 4})
    assert chain.succeeded(chain.run(*WITH_ALL))
    return chain


def stats(chain):
    return chain.table(STAGE).meta.stats


def options(chain, **given):
    chain.zone.land(chain.data, "set", options=given)
    assert chain.succeeded(chain.run(STAGE))


@pytest.mark.parametrize(("rule", "kept"), [("keep_one", ["a.png", "c.png"]), ("paper", ["a.png"])])
def test_a_chain_of_three_keeps_both_ends_or_only_the_first_and_why_says_through_what(kit, tmp_path, rule, kept):
    gram = np.array([[1, 0.95, 0.81], [0.95, 1, 0.95], [0.81, 0.95, 1]])
    chain = with_vectors(
        kit, tmp_path, np.linalg.cholesky(gram).astype(np.float32), eps=0.1, rule=rule, which_to_keep="easy"
    )
    assert chain.succeeded(chain.run(*WITH_ALL))
    rows = chain.rows(STAGE)
    order = sorted(rows, key=lambda name: rows[name]["rank"])
    if order[0] == "b.png":  # the middle is nearest to the centroid: it drops both ends under either rule
        assert [name for name, row in rows.items() if row["kept"]] == ["b.png"]
        chain.zone.record_verdicts("set", keep=["a.png"])
        chain.run(*WITH_ALL)
        rows = chain.rows(STAGE)
    assert [name for name, row in rows.items() if row["kept"]] == kept
    if rule == "paper":
        said = why(chain.home, "set", "c.png")["steps"][STAGE]
        assert said.startswith("dropped: semantic duplicate of a.png through b.png, which was dropped too (rule paper)")


def test_only_pairs_with_new_samples_are_searched_and_only_new_samples_go(growing, kit):
    before, first = growing.rows(STAGE), stats(growing)
    assert (first["n_new"], first["n_known"]) == (40, 0)
    assert 0 < first["n_semantic"] < 40
    for n in range(60, 70):
        kit.texture(n).save(growing.data / f"{n:02}.png")
    assert growing.succeeded(growing.run(*WITH_ALL))
    after, second = growing.rows(STAGE), stats(growing)
    assert (second["n_new"], second["n_known"]) == (10, 40)
    for name, row in before.items():
        assert (after[name]["kept"], after[name]["duplicate_of"], after[name]["similarity"]) == (
            row["kept"],
            row["duplicate_of"],
            row["similarity"],
        )
    # ten rows with the members of two clusters each, not the pairs of all fifty
    assert 0 < second["comparisons"] < 10 * 50 * 2


def test_the_pairs_kept_over_and_found_are_those_of_a_search_among_all(growing, kit, tmp_path):
    for n in range(60, 70):
        kit.texture(n).save(growing.data / f"{n:02}.png")
    assert growing.succeeded(growing.run(*WITH_ALL))
    table = growing.table(STAGE)
    pairs = table.arrow(["i", "j"], table="pairs")
    vectors, cluster = growing.table("embeddings").matrix("vector"), table.column("fine_cluster")
    cosine = vectors.astype(float) @ vectors.T.astype(float)
    i, j = np.nonzero(np.triu((cosine > 0.6 + 1e-6) & (cluster[:, None] == cluster), 1))
    assert set(zip(i.tolist(), j.tolist(), strict=True)) <= set(
        zip(pairs["i"].to_pylist(), pairs["j"].to_pylist(), strict=True)
    )


def test_a_dropped_sample_comes_back_when_the_one_that_it_copied_has_gone(growing):
    rows = growing.rows(STAGE)
    gone = next(name for name, row in rows.items() if not row["kept"])
    keepers = {rows[gone]["duplicate_of"]}
    (growing.data / next(iter(keepers))).unlink()
    assert growing.succeeded(growing.run(*WITH_ALL))
    again = growing.rows(STAGE)[gone]
    assert again["kept"] or again["duplicate_of"] not in keepers
    assert stats(growing)["n_new"] == 0
    assert stats(growing)["comparisons"] == 0


def test_a_changed_file_is_a_new_sample(growing, kit):
    kit.texture(99).save(growing.data / "05.png")
    assert growing.succeeded(growing.run(*WITH_ALL))
    assert (stats(growing)["n_new"], stats(growing)["n_known"]) == (1, 39)


def test_the_same_again_stores_the_same(growing):
    version = growing.table(STAGE).meta.data_version
    assert growing.succeeded(growing.run(STAGE))
    assert growing.table(STAGE).meta.data_version == version
    assert stats(growing)["comparisons"] == 0


def test_a_greater_eps_searches_the_same_clusters_and_stores_what_a_fresh_home_would(growing):
    options(growing, eps=0.6)
    found, version = growing.rows(STAGE), growing.table(STAGE).meta.data_version
    growing.table(STAGE).path.unlink()
    assert growing.succeeded(growing.run(STAGE))
    assert (growing.rows(STAGE), growing.table(STAGE).meta.data_version) == (found, version)


@pytest.mark.parametrize("given", [{"eps": 0.2}, {"rule": "paper"}, {"which_to_keep": "easy"}])
def test_a_smaller_eps_another_rule_or_rank_needs_no_search(growing, kit, given):
    options(growing, **given)
    found = growing.rows(STAGE)
    assert stats(growing)["comparisons"] == 0
    growing.table(STAGE).path.unlink()
    assert growing.succeeded(growing.run(STAGE))
    assert stats(growing)["comparisons"] > 0
    assert growing.rows(STAGE) == found


@pytest.mark.parametrize("given", [{"eps": 0.5}, {"seed": 1}, {"semantic_k": 3}, {"n_probe": 1}])
def test_pairs_of_other_clusters_or_a_greater_eps_are_never_reused(growing, given):
    """Non-regression: the original reuses a stale clustering whatever changed."""
    options(growing, **given)
    assert stats(growing)["comparisons"] > 0
    assert stats(growing)["n_known"] == 0


@pytest.mark.parametrize("share", [0.4, 0.7])
def test_the_eps_for_a_share_keeps_that_share_with_protected_samples_among_it(kit, tmp_path, espalier, share):
    data, home = tmp_path / "data", tmp_path / "home"
    for subset, numbers in (("train", range(40)), ("test", range(100, 110))):
        (data / subset).mkdir(parents=True)
        for n in numbers:
            kit.texture(n).save(data / subset / f"{n}.png")
    answer = espalier("dedup", data, "--name", "set", "--target-share", share, "--json", home=home)
    found = answer.json()
    assert abs(found["n_kept"] - share * 50) <= 2
    assert f"keeps {found['n_kept']} samples" in answer.err
    listed = espalier("sql", "select sample_id from semantic_dedup_set where not kept", "--json", home=home).json()
    assert listed
    assert not [row for row in listed if row["sample_id"].startswith("test/")]


@pytest.fixture
def grown_by_half(kit, tmp_path):
    """Thirty textures and then fourteen others, in six fine clusters that the first thirty made."""
    data = tmp_path / "data"
    data.mkdir()
    chain = kit.Chain(tmp_path / "home", data)
    chain.zone.land(data, "set", options={"eps": 0.4, "semantic_k": 6, "n_probe": 1})
    for numbers in (range(30), range(60, 74)):
        for n in numbers:
            kit.texture(n).save(data / f"{n:02}.png")
        assert chain.succeeded(chain.run(*WITH_ALL))
    assert (stats(chain)["n_new"], stats(chain)["n_known"]) == (14, 30)
    return chain


def kept_by_plain_loops(chain, eps):
    """How many SemDeDup keeps (rule keep_one) inside the fine clusters, and in the order, that are stored."""
    vectors, rows = chain.table("embeddings").matrix("vector").astype(float), list(chain.rows(STAGE).values())
    kept = []
    for n in sorted(range(len(rows)), key=lambda n: rows[n]["rank"]):
        near = (m for m in kept if rows[m]["fine_cluster"] == rows[n]["fine_cluster"])
        if not any(vectors[m] @ vectors[n] > 1 - eps for m in near):
            kept.append(n)
    return len(kept)


def test_a_k_means_over_all_of_a_dataset_that_grew_gives_other_clusters_than_the_stage_used(grown_by_half):
    """So nothing that explains what the stage did may cluster anew."""
    stored = grown_by_half.table(STAGE)
    vectors = grown_by_half.table("embeddings").matrix("vector")
    anew = fit_kmeans(vectors, 6, rng=generator(0, "semantic clusters")).assignment
    together = [cluster[:, None] == cluster for cluster in (stored.column("fine_cluster"), anew)]
    assert (together[0] != together[1]).any()
    assert (assign(vectors, stored.matrix("centroid", table="centroids"))[0] == stored.column("fine_cluster")).all()


@pytest.mark.parametrize("share", [0.5, 0.7, 0.95])
def test_the_eps_for_a_share_is_of_the_clusters_that_the_stage_used_and_its_next_run_keeps_that_many(
    grown_by_half, share
):
    chain, before = grown_by_half, grown_by_half.table(STAGE)
    centroids, fine = before.matrix("centroid", table="centroids"), before.column("fine_cluster")
    found = eps_for_share_of(chain.home, "set", share)
    assert found.kept == kept_by_plain_loops(chain, found.eps)
    options(chain, eps=found.eps)
    after = chain.table(STAGE)
    assert stats(chain)["n_kept"] == found.kept
    assert (after.matrix("centroid", table="centroids") == centroids).all()
    assert (after.column("fine_cluster") == fine).all()


def test_the_number_that_is_told_for_a_share_is_the_stages_own(kit, tmp_path, espalier):
    """Two cosines that differ in the seventh digit, where the eps that is stored has six."""
    vectors = np.zeros((4, 4), np.float32)
    for row, cosine in ((0, 0.9000004), (2, 0.9000001)):
        vectors[row, row] = 1
        vectors[row + 1, row : row + 2] = cosine, np.sqrt(1 - cosine**2)
    chain = with_vectors(kit, tmp_path, vectors, eps=0.05)
    answer = espalier("dedup", "set", "--target-share", 0.75, "--json", home=chain.home.root)
    assert f"keeps {answer.json()['n_kept']} samples" in answer.err


def test_why_names_the_fine_clusters_that_the_stage_used(grown_by_half):
    rows = grown_by_half.rows(STAGE)
    gone = [name for name, row in rows.items() if not row["kept"]]
    assert gone
    for name in gone:
        said = why(grown_by_half.home, "set", name)["steps"][STAGE]
        assert said.endswith(f"; both lie in fine cluster {rows[name]['fine_cluster']}")


def test_why_names_both_fine_clusters_of_a_pair_across_their_border(growing):
    options(growing, eps=0.6)
    rows = growing.rows(STAGE)
    fine = {name: row["fine_cluster"] for name, row in rows.items()}
    gone = next(name for name, row in rows.items() if not row["kept"] and fine[name] != fine[row["via"]])
    low, high = sorted((fine[gone], fine[rows[gone]["via"]]))
    assert why(growing.home, "set", gone)["steps"][STAGE].endswith(f"; they lie in fine clusters {low} and {high}")


def test_the_sheet_shows_pairs_on_both_sides_of_the_limit(growing, monkeypatch):
    from espalier.stages import semantic_dedup_set as stage

    drawn = []
    plain = stage.contact_sheet
    monkeypatch.setattr(stage, "contact_sheet", lambda pairs, read: drawn.extend(pairs) or plain(pairs, read))
    cluster, vectors = growing.table(STAGE).column("fine_cluster"), growing.table("embeddings").matrix("vector")
    product = np.triu(np.where(cluster[:, None] == cluster, vectors @ vectors.T, 0), 1)
    order = np.argsort(-product, axis=None)
    first, second = (set(divmod(int(place), len(cluster))) for place in order[:2])
    limit = float(product.ravel()[order[1]]) + 1e-4
    assert not first & second  # so one of the first pair goes, and both of the second stay
    options(growing, eps=1 - limit)
    cosine = [float(pair[1].note.rsplit(" ", 1)[1]) for pair in drawn]
    assert cosine == sorted(cosine, reverse=True)
    kept = [pair[0].note == "both kept" for pair in drawn]
    assert kept == sorted(kept)
    assert 0 < sum(kept) < len(kept)
    assert all((number <= round(limit, 3)) == both for number, both in zip(cosine, kept, strict=True))
    assert (growing.home.reports / "set/semantic-pairs.png").read_bytes().startswith(b"\x89PNG")


def test_ids_that_share_a_long_beginning_stay_apart(kit, tmp_path):
    """Non-regression: the originals cut paths after 24 or 32 letters."""
    data = tmp_path / "data"
    folder = data / ("photographs-of-the-long-summer-of-2021/" + "a" * 60)
    folder.mkdir(parents=True)
    for n in range(6):
        Image.fromarray(np.asarray(kit.texture(n))).save(folder / f"picture-{n}.png")
    chain = kit.Chain(tmp_path / "home", data)
    chain.zone.land(data, "set", options={"eps": 1.5})
    assert chain.succeeded(chain.run(*WITH_ALL))
    rows = chain.rows(STAGE)
    assert len(rows) == 6
    (kept,) = [name for name, row in rows.items() if row["kept"]]
    assert {row["duplicate_of"] for row in rows.values()} == {kept, None}
