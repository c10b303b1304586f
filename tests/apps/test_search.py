"""Exploring stored datasets: what is found, in which order, filters, saved folders, and each mistake in one line."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from espalier.apps.search import Query, SearchIndex, SearchRequest, check_folder, save
from espalier.apps.search.encoding import Encoding
from espalier.apps.search.indexed import ApproximateIndex
from espalier.cli.explore import _spread
from espalier.cli.main import main
from espalier.core.hashing import SimHash
from espalier.io.encoders import load_encoder
from espalier.io.files.blobs import read_bytes
from espalier.io.home import Home
from espalier.io.landing.zone import LandingZone
from espalier.io.warehouse import Draft, Meta
from espalier.io.warehouse.table import array_column

LABELS = ("heron", "otter", "lynx")
EACH = 6
PARAMS = {"encoder": "builtin", "device": "CPU", "precision": "f32", "max_pixels": None}
# sample: (the kept sample that it copies, its bytes are the same)
COPIES = {
    "train/heron/0-again.png": ("train/heron/0.png", True),
    "test/heron/0-small.jpg": ("train/heron/0.png", False),
    "train/otter/1-pale.jpg": ("train/otter/1.png", False),
}


def picture(number: int) -> Image.Image:
    rng = np.random.default_rng(number)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    return coarse.resize((96, 96), Image.Resampling.BICUBIC)


def put(store, asset, dataset, rows, side=None, **stats):
    meta = Meta(asset, dataset, "", "1", stats.pop("params", {}), {})
    store.stage(Draft(rows, sort="", side=side or {}, stats=stats), meta).commit()


def grow(home: Home, root: Path, name: str, *, encoder_id: str | None = None, seed: int = 0, labels=LABELS) -> None:
    """Write pictures and store them as the chain would: copies are dropped before anything is embedded."""
    for c, label in enumerate(labels):
        (root / "train" / label).mkdir(parents=True)
        for i in range(EACH):
            picture(seed + 10 * c + i).save(root / "train" / label / f"{i}.png")
    names = [f"train/{label}/{i}.png" for label in labels for i in range(EACH)]
    copies = COPIES if seed == 0 else {}
    if copies:
        (root / "test/heron").mkdir(parents=True)
        first = root / "train/heron/0.png"
        (root / "train/heron/0-again.png").write_bytes(first.read_bytes())
        Image.open(first).resize((80, 80)).save(root / "test/heron/0-small.jpg")
        Image.open(root / "train/otter/1.png").point(lambda v: v * 0.9 + 15).save(root / "train/otter/1-pale.jpg")
    (root / "train" / labels[0] / "torn.png").write_bytes(b"\x89PNG no more")
    LandingZone(home.ensure().landing).land(root, name)
    torn = f"train/{labels[0]}/torn.png"
    ids = sorted([*names, *copies, torn])
    encoder, simhash = load_encoder("builtin"), SimHash()
    kept = [i for i in ids if i not in copies and i != torn]
    batches = list(encoder.encode_images(enumerate(str(root / i) for i in kept), read_bytes))
    vectors = np.concatenate([b.vectors for b in batches])
    store = home.store()
    raw = {
        "sample_id": ids,
        "subset": [i.split("/")[0] for i in ids],
        "uri": [str(root / i) for i in ids],
        "sha256": [__import__("hashlib").sha256((root / i).read_bytes()).hexdigest() for i in ids],
        "n_bytes": [(root / i).stat().st_size for i in ids],
        "width": [96] * len(ids),
        "height": [96] * len(ids),
        "caption": ["a heron in the reeds" if i == "train/heron/3.png" else None for i in ids],
        "labels": [[i.split("/")[1]] for i in ids],
        "uid": pa.array([None] * len(ids), pa.string()),
        "error": ["truncated file" if i == torn else None for i in ids],
    }
    put(store, "raw_dataset", name, pa.table(raw))
    read = [i for i in ids if i != torn]
    dedup = {
        "sample_id": read,
        "kept": [i not in copies for i in read],
        "duplicate_of": pa.array([copies.get(i, (None,))[0] for i in read], pa.string()),
        "of_dataset": pa.array([None] * len(read), pa.string()),
        "stage": pa.array([("exact" if copies[i][1] else "near") if i in copies else None for i in read], pa.string()),
        "similarity": pa.array([0.9 if i in copies else None for i in read], pa.float32()),
    }
    put(store, "dedup_set", name, pa.table(dedup))
    rows = {"sample_id": kept, "vector": array_column(vectors), "hash": array_column(simhash(vectors))}
    stats = {"encoder": "builtin", "encoder_id": encoder_id or encoder.id, "n_texts": 0}
    put(store, "embeddings", name, pa.table(rows), params=PARAMS, **stats)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    root = tmp_path_factory.mktemp("explore")
    home = Home.find(root / "home")
    grow(home, root / "birds", "birds")
    grow(home, root / "wild", "wild", seed=500)
    grow(home, root / "alien", "alien", seed=900, encoder_id="0123456789abcdef", labels=("moth",))
    LandingZone(home.landing).land(root / "wild", "bare")
    return home


@pytest.fixture(scope="module")
def data(home):
    return home.root.parent / "birds"


@pytest.fixture
def told():
    return []


@pytest.fixture
def birds(home, told):
    return SearchIndex(home, ["birds"], tell=told.append)


def item(value, **options):
    return SearchRequest((Query("item", value),), **options)


def ids(answer):
    return [result.sample_id for result in answer.results]


def test_a_picture_finds_itself_its_copies_and_then_the_rest_with_true_distances(birds, data):
    """A copy has its own distance, that of its own vector, although it was never embedded by the chain."""
    answer = birds.ask(SearchRequest((Query("image", str(data / "train/heron/0.png")),), topk=4))
    group = {"train/heron/0.png", "train/heron/0-again.png", "test/heron/0-small.jpg"}
    assert ids(answer)[:2] == ["train/heron/0-again.png", "train/heron/0.png"], "equal distances end on the id"
    assert set(ids(answer)[:3]) == group
    uris = [str(data / "train/heron/0.png"), str(data / "test/heron/0-small.jpg")]
    (batch,) = load_encoder("builtin").encode_images(enumerate(uris), read_bytes)
    one, other = SimHash()(batch.vectors)
    assert answer.results[2].distance == np.bitwise_count(one ^ other).sum()
    assert [r.copy_of for r in answer.results[:3]] == ["train/heron/0.png", None, "train/heron/0.png"]


@pytest.mark.parametrize("metric", ["hamming", "cosine"])
def test_the_order_is_that_of_all_vectors_taken_together(birds, data, metric):
    """The two steps (kept samples first, then their copies) give what one search over everything gives."""
    answer = birds.ask(item("train/otter/1.png", topk=8, metric=metric))
    every = sorted(birds.rows.values("sample_id", np.arange(len(birds.rows))))
    (batch,) = load_encoder("builtin").encode_images(enumerate(str(data / i) for i in every), read_bytes)
    hashes = SimHash()(batch.vectors)
    at = every.index("train/otter/1.png")
    far = (
        np.bitwise_count(hashes[at] ^ hashes).sum(axis=1)
        if metric == "hamming"
        else 1 - batch.vectors.astype(float) @ batch.vectors[at]
    )
    best = sorted(range(len(every)), key=lambda i: (round(float(far[i]), 6), every[i]))[:8]
    assert ids(answer) == [every[i] for i in best]
    np.testing.assert_allclose([r.distance for r in answer.results], far[best], atol=1e-5)


def test_a_dropped_copy_can_be_asked_with_and_shown_by_a_filter_that_its_keeper_fails(birds):
    answer = birds.ask(item("test/heron/0-small.jpg", topk=5, subsets=("test",)))
    assert ids(answer) == ["test/heron/0-small.jpg"]
    again = birds.ask(item("train/heron/0.png", topk=1, subsets=("test",)))
    assert ids(again) == ["test/heron/0-small.jpg"]


def test_kept_only_leaves_the_copies_out(home):
    explored = SearchIndex(home, ["birds"], copies=False)
    found = ids(explored.ask(item("train/heron/0.png", topk=50)))
    assert len(found) == len(LABELS) * EACH
    assert not set(found) & COPIES.keys()


def test_unique_shows_one_of_each_group_of_copies(birds):
    found = ids(birds.ask(item("train/heron/0.png", topk=6, unique=True)))
    assert found[0] == "train/heron/0.png"
    assert not set(found) & COPIES.keys()
    assert len(found) == 6
    only = ids(birds.ask(item("train/heron/0.png", topk=1, unique=True, subsets=("test",))))
    assert only == ["test/heron/0-small.jpg"]


def test_several_queries_give_each_sample_once_and_others_leaves_them_out(birds):
    queries = (Query("item", "train/heron/2.png"), Query("item", "train/lynx/4.png"))
    found = ids(birds.ask(SearchRequest(queries, topk=7)))
    assert set(found[:2]) == {"train/heron/2.png", "train/lynx/4.png"}
    assert len(set(found)) == 7
    others = ids(birds.ask(SearchRequest(queries, topk=7, others=True)))
    assert not {"train/heron/2.png", "train/lynx/4.png"} & set(others)


@pytest.mark.parametrize("fuse", ["best", "mean", "rrf"])
@pytest.mark.parametrize("topk", [1, 2, 7])
def test_a_list_longer_than_top_k_gives_exactly_top_k(birds, topk, fuse):
    queries = tuple(Query("item", f"train/{label}/{i}.png") for label in LABELS for i in (1, 3, 5))
    found = ids(birds.ask(SearchRequest(queries, topk=topk, fuse=fuse)))
    assert len(set(found)) == len(found) == topk


def test_a_file_asked_with_is_itself_and_not_another_with_its_bytes(birds, data):
    query = Query("image", str(data / "train/heron/0-again.png"))
    found = ids(birds.ask(SearchRequest((query,), topk=2, others=True)))
    assert found == ["train/heron/0.png", "test/heron/0-small.jpg"]


def test_an_example_that_pushes_away_goes_down(birds):
    pushed = "train/otter/1.png"
    plain = ids(birds.ask(item("train/heron/2.png", topk=21)))
    away = SearchRequest((Query("item", "train/heron/2.png"), Query("item", pushed, True)), topk=21)
    assert ids(birds.ask(away)).index(pushed) > plain.index(pushed)


def test_words_are_searched_in_captions_and_labels_and_that_is_said(birds, told):
    answer = birds.ask(SearchRequest((Query("text", "otter"),), topk=EACH + 1))
    assert all("otter" in i for i in ids(answer)), "a dropped copy has words too"
    assert {r.distance for r in answer.results} == {0}
    assert told == [
        "The encoder builtin cannot compare words with pictures: the words are searched in captions and labels."
    ]
    caption = birds.ask(SearchRequest((Query("text", "reeds heron"),), topk=1))
    assert ids(caption) == ["train/heron/3.png"]
    assert len(ids(birds.ask(SearchRequest((Query("text", "otter"),), topk=3, unique=True)))) == 3, (
        "alike means alike to see"
    )


@pytest.fixture(scope="module")
def flock(home):
    """The birds, open for many questions: each has to answer as if it were the first."""
    return SearchIndex(home, ["birds"])


@pytest.fixture(scope="module")
def everything(flock, data):
    """All samples' ids, and the vectors of their pictures and of their words, made without SearchIndex."""
    every = sorted(flock.rows.values("sample_id", np.arange(len(flock.rows))))
    encoder = load_encoder("builtin")
    (batch,) = encoder.encode_images(enumerate(str(data / i) for i in every), read_bytes)
    words = ["a heron in the reeds" if i == "train/heron/3.png" else i.split("/")[1] for i in every]
    asked = {text: encoder.encode_text([text])[0] for text in ("otter", "heron")}
    return every, {"item": batch.vectors, "text": encoder.encode_text(words)}, asked


