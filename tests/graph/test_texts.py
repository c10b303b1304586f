"""Datasets of texts without pictures: the same graph, with the encoder's text side."""

import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from espalier.core.errors import EspalierError, UsageError
from espalier.io.encoders import ngrams
from espalier.io.formats.read.base import Sample
from espalier.io.vectors.texts import Texts
from espalier.stages.embeddings import templates_of
from espalier.stages.graph import CHAIN
from espalier.stages.options import StageOptions

SUBJECTS = ("a dog", "two cats", "the old house", "my bicycle", "a red car", "the river", "a child", "the market")
ENDS = ("runs across the garden", "waits at the station", "is seen from the hill", "was painted twice", "sleeps")
N = len(SUBJECTS) * len(ENDS)
COPY, EMPTY = "t90", "t91"


def rows() -> list[dict]:
    """Forty texts of two classes, one of them twice, and one without a word."""
    made = [
        {"id": f"t{i:02}", "text": f"{SUBJECTS[i // len(ENDS)]} {ENDS[i % len(ENDS)]}", "label": "xy"[i % 2], "page": i}
        for i in range(N)
    ]
    return [*made, {**made[7], "id": COPY}, {"id": EMPTY, "text": "", "label": "x", "page": 0}]


def jsonl(folder):
    path = folder / "corpus.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows()), encoding="utf-8")
    return path


def parquet(folder):
    pq.write_table(pa.Table.from_pylist(rows()), folder / "corpus.parquet", row_group_size=10)
    return folder / "corpus.parquet"


def csv(folder):
    lines = ["id,text,label,page", *(",".join(map(str, row.values())) for row in rows())]
    (folder / "corpus.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "corpus.csv"


def read(path) -> list[dict]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    lines = path.read_text(encoding="utf-8").splitlines()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in lines]
    return [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]


@pytest.mark.parametrize("write", [jsonl, parquet, csv])
def test_texts_go_from_their_file_through_the_graph_and_back_to_their_format(tmp_path, espalier, write):
    path, home = write(tmp_path), tmp_path / "home"
    ask = ("prune", path, "--name", "set", "-m", "density", "-r", "0.3", "-o", tmp_path / "out", "--json")
    summary = espalier(*ask, home=home).json()
    counts = [summary[key] for key in ("n_raw", "n_unreadable", "n_exact", "n_near")]
    assert counts == [N + 2, 1, 1, 0]
    assert summary["n_kept"] == -(-3 * summary["n_total"] // 10)
    kept = (tmp_path / "out" / path.name).with_name(path.name)
    whole = {row["id"]: row for row in read(path)}
    found = read(kept)
    assert found == [whole[row["id"]] for row in found], "every column as it was"
    listed = (home / "manifests" / "set" / "density@0.3" / "kept.txt").read_text().split()
    assert [row["id"] for row in found] == listed
    assert espalier(*ask[:-3], home=home).code == 0, "nothing runs again"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, kit):
    """A home where the texts are grown, as the page would do it."""
    root = tmp_path_factory.mktemp("corpus")
    chain = kit.Chain(root / "home", jsonl(root))
    result = chain.run()
    assert chain.succeeded(result)
    return chain, result


def test_the_vectors_are_those_of_the_texts_under_an_id_of_their_own(corpus, grown):
    chain = corpus[0]
    table = chain.table("embeddings")
    texts = table.arrow(["text"])["text"].to_pylist()
    assert np.array_equal(table.matrix("vector"), ngrams.encode(texts))
    assert np.array_equal(table.matrix("hash"), table.matrix("text_hash"))
    stats = table.meta.stats
    assert (stats["vectors_of"], stats["n_embedded"], stats["n_texts"]) == ("texts", N, N)
    pictures = grown[0].table("embeddings").meta.stats
    assert pictures["vectors_of"] == "pictures"
    assert stats["encoder_id"] != pictures["encoder_id"], "vectors of texts and pictures would meet"


