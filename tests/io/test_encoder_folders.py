import gzip
import hashlib
import json
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import openvino
import pytest
from openvino import opset13 as op
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from espalier.core.errors import EspalierError, UsageError
from espalier.io.encoders import load_encoder
from espalier.io.encoders.fetch import download
from espalier.io.encoders.folder import read_folder
from espalier.io.encoders.prompts import DEFAULT, encode_labels, templates_for
from espalier.io.encoders.tokens import read_tokens

DIM = 8
WORDS = ["[PAD]", "[START]", "[END]", "a", "photo", "of", "red", "green", "blue"]
COLOURS = {"red": (250, 10, 10), "green": (10, 250, 10), "blue": (10, 10, 250)}
PREPROCESSING = {
    "do_resize": True,
    "size": {"shortest_edge": 16},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": 16, "width": 16},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.25, 0.5],
}


def named(node, name):
    node.output(0).get_tensor().set_names({name})
    return node


def basis(n: int) -> np.ndarray:
    q = np.linalg.qr(np.random.Generator(np.random.PCG64(0)).standard_normal((DIM, DIM)))[0]
    return q[:n].astype(np.float32)


def image_graph():
    """Project the mean colour on three directions."""
    pixels = op.parameter([-1, 3, 16, 16], np.float32, name="pixel_values")
    named(pixels, "pixel_values")
    mean = op.reduce_mean(pixels, op.constant(np.array([2, 3])), keep_dims=False)
    return pixels, named(op.matmul(mean, op.constant(basis(3)), False, False), "image_embeds")


def text_graph(length=-1):
    """Sum the vectors of the words that the mask shows; a colour's word has the colour's direction."""
    ids = named(op.parameter([-1, length], np.int64, name="input_ids"), "input_ids")
    mask = named(op.parameter([-1, length], np.int64, name="attention_mask"), "attention_mask")
    table = np.zeros((len(WORDS), DIM), np.float32)
    table[6:9] = basis(3)
    table[3:6] = 0.01 * basis(6)[3:]
    words = op.gather(op.constant(table), ids, op.constant(0))
    shown = op.multiply(words, op.unsqueeze(op.convert(mask, "f32"), op.constant(2)))
    return ids, mask, named(op.reduce_sum(shown, op.constant(np.array([1])), keep_dims=False), "text_embeds")


def save(model, path):
    openvino.save_model(model, path, compress_to_fp16=False)


def tokenizer() -> Tokenizer:
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[PAD]"))
    made.normalizer, made.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[START] $A [END]", special_tokens=[("[START]", 1), ("[END]", 2)]
    )
    return made


@pytest.fixture
def settings(tmp_path):
    """Make a folder with tokenizer and settings but no models."""
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PREPROCESSING))
    tokenizer().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 7, "pad_token": "[PAD]"}))
    return tmp_path


@pytest.fixture(params=["towers", "one file"])
def two_towers(request, settings):
    pixels, image = image_graph()
    ids, mask, text = text_graph()
    if request.param == "towers":
        save(openvino.Model([image], [pixels]), settings / "image_encoder.xml")
        save(openvino.Model([text], [ids, mask]), settings / "text_encoder.xml")
    else:
        scores = named(op.matmul(image, text, False, True), "logits_per_image")
        whole = openvino.Model([scores, text, image], [ids, pixels, mask])
        save(whole, settings / "openvino_model.xml")
    return settings


def pictures(tmp_path) -> list[tuple[int, str]]:
    items = []
    for row, (name, colour) in enumerate(COLOURS.items()):
        path = tmp_path / f"{name}.png"
        Image.new("RGB", (70, 90), colour).save(path)
        items.append((row, str(path)))
    return items


def read(uri):
    with open(uri, "rb") as file:  # noqa: PTH123
        return file.read()


def test_images_and_texts_of_a_folder_share_a_space(two_towers, tmp_path):
    encoder = load_encoder(str(two_towers))
    (batch,) = encoder.encode_images(pictures(tmp_path), read)
    texts = encoder.encode_text([f"a photo of {name}" for name in COLOURS])
    assert encoder.has_text
    assert encoder.joint
    assert texts.shape == (3, DIM)
    assert (batch.vectors @ texts.T).argmax(axis=1).tolist() == [0, 1, 2]
    chosen = encoder.describe()["preprocessing"]
    assert chosen["std"] == [0.5, 0.25, 0.5]
    assert (chosen["geometry"]["filter"], chosen["geometry"]["shorter"]) == ("bicubic", 16)


def test_options_go_before_the_files(two_towers):
    chosen = load_encoder({"model": str(two_towers), "std": 1.0, "filter": "box"}).describe()["preprocessing"]
    assert chosen["std"] == [1.0, 1.0, 1.0]
    assert chosen["mean"] == [0.5, 0.5, 0.5]
    assert chosen["geometry"]["filter"] == "box"