LOOKED_FOR = {
    "picture": (Query("item", "train/lynx/4.png"),),
    "words": (Query("text", "otter"),),
    "both": (Query("item", "train/lynx/4.png"), Query("text", "otter"), Query("item", "test/heron/0-small.jpg")),
}
PUSHED_AWAY = {
    "nothing": (),
    "a picture": (Query("item", "train/otter/1.png", True),),
    "words": (Query("text", "heron", True),),
    "a picture and words": (Query("text", "heron", True), Query("item", "train/otter/1.png", True)),
}


def by_hand(queries, distances, fuse):
    """Scores of all samples, from a distance of every query to every sample."""
    wanted = np.array([d for q, d in zip(queries, distances, strict=True) if not q.away], np.float64)
    away = np.array([d for q, d in zip(queries, distances, strict=True) if q.away], np.float64)
    if fuse == "rrf":
        gains = [
            sum((1 / (61 + np.argsort(np.argsort(d, kind="stable"))) for d in each), np.zeros(wanted.shape[1]))
            for each in (wanted, away)
        ]
        return 0.5 * gains[1] - gains[0]
    score = wanted.min(0) if fuse == "best" else wanted.mean(0)
    return score - 0.5 * away.min(0) if len(away) else score


@pytest.mark.parametrize("metric", ["hamming", "cosine"])
@pytest.mark.parametrize("fuse", ["best", "mean", "rrf"])
@pytest.mark.parametrize("pushed", PUSHED_AWAY)
@pytest.mark.parametrize("looked_for", LOOKED_FOR)
def test_any_list_of_words_and_pictures_ranks_as_by_hand(flock, everything, looked_for, pushed, fuse, metric):
    """Every sample's distance to every query, each measured in its own kind, taken together as ``fuse`` says."""
    queries = LOOKED_FOR[looked_for] + PUSHED_AWAY[pushed]
    answer = flock.ask(SearchRequest(queries, topk=21, fuse=fuse, metric=metric))
    (every, sides, asked), simhash, distances = everything, SimHash(), []
    for query in queries:
        side = sides[query.kind]
        one = side[every.index(query.value)] if query.kind == "item" else asked[query.value]
        if metric == "hamming":
            distances.append(np.bitwise_count(simhash(one[None])[0] ^ simhash(side)).sum(axis=1, dtype=np.int32))
        else:
            distances.append((1 - (side.astype(float) * one.astype(float)).sum(1)).astype(np.float32).clip(0, 2))
    score = by_hand(queries, distances, fuse)
    place = [every.index(i) for i in ids(answer)]
    assert len(set(place)) == 21
    assert (np.diff(score[place]) >= -1e-6).all()
    wanted = [d for q, d in zip(queries, distances, strict=True) if not q.away]
    shown = np.mean(wanted, axis=0) if fuse == "mean" else np.min(wanted, axis=0)
    np.testing.assert_allclose([r.distance for r in answer.results], shown[place], atol=1e-5)
    assert not any(answer.request.queries[r.query].away for r in answer.results)