def test_equal_texts_are_copies_and_near_ones_are_visibly_not_sought(corpus):
    chain, result = corpus
    row = chain.rows("dedup_set")[COPY]
    assert (row["kept"], row["duplicate_of"], row["stage"]) == (False, "t07", "exact")
    shown = next(m for m in result.asset_materializations_for_node("dedup_set")).metadata
    assert shown["near duplicates of texts"].value.startswith(f"{N + 1} samples are texts without a picture")
    assert chain.table("dedup_set").meta.stats["n_near"] == 0
    assert chain.rows("raw_dataset")[EMPTY]["error"] == "the row holds no text"


def test_why_explore_and_sql_speak_of_texts(corpus, espalier):
    home = corpus[0].home.root
    said = espalier("why", "set", COPY, home=home).out
    assert "a text, " in said
    assert "dropped: the same text as t07, which is kept" in said
    found = espalier("explore", "set", "--query-str", "bicycle waits station", "--topk", "1", "--json", home=home)
    assert "cannot compare words with pictures" not in found.err
    texts = {row["id"]: row["text"] for row in rows()}
    assert found.json()["results"][0]["text"] == "my bicycle waits at the station"
    shown = espalier("explore", "set", "--query-str", "bicycle waits station", "--topk", "1", home=home).out
    assert "my bicycle waits at the station" in shown
    near = espalier("explore", "set", "--query-item", "t00", "--metric", "cosine", "--topk", "3", "--json", home=home)
    assert near.json()["results"][0]["sample_id"] == "t00"
    assert all("dog" in texts[r["sample_id"]] or "garden" in texts[r["sample_id"]] for r in near.json()["results"])
    picture = espalier("explore", "set", "--query-img", corpus[0].data, home=home)
    assert (picture.code, "are of texts" in picture.err) == (1, True)


def test_the_hash_type_of_a_datumaro_user_means_the_texts_hashes(tmp_path, corpus, espalier, textures):
    home = corpus[0].home.root
    for method, recipe in (
        ("query_clust", "query_clust@0.5:hash=txt"),
        ("cluster_random", "cluster_random@0.5:space=hash"),
    ):
        ask = ("prune", "set", "-m", method, "-r", "0.5", "--hash-type", "txt", "--json")
        assert espalier(*ask, home=home).json()["recipe"] == recipe
    refused = espalier("prune", "set", "-m", "random", "--hash-type", "txt", home=home)
    assert (refused.code, "no meaning for random" in refused.err) == (2, True)
    refused = espalier("prune", textures, "-m", "centroid", "--hash-type", "txt", home=tmp_path)
    assert (refused.code, "on pictures" in refused.err) == (2, True)
    assert not (tmp_path / "landing" / "textures.yaml").exists()


def test_methods_that_compare_pictures_say_so(corpus):
    assert "It compares pictures, and some samples are texts" in corpus[0].failure(corpus[0].run(recipe="ndr@0.5"))


def test_a_two_tower_encoder_embeds_texts_in_the_space_of_pictures(tmp_path, kit, two_towers):
    (tmp_path / "words.jsonl").write_text(
        "".join(json.dumps({"id": w, "text": f"a photo of {w}"}) + "\n" for w in ("red", "green", "blue", "red green"))
    )
    chain = kit.Chain(tmp_path / "home", tmp_path / "words.jsonl")
    chain.zone.land(chain.data, "set", options={"encoder": str(two_towers)})
    chain.grow("random@0.5")
    stats, vectors = chain.table("embeddings").meta.stats, chain.table("embeddings").matrix("vector")
    assert (stats["vectors_of"], stats["dim"], stats["n_scored"]) == ("texts", 8, 0)
    assert vectors[0] @ vectors[1] < 0.2 < vectors[2] @ vectors[3]
    assert "clip_score" not in chain.rows("embeddings")["red"]


