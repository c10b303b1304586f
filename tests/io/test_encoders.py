from io import BytesIO

import numpy as np
import openvino
import pytest
from openvino import opset13 as op
from PIL import Image

from espalier.core.errors import EspalierError, UsageError
from espalier.io.encoders import EncoderSpec, load_encoder
from espalier.io.encoders.geometry import Geometry
from espalier.io.encoders.runner import BLOCK

MEAN, STD = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))
SIDE, DIM = 32, 24


def files(n: int, seed: int = 0, kind: str = "PNG") -> dict[str, bytes]:
    """Make n pictures of different sizes: a few blobs of colour each."""
    rng = np.random.Generator(np.random.PCG64(seed))
    made = {}
    for i in range(n):
        coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        size = tuple(int(side) for side in rng.integers(70, 140, 2))
        out = BytesIO()
        coarse.resize(size, Image.Resampling.BICUBIC).save(out, kind)
        made[f"{i:05d}"] = out.getvalue()
    return made


def vectors_of(encoder, store: dict[str, bytes], **options) -> np.ndarray:
    batches = list(encoder.encode_images(enumerate(store), store.__getitem__, **options))
    rows = np.concatenate([batch.rows for batch in batches])
    assert not any(batch.errors for batch in batches)
    assert rows.tolist() == list(range(len(store)))
    return np.concatenate([batch.vectors for batch in batches])


def convolution(pixels, dim: int = DIM):
    rng = np.random.Generator(np.random.PCG64(3))
    kernel = op.constant((rng.standard_normal((dim, 3, 8, 8)) / 8).astype(np.float32))
    out = op.relu(op.convolution(pixels, kernel, [4, 4], [0, 0], [0, 0], [1, 1]))
    return op.reduce_mean(out, op.constant(np.array([2, 3])), keep_dims=False)


def named(node, name: str):
    node.output(0).get_tensor().set_names({name})
    return node


@pytest.fixture
def tiny_model(tmp_path):
    """Save a network of one convolution and return its path."""
    pixels = op.parameter([-1, 3, SIDE, SIDE], np.float32, name="pixels")
    pixels.output(0).get_tensor().set_names({"pixels"})
    vector = named(convolution(pixels), "features")
    path = tmp_path / "tiny.xml"
    openvino.save_model(openvino.Model([vector], [pixels], "tiny"), path, compress_to_fp16=False)
    return path


def plain_run(path, data: bytes, shorter: int, side: int, bgr: bool = False) -> np.ndarray:
    """Resize and crop with Pillow, one image at a time, through the untouched model."""
    image = Image.open(BytesIO(data)).convert("RGB")
    w, h = image.size
    size = (shorter, int(shorter * h / w)) if w <= h else (int(shorter * w / h), shorter)
    image = image.resize(size, Image.Resampling.BILINEAR)
    left, top = round((size[0] - side) / 2), round((size[1] - side) / 2)
    x = np.asarray(image.crop((left, top, left + side, top + side))).astype(np.float32) / 255
    x = ((x - MEAN) / STD).astype(np.float32)
    x = x[:, :, ::-1] if bgr else x
    model = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    vector = model(np.ascontiguousarray(x.transpose(2, 0, 1)[None]))[0][0]
    return vector / np.linalg.norm(vector)


def test_builtin_vectors_are_unit_finite_and_512_long():
    encoder = load_encoder("builtin")
    vectors = vectors_of(encoder, files(20))
    assert vectors.shape == (20, encoder.dim) == (20, 512)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors.astype(np.float64), axis=1), 1, atol=1e-6)