@pytest.mark.parametrize("fuse", ["best", "mean", "rrf"])
@pytest.mark.parametrize("pushed", PUSHED_AWAY)
@pytest.mark.parametrize("looked_for", LOOKED_FOR)
def test_unique_thins_any_list_and_keeps_its_order(flock, looked_for, pushed, fuse):
    asked = SearchRequest(LOOKED_FOR[looked_for] + PUSHED_AWAY[pushed], topk=21, fuse=fuse)
    found = ids(flock.ask(replace(asked, unique=True)))
    assert len(found) >= 3 * EACH - 2
    assert len({COPIES.get(i, (i,))[0] for i in found}) == len(found), "one of each group of copies"
    if looked_for != "words":
        whole = [i for i in ids(flock.ask(asked)) if i in set(found)]
        assert fuse == "rrf" or found == whole, "ranks shift when copies go, distances do not"


def test_words_alone_encode_no_picture(birds, monkeypatch):
    monkeypatch.setattr(Encoding, "pictures", lambda *_: pytest.fail("a picture was encoded"))
    assert len(ids(birds.ask(SearchRequest((Query("text", "otter"),), topk=3)))) == 3


def test_filters_hold(birds):
    query = "train/heron/0.png"
    assert all("lynx" in i for i in ids(birds.ask(item(query, topk=5, labels=("lynx",)))))
    where = "sample_id like '%/2.png' -- and a remark"
    assert set(ids(birds.ask(item(query, topk=3, where=where)))) == {f"train/{c}/2.png" for c in LABELS}
    both = item(query, topk=9, labels=("lynx", "otter"), where="dedup_kept")
    assert len(ids(birds.ask(both))) == 9
    assert ids(birds.ask(item(query, where="width > 1000"))) == []


