"""Encoders by name: the catalogue, names that a user adds, and what is fetched for them."""

import json
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import openvino
import pytest
from openvino import opset13 as op
from tokenizers import Tokenizer, models, pre_tokenizers

from espalier.core.errors import EspalierError, UsageError
from espalier.io.encoders import EncoderSpec, load_encoder
from espalier.io.encoders.adding import add
from espalier.io.encoders.catalogue import CATALOGUE, Bundle, CatalogueEntry
from espalier.io.encoders.folder import wanted_files
from espalier.io.encoders.listing import list_encoders
from espalier.io.encoders.names import added, is_name, resolve
from espalier.stages.options import StageOptions, in_full

DIM, SIDE = 6, 16
CLIP = (
    *("config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json", "vocab.json", "README.md"),
    *("onnx/model.onnx", "onnx/model_quantized.onnx", "onnx/vision_model.onnx", "onnx/vision_model_fp16.onnx"),
    *("onnx/text_model.onnx", "onnx/text_model_q4.onnx", "pytorch_model.bin", "model.safetensors"),
)


def named(node, name):
    node.output(0).get_tensor().set_names({name})
    return node


def save_image_model(path, seed=0, tokens=False):
    """Save a model that multiplies the mean colour; with ``tokens``, a vector each of as many tokens as it likes."""
    pixels = named(op.parameter([-1, 3, SIDE, SIDE], np.float32, name="pixels"), "pixels")
    mean = op.reduce_mean(pixels, op.constant(np.array([2, 3])), keep_dims=False)
    weights = np.random.Generator(np.random.PCG64(seed)).standard_normal((3, DIM)).astype(np.float32)
    out = op.matmul(mean, op.constant(weights), False, False)
    if tokens:
        # The number of tokens depends on the values, so no shape can tell it.
        found = op.non_zero(op.convert(op.greater(op.abs(mean), op.constant(np.float32(-1))), "f32"))
        row = op.unsqueeze(out, op.constant(1))
        out = op.broadcast(row, op.concat([op.constant(np.array([1])), op.slice(
            op.shape_of(found), op.constant(np.array([1])), op.constant(np.array([2])), op.constant(np.array([1]))),
            op.constant(np.array([DIM]))], 0))  # fmt: skip
    openvino.save_model(openvino.Model([named(out, "out")], [pixels]), path, compress_to_fp16=False)
    return path


def save_text_model(path):
    """Save a tower of one text of 7 tokens that takes no other number of texts."""
    ids = named(op.parameter([1, 7], np.int64, name="ids"), "ids")
    table = np.random.Generator(np.random.PCG64(1)).standard_normal((4, DIM)).astype(np.float32)
    words = op.gather(op.constant(table), ids, op.constant(0))
    flat = op.reshape(words, op.constant(np.array([7, DIM])), False)
    out = op.unsqueeze(op.reduce_sum(flat, op.constant(np.array([0])), keep_dims=False), op.constant(0))
    openvino.save_model(openvino.Model([named(out, "out")], [ids]), path, compress_to_fp16=False)