def test_an_encoder_without_a_text_side_is_refused_in_words(tmp_path, kit, two_towers):
    chain = kit.Chain(tmp_path / "home", jsonl(tmp_path))
    chain.zone.land(chain.data, "set", options={"encoder": str(two_towers / "image_encoder.xml")})
    assert "holds texts, and the encoder" in chain.failure(chain.run(*CHAIN[:3]))


class Mixed:
    """A reader of ten pictures with captions and two texts without pictures."""

    format = "list"

    def __init__(self, folder) -> None:
        self.folder = folder

    def batches(self, _):
        def sample(i):
            uri = str(self.folder / f"{i}.png") if i < 10 else ""
            return Sample(f"{i:03}", "", uri, caption=f"a photo of {('red', 'green', 'blue')[i % 3]} {i}")

        yield [sample(i) for i in range(12)]

    def categories(self):
        return []


def test_texts_beside_pictures_need_an_encoder_of_both(tmp_path, kit, two_towers, monkeypatch):
    for i in range(10):
        kit.texture(i).save(tmp_path / f"{i}.png")
    monkeypatch.setattr("espalier.io.scanning.request.open_reader", lambda _: Mixed(tmp_path))
    chain = kit.Chain(tmp_path / "home", tmp_path / "0.png").grow("random@0.5")
    assert chain.table("dedup_set").meta.stats["n_kept"] == 12
    row = chain.rows("pruned_manifest", "random@0.5")["011"]
    assert row["reason"] == "could not be embedded: it has no picture, and builtin cannot compare texts with pictures"
    chain.zone.land(chain.data, "set", options={"encoder": str(two_towers), "eps": 0.0})
    chain.grow("random@0.5")
    found = chain.rows("embeddings")
    assert len(found) == 12
    assert found["011"]["clip_score"] is None
    assert found["000"]["clip_score"] is not None


def test_a_prompt_of_the_users_own_goes_before_the_formats_templates():
    joint, apart = SimpleNamespace(joint=True), SimpleNamespace(joint=False)
    assert templates_of(StageOptions(), joint, "mnist") == ('a photo of the number: "{}"',)
    assert templates_of(StageOptions(), joint, "coco") == ("a photo of a {}",)
    assert templates_of(StageOptions(prompt="a drawing of {}"), joint, "mnist") == ("a drawing of {}",)
    assert templates_of(StageOptions(), apart, "mnist") == ("{}",)
    with pytest.raises(UsageError, match=r"Put \{\} where the label goes"):
        templates_of(StageOptions(prompt="a photo"), joint, "coco")