def test_several_datasets_are_searched_together_and_results_name_theirs(home):
    explored = SearchIndex(home, ["birds", "wild"])
    answer = explored.ask(item("birds:train/lynx/2.png", topk=39))
    assert {r.dataset for r in answer.results} == {"birds", "wild"}
    assert len({(r.dataset, r.sample_id) for r in answer.results}) == 39
    far = [r.distance for r in answer.results]
    assert far == sorted(far)


def test_asking_by_id_needs_neither_the_encoder_nor_dagster(home):
    code = f"""
import sys
from espalier.apps.search import SearchRequest, SearchIndex, Query
from espalier.io.home import Home
SearchIndex(Home.find({str(home.root)!r}), ["wild"]).ask(SearchRequest((Query("item", "train/lynx/2.png"),)))
print(sorted({{"openvino", "dagster", "matplotlib", "datumaro"}} & set(sys.modules)))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_a_saved_folder_has_the_sheet_each_file_and_a_record(birds, data, tmp_path):
    answer = birds.ask(SearchRequest((Query("image", str(data / "train/heron/0.png")),), topk=5))
    record = save(answer, tmp_path / "out")
    assert json.loads((tmp_path / "out/results.json").read_text()) == record
    for result in record["results"]:
        assert (tmp_path / "out" / result["file"]).read_bytes() == Path(result["uri"]).read_bytes()
    assert len({r["file"] for r in record["results"]}) == 5
    with Image.open(tmp_path / "out/explore.png") as drawn:
        tile = np.asarray(drawn.convert("RGB"))[10:110, 10:110].astype(int)
    with Image.open(data / "train/heron/0.png") as query:
        wanted = np.asarray(query.convert("RGB").resize((112, 112), Image.Resampling.BILINEAR))[4:104, 4:104]
    assert np.abs(tile - wanted).mean() < 8, "the query comes first"


def test_a_folder_that_holds_something_is_refused_and_overwriting_keeps_what_is_not_ours(birds, tmp_path):
    out = tmp_path / "out"
    save(birds.ask(item("train/heron/0.png", topk=5)), out)
    (out / "notes.txt").write_text("mine")
    (out / "files" / "mine.png").write_text("mine")
    with pytest.raises(Exception, match="not empty"):
        check_folder(out, overwrite=False)
    record = save(birds.ask(item("train/lynx/0.png", topk=2)), out, overwrite=True, link=True)
    assert (out / "notes.txt").read_text() == "mine"
    assert {p.name for p in (out / "files").iterdir()} == {
        "mine.png",
        *(Path(r["file"]).name for r in record["results"]),
    }
    assert all((out / r["file"]).is_symlink() for r in record["results"])
    assert check_folder(tmp_path / "new", overwrite=False) == tmp_path / "new"


def run(capsys, *args) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(["explore", *args])
    out = capsys.readouterr()
    return int(end.value.code or 0), out.out, out.err


@pytest.fixture
def at_home(home, monkeypatch):
    monkeypatch.setenv("ESPALIER_HOME", str(home.root))


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        ("birds --query-item nobody.png", 2, "no sample 'nobody.png'"),
        ("birds --query-item train/heron/0.png --query-item-subset test", 2, "in the subset 'test'"),
        ("birds --query-item train/heron/0.png --query-item-subset vall", 2, "There is no subset 'vall'. There are: "),
        ("birds --query-str otter --query-item-subset test", 2, "A subset of the item is given, but no item."),
        ("birds --query-item ", 2, "The sample to look for is named by an empty text."),
        ("birds --query-img ", 2, "The picture to look for is named by an empty text."),
        ("--query-img 1.png {data}/train/heron/0.png birds", 2, "0.png is a picture, not a dataset. Put the datasets"),
        ("birds  --query-item 1", 2, "A dataset's name is empty."),
        ("birds --query-item 2", 2, "Several samples are called '2'"),
        ("birds --query-item train/heron/torn.png", 1, "is unreadable: truncated file"),
        ("birds --query-item train/heron/0.png --subset vall", 2, "There is no subset 'vall'. There are: "),
        ("birds --query-item train/heron/0.png --label lynks", 2, "There is no label 'lynks'. There are: lynx."),
        ("birds --query-item train/heron/0.png --where banana", 2, "The condition 'banana' is not valid: "),
        ("birds --query-img nowhere.png", 1, "nowhere.png cannot be read: there is no such file"),
        ("birds --query-img {data}/train/heron/torn.png", 1, "torn.png cannot be read"),
        ("birds --query-str ", 2, "The text to look for is empty."),
        ("birds --query-item train/heron/0.png --topk 0", 2, "top-k is 0."),
        ("birds", 2, "nothing to look for"),
        ("birds --not train/heron/0.png", 2, "nothing to look for"),
        ("birds --query-item train/heron/0.png --not nobody.png", 2, "no sample 'nobody.png'"),
        ("birds --query-item train/heron/0.png --not str:", 2, "The text to look for is empty."),
        ("birds --query-item train/heron/0.png --not img:nowhere.png", 1, "nowhere.png cannot be read"),
        ("birds --query-item train/heron/0.png --fuse all", 2, "'all' is not one of"),
        ("birds --query-item train/heron/0.png -k many", 2, "'many' is not a valid integer"),
        ("birds --query-str otter --approximate", 2, "--approximate does not go with words that are searched in"),
        ("birds --query-item train/heron/0.png --approximate --metric cosine", 2, "go with --metric cosine. Leave"),
        ("birds --query-item train/heron/0.png --approximate --fuse mean", 2, "does not go with --fuse mean."),
        ("birds --query-item train/heron/0.png --approximate --unique --where true", 2, "--unique, --where."),
        ("birds --query-item train/heron/0.png --approximate --not train/lynx/0.png", 2, "does not go with --not."),
        ("--query-item train/heron/0.png", 2, "Name the datasets to explore"),
        ("nobody --query-item 1", 2, "There is no dataset 'nobody'"),
        ("bare --query-item 1 --no-compute", 1, "No embeddings yet: bare. Leave out --no-compute"),
        ("birds alien --query-item train/heron/0.png", 1, "embedded by different encoders"),
        ("alien --query-img {data}/train/heron/0.png", 1, "'builtin' is no longer the one that made the embeddings of"),
        (
            "alien --query-str moth",
            1,
            "of alien. Make them anew: materialize the asset embeddings of alien in the page",
        ),
        ("birds --query-item train/heron/0.png -o {data}", 2, "not empty"),
    ],
)
def test_a_mistake_is_one_clear_line(at_home, capsys, data, args, code, words):
    given = [part.format(data=data) for part in args.split(" ")]
    got, out, err = run(capsys, *given)
    assert got == code, err
    assert words in err
    assert out == ""
    lines = [line for line in err.splitlines() if not line.startswith(("Usage:", "Try ", "The encoder builtin"))]
    assert len([line for line in lines if line.strip()]) == 1


def test_more_than_there_is_gives_all_and_says_so(at_home, capsys):
    code, out, err = run(capsys, "wild", "--query-item", "train/lynx/0.png", "--topk", "1000", "--json")
    assert code == 0
    assert len(json.loads(out)["results"]) == 18
    assert err == "top-k is 1,000, but only 18 samples can be shown.\n"


def test_json_has_the_promised_form_and_the_old_flags_work(at_home, capsys, home, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = run(
        capsys, "-p", str(home.root), "-topk", "3", "-s", "--json", "--query-img-path", f"{data}/train/lynx/0.png",
        "--query-item-id", "train/otter/2", "birds",
    )  # fmt: skip
    assert code == 0
    answer = json.loads(out)
    assert answer["queries"] == [
        {"kind": "image", "value": f"{data}/train/lynx/0.png"},
        {"kind": "item", "value": "train/otter/2"},
    ]
    assert len(answer["results"]) == 3
    assert all({"dataset", "sample_id", "subset", "distance", "uri"} <= r.keys() for r in answer["results"])
    assert answer["saved"] == str(tmp_path / "explore_result")
    assert (tmp_path / "explore_result/explore.png").exists()


@pytest.mark.parametrize(
    ("flags", "folder"),
    [
        (("-s",), "explore_result"),
        (("-s", "-o", "found"), "found"),
        (("-o", "found"), "found"),
        (("--save", "found/here"), "found/here"),
        (("--save",), "explore_result"),
    ],
)
def test_each_way_of_saving_makes_its_folder(at_home, capsys, tmp_path, monkeypatch, flags, folder):
    monkeypatch.chdir(tmp_path)
    code, out, _ = run(capsys, "birds", "--query-item-id", "train/otter/2", "-topk", "2", *flags)
    assert code == 0
    assert out.splitlines()[-1] == f"Saved to {tmp_path / folder}"
    assert {p.name for p in (tmp_path / folder).iterdir()} == {"explore.png", "results.json", "files"}
    code, _, err = run(capsys, "birds", "--query-item-id", "train/otter/2", *flags)
    assert (code, err.count("\n")) == (2, 1)
    assert "not empty. Give another folder, or --overwrite." in err
    assert run(capsys, "birds", "--query-item-id", "train/otter/2", *flags, "--overwrite")[0] == 0


def test_the_table_shows_the_results_in_order(at_home, capsys):
    code, out, _ = run(capsys, "birds", "--query-item", "train/heron/0.png", "-k", "3")
    assert code == 0
    rows = [line.split() for line in out.splitlines() if ".png" in line or ".jpg" in line]
    assert [row[0] for row in rows] == ["1", "2", "3"]
    assert rows[0][2:] == ["train/heron/0-again.png", "train", "copy", "of", "train/heron/0.png"]


def test_a_query_option_takes_a_list_when_the_datasets_come_first():
    assert _spread(["a", "b", "--query-img", "1", "2", "--topk", "5", "--not", "3", "4"]) == [
        "a", "b", "--query-img", "1", "--query-img", "2", "--topk", "5", "--not", "3", "--not", "4",
    ]  # fmt: skip


def test_the_approximate_index_is_built_once_and_its_recall_is_shown(at_home, capsys, home):
    folder = home.root / "warehouse/explore_index/birds"
    exact = json.loads(run(capsys, "birds", "--query-item", "train/heron/0.png", "-k", "6", "--json")[1])
    assert exact["recall"] is None
    asked = ("birds", "--query-item", "train/heron/0.png", "-k", "6", "--approximate", "--json")
    code, out, err = run(capsys, *asked)
    assert code == 0
    first, second = err.splitlines()
    assert first == "Building the approximate index of birds (18 hashes); it is kept for later questions."
    assert second.startswith("Approximate: recall 1.000 of the 64 nearest, measured on ")
    found = json.loads(out)
    assert found["recall"] == 1.0
    assert found["results"] == exact["results"], "the copies that were dropped among them, with their own distances"
    (stored,) = folder.iterdir()
    when = stored.stat().st_mtime_ns
    assert run(capsys, *asked) == (0, out, second + "\n")
    assert stored.stat().st_mtime_ns == when
    stored.write_bytes(stored.read_bytes()[:-200])
    code, again, err = run(capsys, *asked)
    assert (code, again) == (0, out)
    assert err.splitlines()[0] == "The stored index of birds cannot be read and is built again."
    assert [p.name for p in folder.iterdir()] == [stored.name]


def test_an_approximate_search_of_several_datasets_keeps_an_index_each(home, told):
    explored = SearchIndex(home, ["birds", "wild"], tell=told.append)
    query = (Query("item", "birds:train/lynx/2.png"),)
    near = explored.ask(SearchRequest(query, topk=30, approximate=True, others=True))
    assert near.results == explored.ask(SearchRequest(query, topk=30, others=True)).results
    assert near.recall == 1.0
    assert [p.name for p in sorted((home.root / "warehouse/explore_index").iterdir())] == ["birds", "wild"]


def test_an_index_measured_at_more_neighbours_serves_for_fewer(home, told):
    folder = home.root / "warehouse/explore_index/wild"
    shutil.rmtree(folder, ignore_errors=True)
    explored = SearchIndex(home, ["wild"])

    def measured_at(k: int) -> tuple[int, bool]:
        told.clear()
        space = explored._space("hamming")
        found = ApproximateIndex(home.store(), explored.embeddings, explored.rows, space, k, told.append)
        return found.k, bool(told)

    assert measured_at(5) == (64, True)
    assert measured_at(64) == (64, False)
    assert measured_at(65) == (128, True)
    assert [p.stem.rpartition("-")[2] for p in folder.iterdir()] == ["128"]
    assert measured_at(5) == (128, False)


def test_an_index_of_other_embeddings_is_not_used(home, told):
    asked = item("train/heron/2.png", topk=5, approximate=True)
    SearchIndex(home, ["wild"], tell=told.append).ask(asked)
    folder = home.root / "warehouse/explore_index/wild"
    (stored,) = folder.iterdir()
    stored.rename(folder / "0123-128.npz")  # as if the embeddings had been made anew since
    told.clear()
    SearchIndex(home, ["wild"], tell=told.append).ask(asked)
    assert told[0].startswith("Building the approximate index of wild")
    assert [p.stem.rpartition("-")[0] for p in folder.iterdir()] == [stored.stem.rpartition("-")[0]]


def test_forgetting_a_dataset_removes_its_index(tmp_path):
    home = Home.find(tmp_path).ensure()
    index = home.root / "warehouse/explore_index/wild/0123-64.npz"
    index.parent.mkdir(parents=True)
    index.touch()
    home.store().forget("wild")
    assert not index.parent.exists()