def save_tokenizer(path):
    made = Tokenizer(models.WordLevel({"[PAD]": 0, "red": 1, "green": 2, "blue": 3}, unk_token="[PAD]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.save(str(path))


@pytest.fixture
def home_models(tmp_path):
    return tmp_path / "home" / "models"


@pytest.fixture
def model(tmp_path):
    return save_image_model(tmp_path / "mine.xml")


# names


def test_a_name_of_the_catalogue_stands_for_its_spec_with_options_on_top():
    spec = resolve(EncoderSpec.parse("dinov2-small#batch=4"), None)
    assert (spec.model, spec.options.pool, spec.options.batch) == ("hf:Xenova/dinov2-small", "cls", 4)


def test_every_name_of_the_catalogue_is_one_of_a_kind_and_parses():
    names = [name for entry in CATALOGUE for name in (entry.name, entry.also) if name]
    assert len(set(names)) == len(names)
    for entry in CATALOGUE:
        assert (entry.bundle is None) == bool(entry.spec)
        EncoderSpec.parse(entry.spec or entry.name)


def test_either_of_datumaros_names_gives_both_towers():
    image, text = (resolve(EncoderSpec.parse(f"clip_{tower}_ViT-B_32"), None) for tower in ("visual", "text"))
    assert image == text


def test_an_added_name_is_the_model_and_may_be_given_more_options(model, home_models):
    entry, found = add(str(model), home_models)
    assert (entry.name, entry.dim, entry.text) == ("mine", DIM, False)
    assert found["images_per_second"] > 0
    by_name = load_encoder("mine", cache_dir=home_models)
    assert by_name.id == load_encoder(str(model)).id
    other = load_encoder({"model": "mine", "mean": 0.5}, cache_dir=home_models)
    assert other.describe()["preprocessing"]["mean"] == [0.5] * 3
    assert is_name("mine", home_models)
    assert not is_name("mine", None)


def test_a_relative_path_is_added_as_an_absolute_one(model, home_models, monkeypatch):
    monkeypatch.chdir(model.parent)
    assert add("mine.xml#mean=0.123456789", home_models)[0].spec.model == str(model)
    assert added(home_models)["mine"].spec.options.mean == (0.123456789,) * 3


def test_a_name_is_kept_unless_it_is_asked_to_change(model, home_models, tmp_path):
    other = str(save_image_model(tmp_path / "other.xml", seed=2))
    add(str(model), home_models, "x")
    add(str(model), home_models, "x")
    with pytest.raises(UsageError, match=r"x is .*mine\.xml already.*--overwrite"):
        add(other, home_models, "x")
    assert load_encoder("x", cache_dir=home_models).id == load_encoder(str(model)).id
    add(other, home_models, "x", overwrite=True)
    assert load_encoder("x", cache_dir=home_models).id == load_encoder(other).id


def test_a_model_that_does_not_load_gets_no_name(tmp_path, home_models):
    (tmp_path / "torn.onnx").write_bytes(b"\x08torn")
    for given in (tmp_path / "torn.onnx", tmp_path / "nothing.xml"):
        with pytest.raises(EspalierError):
            add(str(given), home_models, "x")
    assert added(home_models) == {}
    assert not is_name("x", home_models)


@pytest.mark.parametrize("name", ["builtin", "dinov2-base", "clip_text_ViT-B_32"])
def test_names_of_espaliers_own_stay_what_they_are(model, home_models, name):
    with pytest.raises(UsageError, match="Espalier's own"):
        add(str(model), home_models, name)


@pytest.mark.parametrize("name", ["../x", "X", "a b", "", ".x", "x.json", "a/b", "x" * 65])
def test_a_name_is_a_slug(model, home_models, name):
    with pytest.raises(UsageError, match="is not a name of an encoder"):
        add(str(model), home_models, name)


def test_a_word_that_is_no_name_is_refused_with_the_names(home_models):
    with pytest.raises(UsageError, match=r"no encoder 'clpi'.*models list.*clip-vit-b-32"):
        load_encoder("clpi", cache_dir=home_models)


def test_a_names_file_that_is_torn_is_named(home_models):
    (home_models / "names").mkdir(parents=True)
    (home_models / "names" / "x.json").write_text("{")
    with pytest.raises(EspalierError, match=r"x\.json cannot be understood.*--overwrite"):
        load_encoder("x", cache_dir=home_models)


def test_what_a_name_stands_for_is_what_a_datasets_results_depend_on(model, home_models, tmp_path):
    options = StageOptions.build({"encoder": "x#batch=2"})
    add(str(model), home_models, "x")
    first = in_full(options, home_models)
    assert EncoderSpec.parse(first.encoder).model == str(model)
    assert first.pick(("encoder",))["encoder_files"]
    add(str(save_image_model(tmp_path / "other.xml")), home_models, "x", overwrite=True)
    assert in_full(options, home_models).pick(("encoder",)) != first.pick(("encoder",))
    assert in_full(StageOptions(), home_models) == StageOptions()


def test_a_spec_is_the_same_after_being_written_and_read():
    texts = ["a.xml", "a.xml#mean=0.48145466,0.4578275,0.40821073&normalise=True", "hf:o/n@main#pool=cls&batch=3"]
    for spec in (*map(EncoderSpec.parse, texts), EncoderSpec.parse({"model": "a#b.xml", "output": "x&y=%/z"})):
        assert EncoderSpec.parse(spec.plain()) == spec
    assert isinstance(EncoderSpec.parse(texts[1]).plain(), str)


# what there is


def test_the_list_tells_what_is_here(model, home_models, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert {row.kind for row in list_encoders(home_models)} == {"builtin", "catalogue"}
    add(str(model), home_models)
    (home_models / "downloads" / "abc").mkdir(parents=True)
    save_image_model(home_models / "downloads" / "abc" / "other.xml")
    rows = {row.name: row for row in list_encoders(home_models)}
    assert (rows["mine"].kind, rows["mine"].dim, rows["mine"].here) == ("added", DIM, str(model))
    assert rows["builtin"].here
    assert rows["clip-vit-b-32"].here == ""
    cached = [row for row in rows.values() if row.kind == "cached"]
    assert [Path(row.here).name for row in cached] == ["other.xml"]
    model.unlink()
    assert {row.name: row.here for row in list_encoders(home_models)}["mine"] == ""


# what is fetched


def test_of_a_repository_only_what_will_be_used_is_wanted():
    assert wanted_files(list(CLIP), "r") == [
        *("config.json", "onnx/text_model.onnx", "onnx/vision_model.onnx"),
        *("preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"),
    ]
    assert wanted_files(["onnx/model.onnx", "onnx/model.onnx_data", "onnx/model_q4.onnx"], "r") == [
        *("onnx/model.onnx", "onnx/model.onnx_data"),
    ]
    assert wanted_files(["openvino_model.xml", "openvino_model.bin", "pytorch_model.bin", "x.xml"], "r") == [
        *("openvino_model.bin", "openvino_model.xml"),
    ]


def test_a_repository_without_models_is_refused_before_anything_is_downloaded():
    with pytest.raises(EspalierError, match=r"hf:o/n holds no image model.*models convert"):
        wanted_files(["config.json", "model.safetensors"], "hf:o/n")


def test_a_hubs_model_is_added_at_its_commit(monkeypatch, tmp_path, home_models):
    snapshot = tmp_path / "hub" / "models--o--n" / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    save_image_model(snapshot / "openvino_model.xml")
    files = [SimpleNamespace(rfilename=path.name) for path in snapshot.iterdir()]
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: SimpleNamespace(siblings=files))
    asked = []

    def snapshot_download(repo, **given):
        asked.append((repo, given["revision"], given["allow_patterns"]))
        return str(snapshot)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    entry, _ = add("hf:o/n", home_models)
    assert (entry.name, entry.spec.model) == ("n", "hf:o/n@0123abcd")
    first = ("o/n", None, ["openvino_model.bin", "openvino_model.xml"])
    assert asked[0] == first
    assert {revision for _, revision, _ in asked[1:]} == {"0123abcd"}


def test_an_unreachable_hub_is_one_line(monkeypatch, tmp_path, home_models):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))

    def model_info(*_, **__):
        raise OSError("no route\nto host")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", model_info)
    with pytest.raises(EspalierError) as refused:
        load_encoder("clip-vit-b-32", cache_dir=home_models)
    assert "hf:Xenova/clip-vit-base-patch32 cannot be had" in str(refused.value)
    assert "\n" not in str(refused.value)


