"""Checkpoints become folders of OpenVINO models; PyTorch and transformers are the extra ``convert``."""

import json
import sys
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from espalier.core.errors import EspalierError, UsageError
from espalier.io.encoders import load_encoder
from espalier.io.encoders.convert import convert

WHY = "the extra convert is not installed (pip install -e '.[convert]')"
WORDS = ["[PAD]", "[START]", "[END]", "a", "photo", "of", "the", "dog", "cat", "red", "blue"]
LENGTH, SIDE = 9, 32
SETTINGS = {
    "do_resize": True,
    "size": {"shortest_edge": SIDE},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": SIDE, "width": SIDE},
    "image_mean": [0.4, 0.5, 0.6],
    "image_std": [0.3, 0.25, 0.2],
}


def write_tokenizer(folder):
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[PAD]"))
    made.normalizer, made.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[START] $A [END]", special_tokens=[("[START]", 1), ("[END]", 2)]
    )
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": "[PAD]"}))


@pytest.fixture
def transformers():
    pytest.importorskip("torch", reason=WHY)
    return pytest.importorskip("transformers", reason=WHY)


@pytest.fixture
def clip(transformers, tmp_path):
    """Save a tiny CLIP with random weights as safetensors, and return it with its folder."""
    import torch

    torch.manual_seed(0)
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.CLIPConfig(
        text_config={**small, "vocab_size": len(WORDS), "max_position_embeddings": LENGTH, "eos_token_id": 2},
        vision_config={**small, "image_size": SIDE, "patch_size": 8},
        projection_dim=24,
    )
    model = transformers.CLIPModel(config).eval()
    folder = tmp_path / "checkpoint"
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(SETTINGS))
    write_tokenizer(folder)
    return model, folder


def pictures(n: int = 5) -> list[bytes]:
    rng = np.random.Generator(np.random.PCG64(0))
    made = []
    for i in range(n):
        out = BytesIO()
        coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
        coarse.resize((90 + i, 70), Image.Resampling.BICUBIC).save(out, "PNG")
        made.append(out.getvalue())
    return made


def pixels(data: bytes) -> np.ndarray:
    """Prepare an image by Pillow, as the checkpoint's settings say."""
    image = Image.open(BytesIO(data))
    across = int(SIDE * image.width / image.height)
    image = image.resize((across, SIDE), Image.Resampling.BICUBIC)
    left = round((across - SIDE) / 2)
    x = np.asarray(image.crop((left, 0, left + SIDE, SIDE))) / 255
    return ((x - SETTINGS["image_mean"]) / SETTINGS["image_std"]).astype(np.float32).transpose(2, 0, 1)


def encoded(encoder, store: list[bytes]) -> np.ndarray:
    (batch,) = encoder.encode_images(((i, str(i)) for i in range(len(store))), lambda uri: store[int(uri)])
    return batch.vectors


def least_cosine(ours: np.ndarray, theirs) -> float:
    theirs = theirs.detach().numpy()
    return float((ours * theirs / np.linalg.norm(theirs, axis=1, keepdims=True)).sum(axis=1).min())


def features(out):
    return getattr(out, "pooler_output", out)


def test_a_two_tower_checkpoint_gives_pytorchs_vectors(clip, tmp_path):
    import torch

    model, folder = clip
    found = convert(str(folder), tmp_path / "out")
    encoder = load_encoder(str(tmp_path / "out"))
    assert (found["dim"], found["text"], found["id"]) == (24, True, encoder.id)
    assert encoder.joint
    store = pictures()
    images = torch.from_numpy(np.stack([pixels(data) for data in store]))
    assert least_cosine(encoded(encoder, store), features(model.get_image_features(pixel_values=images))) > 0.999
    texts = ["a photo of the dog", "red", "cat cat cat cat cat cat cat cat cat cat"]
    ids = torch.tensor([[1, 3, 4, 5, 6, 7, 2, 0, 0], [1, 9, 2, 0, 0, 0, 0, 0, 0], [1, *[8] * 7, 2]])
    mask = torch.tensor([[1] * 7 + [0] * 2, [1] * 3 + [0] * 6, [1] * 9])
    expected = features(model.get_text_features(input_ids=ids, attention_mask=mask))
    assert least_cosine(encoder.encode_text(texts), expected) > 0.9999