def test_a_text_is_encoded_once_whatever_is_added_and_in_whatever_dataset(tmp_path, kit, monkeypatch):
    """Captions of pictures: reused from the stored table, from another dataset, and from a killed run's parts."""
    seen: list[str] = []
    monkeypatch.setattr(ngrams, "encode", lambda texts, real=ngrams.encode: (seen.extend(texts), real(texts))[1])
    monkeypatch.setattr("espalier.stages.encoded_vectors.TEXT_ROWS", 4)
    monkeypatch.setattr("espalier.stages.encoded_vectors.PART_ROWS", 4)
    data = tmp_path / "data"
    data.mkdir()

    def write(n):
        lines = [{"path": f"{i}.png", "caption": f"picture number {i}"} for i in range(n)]
        for i in range(n):
            kit.texture(i).save(data / f"{i}.png")
        (data / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    write(10)
    chain = kit.Chain(tmp_path / "home", data)
    real = Texts.of_samples
    monkeypatch.setattr(Texts, "of_samples", lambda *_: 1 / 0)
    assert not chain.run().success
    assert sorted(seen) == [f"picture number {i}" for i in range(10)]
    monkeypatch.setattr(Texts, "of_samples", real)
    chain.grow()
    stats = chain.table("embeddings").meta.stats
    assert (len(seen), stats["n_texts_embedded"], stats["n_texts_reused"]) == (10, 0, 10)
    write(12)
    chain.grow()
    stats = chain.table("embeddings").meta.stats
    assert (seen[10:], stats["n_texts_reused"]) == (["picture number 10", "picture number 11"], 10)
    (tmp_path / "corpus.jsonl").write_text(json.dumps({"id": "a", "text": "picture number 3"}) + "\n")
    chain.zone.land(tmp_path / "corpus.jsonl", "corpus")
    assert chain.succeeded(chain.run("raw_dataset", "dedup_set", "embeddings", dataset="corpus"))
    apart = chain.home.store().need("embeddings", "corpus").matrix("vector")
    assert np.array_equal(apart, ngrams.encode(["picture number 3"]))
    assert not list((chain.home.root / "warehouse" / "embeddings").glob("*.parts"))


def test_texts_and_pictures_of_a_joint_encoder_are_searched_together(tmp_path, espalier, two_towers):
    home = tmp_path / "home"
    for name, colour in (("red", (220, 30, 20)), ("blue", (20, 40, 230))):
        grey = np.random.default_rng(len(name)).uniform(0.3, 1, (40, 40, 1))
        (tmp_path / "pictures").mkdir(exist_ok=True)
        Image.fromarray((grey * colour).astype(np.uint8)).save(tmp_path / "pictures" / f"{name}.png")
    lines = [{"id": f"says-{word}", "text": f"a photo of {word}"} for word in ("red", "green", "blue")]
    (tmp_path / "words.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for path in ("pictures", "words.jsonl"):
        ask = ("prune", tmp_path / path, "-r", "1", "--option", f"encoder={two_towers}", "--option", "eps=0.0")
        answer = espalier(*ask, home=home)
        assert answer.code == 0, answer.err
    ask = ("explore", "pictures", "words", "--metric", "cosine", "--topk", "5", "--json")
    found = espalier(*ask, "--query-img", tmp_path / "pictures" / "red.png", home=home).json()["results"]
    assert [result["sample_id"] for result in found[:2]] == ["red.png", "says-red"]
    found = espalier(*ask, "--query-str", "a photo of blue", home=home).json()["results"]
    assert [result["sample_id"] for result in found[:2]] == ["says-blue", "blue.png"]


@pytest.fixture
def mute(monkeypatch):
    """The builtin text side has no vector for texts with the word "house"."""

    def encode(texts, real=ngrams.encode):
        for text in texts:
            if "house" in text:
                raise EspalierError(f"The encoder gave no vector for the text {text!r}.", "Leave it out.")
        return real(texts)

    monkeypatch.setattr(ngrams, "encode", encode)


@pytest.mark.usefixtures("mute")
def test_a_text_without_a_vector_is_recorded_and_stops_nothing(tmp_path, kit):
    chain = kit.Chain(tmp_path / "home", jsonl(tmp_path)).grow("random@0.5")
    stats = chain.table("embeddings").meta.stats
    assert (stats["n_failed"], stats["n_embedded"]) == (len(ENDS), N - len(ENDS))
    row = chain.rows("pruned_manifest", "random@0.5")["t10"]
    assert row["fate"] == "not embedded"
    assert "gave no vector for the text 'the old house runs across the garden'" in row["reason"]


@pytest.mark.usefixtures("mute")
def test_a_caption_without_a_vector_leaves_its_picture_without_a_text(tmp_path, kit):
    lines = [{"path": f"{i}.png", "caption": f"{('a house', 'a tree')[i % 2]} {i}"} for i in range(8)]
    for i in range(8):
        kit.texture(i).save(tmp_path / f"{i}.png")
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    chain = kit.Chain(tmp_path / "home", tmp_path / "metadata.jsonl").grow("random@0.5")
    stats = chain.table("embeddings").meta.stats
    assert (stats["n_embedded"], stats["n_texts"], stats["n_texts_failed"]) == (8, 4, 4)
    rows = chain.rows("embeddings")
    assert (rows["0.png"]["text"], rows["1.png"]["text"]) == (None, "a tree 1")
