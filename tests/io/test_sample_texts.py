"""The text beside each sample: which sentence it is, and which vector it gets."""

from types import SimpleNamespace

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from espalier.core.hashing import SimHash
from espalier.io.encoders import ngrams
from espalier.io.encoders.prompts import DEFAULT, templates_for
from espalier.io.vectors.texts import Texts, encode_texts, text_columns, texts_id
from espalier.stages.options import StageOptions

ENCODER = SimpleNamespace(has_text=True, joint=True, encode_text=ngrams.encode, text_id="abc")
RAW = [
    ("a", "x", "a dog's bowl", ["dog"]),
    ("b", "x", None, ["truck"]),
    ("c", "x", "", ["truck", "red car"]),
    ("d", "x", None, []),
    ("e", "x", None, ["truck"]),
]


def rows(template: str) -> pa.Table:
    raw = pa.table(
        dict(zip(("sample_id", "uri", "caption", "labels"), map(list, zip(*RAW, strict=True)), strict=True)),
        schema=pa.schema(
            [
                ("sample_id", pa.string()),
                ("uri", pa.string()),
                ("caption", pa.string()),
                ("labels", pa.list_(pa.string())),
            ]
        ),
    )
    with duckdb.connect() as db:
        db.register("raw", raw)
        return db.sql(f"SELECT sample_id, uri, {text_columns(template)} FROM raw ORDER BY sample_id").to_arrow_table()


def test_a_caption_goes_before_labels_in_the_template_and_neither_is_no_text():
    found = rows("it's a {}")
    assert found["text"].to_pylist() == ["a dog's bowl", "it's a truck", "it's a truck, red car", None, "it's a truck"]
    assert found["words"].to_pylist() == [None, "truck", "truck, red car", None, "truck"]


def encoded(found: pa.Table, templates: tuple[str, ...]) -> Texts:
    distinct = found.filter(found["text"].is_valid()).to_pylist()
    words = {row["text"]: row["words"] for row in distinct}
    vectors = encode_texts(ENCODER, list(words), list(words.values()), templates)
    return Texts.of_samples(found["text"], pa.array(list(words)), vectors, SimHash()(vectors))


def test_one_template_gives_the_vector_of_its_sentence():
    texts = encoded(rows(DEFAULT[0]), DEFAULT)
    assert np.array_equal(texts.vectors, ngrams.encode(texts.texts.to_pylist()))
    assert texts.texts.to_pylist()[1] == "a photo of a truck"
    assert texts.code.tolist() == [0, 1, 2, -1, 1]
    assert texts.table().column_names == ["text", "vector", "hash"]


def test_several_templates_give_labels_their_mean_and_leave_captions():
    templates = templates_for("cifar")
    assert len(templates) == 3
    texts = encoded(rows(templates[0]), templates)
    assert np.array_equal(texts.vectors[0], ngrams.encode(["a dog's bowl"])[0])
    mean = ngrams.encode([one.format("truck") for one in templates]).mean(axis=0)
    assert np.allclose(texts.vectors[1], mean / np.linalg.norm(mean), atol=1e-6)


def test_vectors_of_several_templates_have_an_id_of_their_own():
    assert texts_id(ENCODER, DEFAULT) == texts_id(ENCODER, ("{}",)) == "abc"
    assert len({"abc", texts_id(ENCODER, templates_for("cifar")), texts_id(ENCODER, ("a {}", "b {}"))}) == 3


def test_formats_with_no_templates_of_their_own_keep_the_default():
    assert templates_for("image_folder") == templates_for("coco") == templates_for(None) == DEFAULT
    assert (StageOptions().prompt,) == DEFAULT
    assert templates_for("mnist") == ('a photo of the number: "{}"',)


def test_no_score_without_a_picture_a_text_or_a_shared_space():
    found = encoded(rows("{}"), ("{}",))
    pictures = np.array([True, True, False, True, True])
    vectors = ngrams.encode(["a dog's bowl", "tree", "truck", "cat", "truck"])
    kept = np.array([True, True, True, True, False])
    flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors[:4].ravel()), 512)
    batches = [pa.RecordBatch.from_arrays([flat], ["vector"])]
    (batch,) = found.scoring(pictures).beside(iter(batches), kept)
    scores = batch["clip_score"].to_pylist()
    assert scores[0] == pytest.approx(1)
    assert scores[2:] == [None, None]
    assert found.scoring(pictures).n_scored(kept) == 2
    assert batch["text"].to_pylist() == ["a dog's bowl", "truck", "truck, red car", None]
    (batch,) = found.beside(iter(batches), kept)
    assert batch.schema.names == ["vector", "text", "text_hash"]
    assert found.n_scored(kept) == 0