def test_the_folder_has_the_names_of_optimums_exports(clip, tmp_path):
    convert(str(clip[1] / "model.safetensors"), tmp_path / "out")
    stems = {f"openvino_model_{tower}{suffix}" for tower in ("vision", "text") for suffix in (".xml", ".bin")}
    settings = {"preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == stems | settings
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint", "out"]


def test_an_image_checkpoint_gives_the_normalised_first_token(transformers, tmp_path):
    import torch

    torch.manual_seed(1)
    config = transformers.Dinov2Config(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=SIDE, patch_size=8
    )
    model = transformers.Dinov2Model(config).eval()
    model.save_pretrained(tmp_path / "checkpoint")
    whole = {"image_processor": SETTINGS}
    (tmp_path / "checkpoint" / "processor_config.json").write_text(json.dumps(whole))
    found = convert(str(tmp_path / "checkpoint"), tmp_path / "out")
    encoder = load_encoder(str(tmp_path / "out"))
    assert (found["dim"], found["text"], encoder.has_text) == (24, False, False)
    store = pictures()
    images = torch.from_numpy(np.stack([pixels(data) for data in store]))
    assert least_cosine(encoded(encoder, store), model(images).pooler_output) > 0.999


def test_a_full_folder_is_replaced_only_when_asked(clip, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        convert(str(clip[1]), tmp_path / "out")
    (clip[1] / "preprocessor_config.json").rename(tmp_path / "kept.json")
    with pytest.raises(EspalierError, match=r"no preprocessor_config\.json"):
        convert(str(clip[1]), tmp_path / "out", overwrite=True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]
    (tmp_path / "kept.json").rename(clip[1] / "preprocessor_config.json")
    convert(str(clip[1]), tmp_path / "out", overwrite=True)
    assert not (tmp_path / "out" / "mine.txt").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint", "out"]


def test_a_checkpoint_that_lacks_weights_is_refused(clip, tmp_path):
    from safetensors.numpy import load_file, save_file

    path = clip[1] / "model.safetensors"
    weights = load_file(path)
    del weights["visual_projection.weight"]
    save_file(weights, path, {"format": "pt"})
    with pytest.raises(EspalierError, match=r"lacks 1 of the model's weights, visual_projection"):
        convert(str(clip[1]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.ckpt"])
def test_a_pickle_is_refused_and_never_opened(tmp_path, name):
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    # Whoever unpickles this ends the process.
    (folder / name).write_bytes(b"cos\n_exit\n(I3\ntR.")
    for given in (folder, folder / name):
        with pytest.raises(UsageError, match=f"{name} is a pickle.*not read"):
            convert(str(given), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_what_is_no_checkpoint_is_named(tmp_path):
    with pytest.raises(EspalierError, match="no checkpoint at"):
        convert(str(tmp_path / "nowhere"), tmp_path / "out")
    with pytest.raises(EspalierError, match="no safetensors"):
        convert(str(tmp_path), tmp_path / "out")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(EspalierError, match=r"no config\.json"):
        convert(str(tmp_path), tmp_path / "out")


def test_without_the_extra_the_remedy_is_named(tmp_path, monkeypatch):
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr("espalier.io.encoders.convert.NEEDED", ("torch_that_is_not_there",))
    with pytest.raises(EspalierError, match=r"cannot be imported.*espalier\[convert\]"):
        convert(str(tmp_path), tmp_path / "out")
    assert "torch_that_is_not_there" not in sys.modules
