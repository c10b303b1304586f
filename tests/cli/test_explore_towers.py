"""Exploring from the shell with an encoder of two towers: words against pictures, and what it says of long texts."""

import json

import numpy as np
import openvino
import pytest
from openvino import opset13 as op
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

COLOURS = {"red": (230, 30, 30), "green": (30, 230, 30), "blue": (30, 30, 230)}
WORDS = ["[PAD]", "[START]", "[END]", "a", "photo", *COLOURS]
EACH = 4


def named(node, name):
    node.output(0).get_tensor().set_names({name})
    return node


@pytest.fixture(scope="module")
def towers(tmp_path_factory):
    """An encoder that sees the mean colour and reads the colours' names."""
    folder = tmp_path_factory.mktemp("towers")
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((16, 16)))[0][:3].astype(np.float32)
    pixels = named(op.parameter([-1, 3, 16, 16], np.float32, name="pixel_values"), "pixel_values")
    mean = op.reduce_mean(pixels, op.constant(np.array([2, 3])), keep_dims=False)
    image = named(op.matmul(mean, op.constant(basis), False, False), "image_embeds")
    openvino.save_model(openvino.Model([image], [pixels]), folder / "image_encoder.xml", compress_to_fp16=False)
    ids = named(op.parameter([-1, -1], np.int64, name="input_ids"), "input_ids")
    mask = named(op.parameter([-1, -1], np.int64, name="attention_mask"), "attention_mask")
    table = np.zeros((len(WORDS), 16), np.float32)
    table[5:], table[3:5] = basis - basis.mean(0), 0.01 * basis[:2]
    seen = op.multiply(
        op.gather(op.constant(table), ids, op.constant(0)), op.unsqueeze(op.convert(mask, "f32"), op.constant(2))
    )
    text = named(op.reduce_sum(seen, op.constant(np.array([1])), keep_dims=False), "text_embeds")
    openvino.save_model(openvino.Model([text], [ids, mask]), folder / "text_encoder.xml", compress_to_fp16=False)
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[PAD]"))
    made.normalizer, made.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[START] $A [END]", special_tokens=[("[START]", 1), ("[END]", 2)]
    )
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 77, "pad_token": "[PAD]"}))
    crop = {"height": 16, "width": 16}
    settings = {"do_resize": True, "size": {"shortest_edge": 16}, "resample": 3, "do_center_crop": True}
    settings |= {"crop_size": crop, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True}
    (folder / "preprocessor_config.json").write_text(
        json.dumps(settings | {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]})
    )
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory, towers, espalier):
    """A home with pictures of three colours, in folders whose names say nothing; the encoder is in the card."""
    root = tmp_path_factory.mktemp("place")
    for number, (name, colour) in enumerate(COLOURS.items()):
        (root / "coloured" / f"class{number}").mkdir(parents=True)
        for i in range(EACH):
            noise = np.random.default_rng(10 * number + i).integers(-25, 25, (40, 40, 3))
            pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / "coloured" / f"class{number}" / f"{name[0]}{i}.png")
    home = root / "home"
    landed = espalier("land", root / "coloured", "--option", f"encoder={towers}", home=home)
    assert landed.code == 0, landed.err
    return root, home


@pytest.fixture
def ask(place, espalier):
    """``ask("coloured", "--query-str", "red")``: the answer of ``espalier explore ... --json``."""
    return lambda *args: espalier("explore", *args, "--json", home=place[1])


def firsts(answer, n):
    return [r["sample_id"].split("/")[1][0] for r in answer.json()["results"][:n]]


def test_a_dataset_without_embeddings_gets_them_and_that_is_said(ask):
    """The first test here: nothing but the landing has been done."""
    refused = ask("coloured", "--query-str", "red", "--no-compute")
    assert refused.code == 1
    assert refused.err.splitlines() == [
        "error: No embeddings yet: coloured. Leave out --no-compute, and they are computed first."
    ]
    answer = ask("coloured", "--query-str", "red")
    assert answer.err.splitlines()[0] == "coloured has no embeddings yet; computing them first."
    assert firsts(answer, EACH) == ["r"] * EACH
    again = ask("coloured", "--query-str", "red")
    assert (again.out, again.err) == (answer.out, "")


@pytest.mark.parametrize("metric", ["hamming", "cosine"])
@pytest.mark.parametrize("fuse", ["best", "mean", "rrf"])
def test_words_find_pictures_push_them_away_and_mix_with_them(ask, place, metric, fuse):
    how = ("--metric", metric, "--fuse", fuse)
    for name in COLOURS:
        assert firsts(ask("coloured", "--query-str", f"a {name} photo", *how), EACH) == [name[0]] * EACH
    picture = place[0] / "coloured/class1/g2.png"
    mixed = ask("coloured", "--query-str", "red", "--query-img", picture, *how)
    # Among twelve, being fifth in both lists is worth more to rrf than first in one and last in the other.
    assert fuse == "rrf" or set(firsts(mixed, 2 * EACH)) == {"r", "g"}
    pushed = ask("coloured", "--query-item", "b0", "--not", "str:red", *how, "-k", 3 * EACH)
    found = firsts(pushed, 3 * EACH)
    assert found[:EACH] == ["b"] * EACH
    assert found.count("r") == EACH
    assert fuse == "rrf" or found[-EACH:] == ["r"] * EACH, "ranks push less far than distances"
    assert len(ask("coloured", "--query-str", "red", "--not", picture, "--unique", *how).json()["results"]) >= 3


def test_a_text_of_more_tokens_than_the_encoder_reads_is_cut_with_one_line(ask):
    long = " ".join(["green"] * 75) + " red" * 60
    answer = ask("coloured", "--query-str", long)
    assert answer.err.splitlines() == [
        "The text 'green green green green green green gree'... has more than 77 tokens; what is beyond is not read."
    ]
    assert firsts(answer, EACH) == ["g"] * EACH
    assert ask("coloured", "--query-str", " ".join(["green"] * 75)).err == ""


def test_datasets_of_different_encoders_are_refused_in_one_line(ask, place, espalier):
    root, home = place
    assert espalier("land", root / "coloured", "--name", "plain", home=home).code == 0
    assert ask("plain", "--query-item", "r1").code == 0
    answer = ask("plain", "coloured", "--query-item", "plain:r1")
    assert (answer.code, answer.out) == (1, "")
    (line,) = answer.err.splitlines()
    assert line.startswith("error: These datasets were embedded by different encoders, so they cannot be searched")
    assert line.endswith("Explore them one by one, or embed them with one encoder.")


def test_a_path_lands_is_embedded_and_answers(place, espalier, tmp_path):
    answer = espalier(
        "explore", place[0] / "coloured", "--query-img", place[0] / "coloured/class2/b3.png", "--json", home=tmp_path
    )
    assert answer.json()["results"][0]["sample_id"] == "class2/b3.png"
    assert "coloured has no embeddings yet; computing them first." in answer.err