def test_a_text_vector_does_not_depend_on_its_company(two_towers):
    encoder = load_encoder(str(two_towers))
    texts = [f"{a} photo of {b}" for a in WORDS[3:] for b in WORDS[3:]]
    together = encoder.encode_text(texts)
    assert np.array_equal(np.concatenate([encoder.encode_text([text]) for text in texts]), together)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)


def test_a_text_that_is_too_long_is_cut_on_the_right_and_keeps_its_end(settings):
    tokens = read_tokens(settings)
    ids, mask = tokens.encode(["red green blue a photo of red", "red"])
    assert ids.tolist() == [[1, 6, 7, 8, 3, 4, 2], [1, 6, 2, 0, 0, 0, 0]]
    assert mask.tolist() == [[1] * 7, [1, 1, 1, 0, 0, 0, 0]]
    assert read_tokens(settings, 3).encode(["red green"])[0].tolist() == [[1, 6, 2]]


def test_a_tower_of_fixed_length_sets_the_number_of_tokens(settings):
    pixels, image = image_graph()
    ids, mask, text = text_graph(5)
    save(openvino.Model([image], [pixels]), settings / "openvino_model_vision.xml")
    save(openvino.Model([text], [ids, mask]), settings / "openvino_model_text.xml")
    encoder = load_encoder(str(settings))
    assert encoder.describe()["text"]["length"] == 5
    assert np.array_equal(encoder.encode_text(["red of of blue"]), encoder.encode_text(["red of of green"]))


