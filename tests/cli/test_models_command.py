"""``espalier models``, and a dataset pruned with an encoder that was given a name."""

import json

import numpy as np
import openvino
import pytest
from openvino import opset13 as op

SIDE, DIM = 32, 24


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Save a network of one convolution."""
    rng = np.random.Generator(np.random.PCG64(3))
    pixels = op.parameter([-1, 3, SIDE, SIDE], np.float32, name="pixels")
    kernel = op.constant((rng.standard_normal((DIM, 3, 8, 8)) / 8).astype(np.float32))
    out = op.relu(op.convolution(pixels, kernel, [4, 4], [0, 0], [0, 0], [1, 1]))
    out = op.reduce_mean(out, op.constant(np.array([2, 3])), keep_dims=False)
    out.output(0).get_tensor().set_names({"features"})
    path = tmp_path_factory.mktemp("models") / "tiny.xml"
    openvino.save_model(openvino.Model([out], [pixels], "tiny"), path, compress_to_fp16=False)
    return path


def test_check_tells_what_an_encoder_is_and_how_fast(espalier, model, tmp_path):
    found = espalier("models", "check", f"{model}#mean=0.5", "--seconds", "0.2", "--json", home=tmp_path).json()
    assert (found["dim"], found["precision"], found["device"], found["text"]) == (DIM, "f32", "CPU", None)
    assert found["preprocessing"]["mean"] == [0.5] * 3
    assert found["images_per_second"] > 0
    words = espalier("models", "check", "builtin", "--seconds", "0.2", home=tmp_path).out
    for said in (
        "input",
        "output",
        "dimension",
        "512",
        "preprocessing",
        "precision",
        "f32 on CPU",
        "texts",
        "a second",
    ):
        assert said in words
    refused = espalier("models", "check", model, "--device", "TPU", "--json", home=tmp_path)
    assert refused.code == 1
    assert "Devices here: CPU" in refused.err


def test_a_name_works_wherever_an_encoder_is_named_and_a_new_meaning_is_noticed(espalier, textures, model, tmp_path):
    home = tmp_path / "home"
    added = espalier("models", "add", model, "--name", "mine", "--json", home=home).json()
    assert (added["name"], added["dim"]) == ("mine", DIM)
    listed = {row["name"]: row for row in espalier("models", "list", "--json", home=home).json()}
    assert (listed["mine"]["kind"], listed["mine"]["here"]) == ("added", str(model))
    assert listed["clip-vit-b-32"]["kind"] == "catalogue"
    prune = ("prune", "-m", "random", "-r", "0.5", "--json")
    first = espalier(*prune, textures, "--encoder", "mine", home=home).json()
    assert "embeddings" in first["ran"]
    assert "encoder: mine" in (home / "landing" / "textures.yaml").read_text()
    assert espalier(*prune, "textures", home=home).json()["ran"] == []
    espalier("models", "add", f"{model}#mean=0.5", "--name", "mine", "--overwrite", home=home)
    assert "embeddings" in espalier(*prune, "textures", home=home).json()["ran"]
    found = espalier("explore", "textures", "--query-img", textures / "leaf/05.png", "-k", "1", "--json", home=home)
    assert found.json()["results"][0]["sample_id"] == "leaf/05.png"


def test_a_wrong_name_is_refused_when_a_dataset_lands(espalier, textures, tmp_path):
    refused = espalier("land", textures, "--encoder", "clpi", home=tmp_path / "home")
    assert refused.code == 2
    assert "models list" in refused.err
    assert json.loads(espalier("status", "--json", home=tmp_path / "home").out)["datasets"] == []


def test_convert_refuses_a_pickle(espalier, tmp_path):
    (tmp_path / "model.pt").write_bytes(b"")
    refused = espalier("models", "convert", tmp_path / "model.pt", "-o", tmp_path / "out", home=tmp_path / "home")
    assert refused.code == 2
    assert "safetensors" in refused.err