class Server(BaseHTTPRequestHandler):
    def __init__(self, folder, broken, *args):
        self.folder, self.broken = folder, broken
        super().__init__(*args)

    def do_GET(self):
        data = (self.folder / self.path[1:]).read_bytes()
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        stop = len(data) if self.path[1:] not in self.broken else start + len(data) // 2
        self.broken.discard(self.path[1:])
        self.wfile.write(data[start:stop])

    def log_message(self, *args):
        pass


@pytest.fixture
def served(tmp_path):
    """Serve two towers, one download of which breaks off."""
    folder = tmp_path / "served"
    folder.mkdir()
    save_image_model(folder / "clip_visual_tiny.xml")
    save_text_model(folder / "clip_text_tiny.xml")
    running = ThreadingHTTPServer(("127.0.0.1", 0), partial(Server, folder, {"clip_text_tiny.bin"}))
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield [f"http://127.0.0.1:{running.server_port}/{path.name}" for path in sorted(folder.iterdir())]
    running.shutdown()
    running.server_close()
    thread.join()


def test_a_bundle_is_put_together_whole_and_works(served, monkeypatch, tmp_path, home_models):
    settings = {"size": SIDE, "crop_size": SIDE, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    entry = CatalogueEntry("tiny", DIM, "", text=True, bundle=Bundle(tuple(served), "o/n", settings))
    for module in ("fetch", "names"):
        monkeypatch.setattr(
            f"espalier.io.encoders.{module}.catalogue_entry", lambda name: entry if name == "tiny" else None
        )
    save_tokenizer(tmp_path / "tokenizer.json")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_: str(tmp_path / "tokenizer.json"))
    with pytest.raises(EspalierError, match="Run again to continue"):
        load_encoder("tiny", cache_dir=home_models)
    assert not (home_models / "catalogue" / "tiny").exists()
    encoder = load_encoder("tiny", cache_dir=home_models)
    place = home_models / "catalogue" / "tiny"
    assert set(json.loads((place / "sha256.json").read_text())) == {url.rpartition("/")[2] for url in served}
    assert [path.name for path in place.parent.iterdir() if path.name.endswith(".part")] == []
    # The text tower takes one text at a time, under a name of its own.
    texts = encoder.encode_text(["red green", "blue", "red green", "green"])
    assert texts.shape == (4, DIM)
    assert np.array_equal(texts[0], texts[2])
    assert not np.array_equal(texts[0], texts[1])
    assert encoder.joint


def test_a_first_token_is_taken_of_any_number_of_tokens(tmp_path):
    save_image_model(tmp_path / "tokens.xml", tokens=True)
    encoder = load_encoder(f"{tmp_path}/tokens.xml#pool=cls")
    assert encoder.dim == DIM
    assert encoder.compiled().output(0).get_shape()[1] == DIM