def test_clips_own_vocabulary_is_read(settings):
    (settings / "tokenizer.json").unlink()
    (settings / "tokenizer_config.json").unlink()
    merges = ["#version: 0.2", "d o", "do g</w>", "a t</w>", "c at</w>"]
    with gzip.open(settings / "bpe_simple_vocab_16e6.txt.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(merges) + "\n")
    tokens = read_tokens(settings)
    ids, mask = tokens.encode(["A dog,\n  CAT", ""])
    # 512 letters, then the merges, then start and end; "a</w>" is 256 + 64, ",</w>" is 256 + 11.
    assert tokens.length == 77
    assert ids[0, :7].tolist() == [516, 256 + 64, 513, 256 + 11, 515, 517, 0]
    assert ids[1, :3].tolist() == [516, 517, 0]
    assert mask.sum(axis=1).tolist() == [6, 2]


def test_two_towers_without_settings_are_refused_before_a_run(two_towers):
    (two_towers / "preprocessor_config.json").unlink()
    if (two_towers / "text_encoder.xml").exists():
        with pytest.raises(UsageError, match=r"no preprocessor_config\.json"):
            load_encoder(str(two_towers))
    (two_towers / "preprocessor_config.json").write_text("[]")
    with pytest.raises(EspalierError, match="cannot be understood"):
        load_encoder(str(two_towers))


def test_a_text_tower_without_tokenizer_is_refused(settings):
    pixels, image = image_graph()
    ids, mask, text = text_graph()
    save(openvino.Model([image], [pixels]), settings / "image_encoder.xml")
    save(openvino.Model([text], [ids, mask]), settings / "text_encoder.xml")
    (settings / "tokenizer.json").write_text("{}")
    with pytest.raises(EspalierError, match="not a tokenizer"):
        load_encoder(str(settings))
    (settings / "tokenizer.json").unlink()
    with pytest.raises(EspalierError, match=r"no tokenizer.*tokenizer\.json"):
        load_encoder(str(settings))


def test_a_folder_with_one_model_is_that_model(tmp_path):
    pixels, image = image_graph()
    save(openvino.Model([image], [pixels]), tmp_path / "whatever.xml")
    assert load_encoder(str(tmp_path)).id == load_encoder(str(tmp_path / "whatever.xml")).id
    assert not load_encoder(str(tmp_path)).has_text


def test_a_folder_without_a_known_model_says_what_is_there(tmp_path):
    with pytest.raises(EspalierError, match="no model files"):
        load_encoder(str(tmp_path))
    for name in ("a.onnx", "b.onnx"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(EspalierError, match=r"a\.onnx, b\.onnx"):
        load_encoder(str(tmp_path))


@pytest.mark.parametrize(
    ("found", "resize", "crop"),
    [
        ({"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}}, (256,), (224, 224)),
        ({"size": 224, "crop_size": 224, "do_center_crop": True}, (224,), (224,)),
        ({"size": {"height": 384, "width": 384}}, (384, 384), (384, 384)),
        ({"size": 224}, (224, 224), (224, 224)),
        ({"size": {"height": 224, "width": 224}, "crop_size": {"height": 224, "width": 224}}, (224, 224), (224, 224)),
        ({"size": {"shortest_edge": 224}, "crop_pct": 0.875}, (256,), (224,)),
        ({"size": {"shortest_edge": 384}, "crop_pct": 1.0}, (384, 384), (384, 384)),
    ],
)
def test_the_settings_of_transformers_are_understood(tmp_path, found, resize, crop):
    (tmp_path / "model.onnx").write_bytes(b"")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(found))
    options = read_folder(tmp_path).options
    assert (options.resize, options.crop) == (resize, crop)


def test_settings_that_cannot_be_followed_are_refused(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"")
    for found in ({"do_resize": False}, {"size": {"height": 256, "width": 256}, "crop_size": 224}):
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(found))
        with pytest.raises(UsageError, match="not supported"):
            read_folder(tmp_path)


def test_the_settings_of_open_clip_are_understood(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"")
    found = {"model_cfg": {"vision_cfg": {"image_size": 256}}, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(found))
    options = read_folder(tmp_path).options
    assert (options.resize, options.crop, options.mean, options.filter) == ((256,), (256,), (0.5,) * 3, "bicubic")


def test_labels_are_averaged_over_templates(two_towers):
    encoder = load_encoder(str(two_towers))
    vectors = encode_labels(encoder, ["red", "blue"], ("a photo of {}", "{}"))
    one, other = encoder.encode_text(["a photo of red", "red"])
    mean = (one + other) / np.linalg.norm(one + other)
    assert np.allclose(vectors[0], mean, atol=1e-6)
    assert vectors.shape == (2, DIM)
    with pytest.raises(UsageError, match="no template"):
        encode_labels(encoder, ["red"], ("a photo",))
    assert encode_labels(encoder, []).shape == (0, DIM)
    assert templates_for("image_folder") == DEFAULT != templates_for("MNIST")


class Server(BaseHTTPRequestHandler):
    def __init__(self, files, log, *args):
        self.files, self.log = files, log
        super().__init__(*args)

    def do_GET(self):
        data = self.files.get(self.path)
        if data is None:
            self.send_error(404)
            return
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.log.append((self.path, start))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self.wfile.write(data[start:] if self.path != "/broken.onnx" else data[start : start + 10])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    files, log = {}, []
    running = ThreadingHTTPServer(("127.0.0.1", 0), partial(Server, files, log))
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}", files, log
    running.shutdown()
    running.server_close()
    thread.join()


def test_a_download_is_verified_and_put_in_place_whole(server, tmp_path):
    url, files, log = server
    files["/m.onnx"] = bytes(range(256)) * 100
    checksum = hashlib.sha256(files["/m.onnx"]).hexdigest()
    target = tmp_path / "downloads" / "m.onnx"
    download(f"{url}/m.onnx", checksum, target)
    download(f"{url}/m.onnx", checksum, target)
    assert target.read_bytes() == files["/m.onnx"]
    assert len(log) == 1
    with pytest.raises(EspalierError, match="has the checksum"):
        download(f"{url}/m.onnx", "0" * 64, tmp_path / "other.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["downloads"]


def test_a_broken_download_is_continued(server, tmp_path):
    url, files, log = server
    files["/broken.onnx"] = bytes(range(25))
    checksum = hashlib.sha256(files["/broken.onnx"]).hexdigest()
    for _ in range(2):
        with pytest.raises(EspalierError, match="Run again to continue"):
            download(f"{url}/broken.onnx", checksum, tmp_path / "m.onnx")
        assert not (tmp_path / "m.onnx").exists()
    download(f"{url}/broken.onnx", checksum, tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").read_bytes() == files["/broken.onnx"]
    assert [start for _, start in log] == [0, 10, 20]


def test_what_cannot_be_downloaded_is_named(server, tmp_path):
    url, _, _ = server
    with pytest.raises(EspalierError, match=r"gone\.onnx cannot be downloaded"):
        download(f"{url}/gone.onnx", "0" * 64, tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("http://host/m.onnx", "not encrypted"),
        ("https://host/m.onnx", "no checksum"),
        (f"https://host/m.xml#sha256={'0' * 64}", "no checksum"),
        ("https://host/m.pt#sha256=0", "no model file"),
        ("hf:not/a/name", "no name of a repository"),
    ],
)
def test_an_address_that_is_none_is_refused(spec, said, tmp_path):
    with pytest.raises(UsageError, match=said):
        load_encoder(spec, cache_dir=tmp_path)


def test_a_hub_model_is_served_from_the_cache_without_a_network(monkeypatch, tmp_path):
    pixels, image = image_graph()
    snapshot = tmp_path / "models--someone--thing" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    save(openvino.Model([image], [pixels]), snapshot / "openvino_model.xml")
    refs = tmp_path / "models--someone--thing" / "refs"
    refs.mkdir()
    (refs / "main").write_text("abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert load_encoder("hf:someone/thing").dim == DIM
    assert load_encoder("hf:someone/thing").id == load_encoder(str(snapshot)).id
    with pytest.raises(EspalierError, match="not in its cache"):
        load_encoder("hf:someone/else")