def test_builtin_knows_a_copy_from_a_stranger():
    store = files(40)
    changed = {}
    for name, data in store.items():
        image = Image.open(BytesIO(data))
        out = BytesIO()
        image.resize((image.width // 2 * 2, image.height)).point(lambda v: v * 0.9 + 10).save(out, "JPEG", quality=60)
        changed[name] = out.getvalue()
    encoder = load_encoder("builtin")
    cosines = vectors_of(encoder, store) @ vectors_of(encoder, changed).T
    strangers = cosines[~np.eye(40, dtype=bool)]
    assert np.diag(cosines).min() > 0.9
    assert np.diag(cosines).min() > strangers.max() + 0.1
    assert abs(strangers.mean()) < 0.3


@pytest.mark.parametrize("level", [0, 1, 119, 120, 255])
def test_a_flat_picture_has_a_vector_too(level):
    out = BytesIO()
    Image.new("RGB", (50, 50), (level,) * 3).save(out, "PNG")
    assert vectors_of(load_encoder("builtin"), {"flat": out.getvalue()}).shape == (1, 512)


@pytest.mark.parametrize("which", ["builtin", "tiny"])
def test_vectors_are_the_same_bits_whatever_threads_and_grouping(which, tiny_model):
    spec = "builtin" if which == "builtin" else str(tiny_model)
    store = files(70)
    whole = vectors_of(load_encoder(spec), store, threads=2)
    assert np.array_equal(vectors_of(load_encoder(spec, inference_threads=1), store, threads=1), whole)
    assert np.array_equal(vectors_of(load_encoder(spec, inference_threads=2), store, threads=5), whole)
    encoder = load_encoder(spec)
    for start, stop in ((0, 1), (1, 18), (18, 70)):
        part = dict(list(store.items())[start:stop])
        assert np.array_equal(vectors_of(encoder, part), whole[start:stop])


def test_bad_files_in_between_change_no_bit_of_the_others():
    store = files(33)
    whole = vectors_of(load_encoder("builtin"), store)
    mixed = {}
    for i, (name, data) in enumerate(store.items()):
        mixed[name] = data
        if i % 3 == 0:
            mixed[f"{name} bad"] = b"" if i % 2 else b"<html>"
    items = list(enumerate(mixed))
    batches = list(load_encoder("builtin").encode_images(items, mixed.__getitem__))
    assert np.array_equal(np.concatenate([b.vectors for b in batches]), whole)
    errors = dict(error for batch in batches for error in batch.errors)
    assert {items[row][1]: why for row, why in errors.items()} == {
        name: "empty file" if data == b"" else "not an image (HTML?)"
        for name, data in mixed.items()
        if name.endswith("bad")
    }


def test_row_numbers_and_order_are_those_of_the_items():
    store = files(10)
    items = [(row, name) for row, name in zip((5, 3, 900, 7, 2**40, 1, 0, 6, 4, 8), store, strict=True)]
    seen = []
    batches = list(load_encoder("builtin").encode_images(items, store.__getitem__, progress=seen.append))
    assert np.concatenate([b.rows for b in batches]).tolist() == [row for row, _ in items]
    assert batches[0].rows.dtype == np.int64
    assert sum(seen) == 10


def test_no_items_give_no_batches():
    assert list(load_encoder("builtin").encode_images([], bytes)) == []


def test_files_that_cannot_be_read_are_errors_of_their_rows():
    def read(uri: str) -> bytes:
        raise FileNotFoundError(2, "No such file or directory", uri) if uri == "a" else KeyError(uri)

    (batch,) = load_encoder("builtin").encode_images([(4, "a"), (9, "b")], read)
    assert batch.rows.size == 0
    assert batch.vectors.shape == (0, 512)
    assert batch.errors == [(4, "cannot be read: No such file or directory"), (9, "cannot be read: 'b'")]


def test_memory_is_bounded_because_items_are_taken_as_needed():
    """Guards against reading a whole dataset ahead of the slow part."""
    store = files(1)
    taken = []

    def items():
        for row in range(20 * BLOCK):
            taken.append(row)
            yield row, "00000"

    stream = load_encoder("builtin").encode_images(items(), store.__getitem__, threads=2)
    next(stream)
    assert len(taken) < 6 * BLOCK
    stream.close()


def test_an_abandoned_stream_ends_its_threads():
    import threading

    store = files(2)
    stream = load_encoder("builtin").encode_images(((i, "00001") for i in range(5000)), store.__getitem__)
    next(stream)
    stream.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


def test_a_model_gives_what_a_plain_run_with_pillow_gives(tiny_model):
    store = files(12)
    vectors = vectors_of(load_encoder(f"{tiny_model}#resize=40&tiny=0"), store)
    plain = np.stack([plain_run(tiny_model, data, 40, SIDE) for data in store.values()])
    assert (vectors * plain).sum(axis=1).min() > 1 - 1e-5


def test_options_reach_the_graph(tiny_model):
    store = files(3)
    bgr = vectors_of(load_encoder({"model": str(tiny_model), "color": "bgr", "resize": 40, "tiny": 0}), store)
    plain = np.stack([plain_run(tiny_model, data, 40, SIDE, bgr=True) for data in store.values()])
    assert (bgr * plain).sum(axis=1).min() > 1 - 1e-5
    raw = load_encoder({"model": str(tiny_model), "normalise": False, "rescale": 1.0, "resize": [SIDE, SIDE]})
    assert raw.describe()["preprocessing"]["mean"] == [0.0, 0.0, 0.0]
    assert not np.allclose(vectors_of(raw, store), bgr, atol=1e-2)


def test_an_nhwc_model_gives_the_same_vectors(tiny_model, tmp_path):
    pixels = op.parameter([-1, SIDE, SIDE, 3], np.float32, name="pixels")
    vector = convolution(op.transpose(pixels, op.constant(np.array([0, 3, 1, 2]))))
    path = tmp_path / "nhwc.xml"
    openvino.save_model(openvino.Model([vector], [pixels], "nhwc"), path, compress_to_fp16=False)
    store = files(3)
    assert np.allclose(vectors_of(load_encoder(str(path)), store), vectors_of(load_encoder(str(tiny_model)), store))


def test_outputs_of_other_shapes_become_vectors(tmp_path):
    pixels = op.parameter([-1, 3, SIDE, SIDE], np.float32, name="pixels")
    flat = convolution(pixels)
    square = named(op.reshape(flat, op.constant(np.array([0, 0, 1, 1])), True), "square")
    tokens = named(op.reshape(flat, op.constant(np.array([0, 3, DIM // 3])), True), "tokens")
    path = tmp_path / "two.xml"
    openvino.save_model(openvino.Model([square, tokens], [pixels], "two"), path, compress_to_fp16=False)
    with pytest.raises(UsageError, match=r"several outputs.*square.*tokens"):
        load_encoder(str(path))
    with pytest.raises(UsageError, match=r"no output 'x'.*square.*tokens"):
        load_encoder(f"{path}#output=x")
    with pytest.raises(UsageError, match="pool=cls or pool=mean"):
        load_encoder(f"{path}#output=tokens")
    store = files(2)
    whole = vectors_of(load_encoder(f"{path}#output=square"), store)
    assert whole.shape == (2, DIM)
    first = vectors_of(load_encoder(f"{path}#output=tokens&pool=cls"), store)
    assert first.shape == (2, DIM // 3)
    cut = whole[:, : DIM // 3]
    assert np.allclose(first, cut / np.linalg.norm(cut, axis=1, keepdims=True), atol=1e-5)


def test_zero_and_infinite_vectors_are_errors_of_their_rows(tmp_path):
    pixels = op.parameter([-1, 3, 8, 8], np.float32, name="pixels")
    mean = op.reduce_mean(pixels, op.constant(np.array([2, 3])), keep_dims=False)
    vector = op.divide(mean, op.subtract(op.constant(np.float32(1.0)), mean))  # white is infinite, black is zero
    path = tmp_path / "odd.xml"
    openvino.save_model(openvino.Model([vector], [pixels], "odd"), path, compress_to_fp16=False)
    store = {}
    for name, level in (("black", 0), ("grey", 99), ("white", 255)):
        out = BytesIO()
        Image.new("RGB", (8, 8), (level,) * 3).save(out, "PNG")
        store[name] = out.getvalue()
    encoder = load_encoder({"model": str(path), "normalise": False})
    (batch,) = encoder.encode_images(enumerate(store), store.__getitem__)
    assert batch.rows.tolist() == [1]
    assert batch.errors == [(0, "the encoder gave a zero vector"), (2, "the encoder gave a vector that is not finite")]


def test_the_id_changes_with_weights_preprocessing_and_precision_and_with_nothing_else(tiny_model, tmp_path):
    base = load_encoder(str(tiny_model)).id
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for part in (tiny_model, tiny_model.with_suffix(".bin")):
        (moved / part.name).write_bytes(part.read_bytes())
    assert load_encoder(str(moved / "tiny.xml"), device="AUTO", inference_threads=1).id == base
    others = [load_encoder(f"{tiny_model}#{o}").id for o in ("color=BGR", "resize=33", "filter=bicubic", "tiny=0")]
    others.append(load_encoder(str(tiny_model), precision="bf16").id)
    weights = bytearray((moved / "tiny.bin").read_bytes())
    weights[101] ^= 1
    (moved / "tiny.bin").write_bytes(bytes(weights))
    others.append(load_encoder(str(moved / "tiny.xml")).id)
    assert len({base, *others}) == len(others) + 1
    assert load_encoder("builtin").id == load_encoder("builtin").id != base


def test_files_that_are_no_models_give_one_clear_line(tmp_path, tiny_model):
    (tmp_path / "a.xml").write_text("hello")
    (tmp_path / "a.bin").write_bytes(b"")
    (tmp_path / "b.onnx").write_text("hello")
    (tmp_path / "c.xml").write_text("<net/>")
    (tmp_path / "d.xml").write_text(tiny_model.read_text()[:900])
    (tmp_path / "d.bin").write_bytes(b"")
    (tmp_path / "e.pt").write_bytes(b"")
    said = {
        "a.xml": "not a model that OpenVINO can read",
        "b.onnx": "not a model that OpenVINO can read",
        "c.xml": "no weights beside it",
        "d.xml": "not a model that OpenVINO can read",
        "e.pt": "no model file",
        "f.xml": "no model at",
    }
    for name, what in said.items():
        with pytest.raises(EspalierError, match=what) as caught:
            load_encoder(str(tmp_path / name))
        assert "\n" not in str(caught.value)


def test_an_unknown_device_or_precision_is_named():
    with pytest.raises(UsageError, match="'f64' is no precision"):
        load_encoder("builtin", precision="f64")
    with pytest.raises(EspalierError, match=r"cannot run the encoder on TOASTER.*Devices here: .*CPU"):
        load_encoder("builtin", device="TOASTER").compiled()


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("", "has no model"),
        ("m.xml#colour=RGB", "no option 'colour'"),
        ("builtin#batch=3", "no options"),
        ("m.xml#mean=1,2", "option 'mean'"),
        ("m.xml#std=0,1,1", "option 'std'"),
        ("m.xml#resize=-3", "option 'resize'"),
        ("m.xml#layout=CHW", "Use one of NCHW, NHWC"),
        ("m.xml#normalise=perhaps", "Use true or false"),
    ],
)
def test_a_wrong_spec_is_refused_with_what_is_known(spec, said):
    with pytest.raises(UsageError, match=said):
        EncoderSpec.parse(spec)


def test_a_spec_is_the_same_from_text_and_mapping_and_reads_back(tmp_path):
    text = "m.xml#mean=0.5,0.4,0.3&resize=256&crop=224,200&color=bgr&normalise=no&batch=4"
    spec = EncoderSpec.parse(text)
    given = {"model": "m.xml", "mean": [0.5, 0.4, 0.3], "resize": 256, "crop": "224x200", "color": "BGR"}
    assert EncoderSpec.parse({**given, "normalise": False, "batch": 4}) == spec
    assert EncoderSpec.parse(str(spec)) == spec
    assert spec.options.crop == (224, 200)
    assert EncoderSpec.parse("m.xml", root=tmp_path).model == str(tmp_path / "m.xml")
    assert EncoderSpec.parse("builtin", root=tmp_path).model == "builtin"


def test_the_geometry_is_that_of_resize_then_crop():
    rng = np.random.Generator(np.random.PCG64(0))
    for width, height in ((320, 241), (200, 333), (224, 224), (1000, 300), (90, 70), (41, 96), (300, 95), (96, 97)):
        image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        short = 96
        size = (short, int(short * height / width)) if width <= height else (int(short * width / height), short)
        whole = image.resize(size, Image.Resampling.BILINEAR)
        left, top = round((size[0] - 80) / 2), round((size[1] - 80) / 2)
        want = np.asarray(whole.crop((left, top, left + 80, top + 80)))
        out = BytesIO()
        image.save(out, "PNG")
        got = Geometry(80, 80, shorter=short, tiny=0).pixels(out.getvalue())[:, :, :3]
        assert np.abs(got.astype(int) - want).max() <= 1


@pytest.mark.parametrize(
    ("width", "height", "differing"),
    [(32, 32, 0), (28, 28, 0), (56, 56, 0), (96, 96, 0), (40, 33, 0.02), (17, 61, 0.02), (64, 64, 0.1)],
)
def test_a_magnified_picture_is_that_of_pillow_but_for_some_halves(width, height, differing):
    rng = np.random.Generator(np.random.PCG64(1))
    image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    out = BytesIO()
    image.save(out, "PNG")
    got = Geometry(224, 224, shorter=0).pixels(out.getvalue())[:, :, :3].astype(int)
    want = np.asarray(image.resize((224, 224), Image.Resampling.BILINEAR))
    assert np.abs(got - want).max() <= 2
    assert (got != want).mean() <= differing


def test_an_input_larger_than_a_block_of_memory_is_decoded_too():
    out = BytesIO()
    Image.new("RGB", (50, 40), (10, 20, 30)).save(out, "PNG")
    pixels = Geometry(2400, 2400, shorter=0).pixels(out.getvalue())
    assert pixels.shape == (2400, 2400, 4)
    assert (pixels[:, :, :3] == (10, 20, 30)).all()


def test_nothing_is_cut_off_a_tiny_picture():
    image = np.zeros((32, 32, 3), np.uint8)
    image[0], image[-1] = 255, 255
    out = BytesIO()
    Image.fromarray(image).save(out, "PNG")
    assert Geometry(224, 224, shorter=256).pixels(out.getvalue())[0, :, :3].min() > 250
    assert Geometry(224, 224, shorter=256, tiny=0).pixels(out.getvalue())[0, :, :3].max() < 200


def test_texts_that_look_alike_are_near():
    encoder = load_encoder("builtin")
    texts = ["a photo of a dog", "A photo of  a dog", "a photo of a dogs", "stock market report", "", "狗的照片"]
    vectors = encoder.encode_text(texts)
    assert encoder.has_text
    assert not encoder.joint
    assert vectors.shape == (6, 512)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    cosines = vectors @ vectors.T
    assert cosines[0, 1] == pytest.approx(1)
    assert cosines[0, 2] > 0.8
    assert abs(cosines[0, [3, 5]]).max() < 0.3
    assert cosines[0, 4] < 0.5
    assert encoder.encode_text([]).shape == (0, 512)
    assert np.array_equal(encoder.encode_text(texts[::-1])[::-1], vectors)


def test_a_model_without_text_says_so(tiny_model):
    encoder = load_encoder(str(tiny_model))
    assert not encoder.has_text
    with pytest.raises(EspalierError, match="no text side"):
        encoder.encode_text(["a"])
