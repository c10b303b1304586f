"""A folder of model files as an encoder: the layout of optimum-intel exports, and of two towers side by side.

Known image graphs: one ``openvino_model.xml``, or a tower of its own beside a text tower; settings:
``preprocessor_config.json`` (transformers), ``open_clip_config.json`` (open_clip). Options of the spec go before them.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espalier.core.errors import EspalierError, UsageError
from espalier.io.encoders.model import digest
from espalier.io.encoders.spec import MODEL_SUFFIXES, EncoderOptions
from espalier.io.encoders.tokens import CLIP_VOCABULARY, TOKENIZER_FILE, tokenizer_file

SUBFOLDERS = (".", "openvino", "onnx")
IMAGE_STEMS = (
    *("openvino_model_vision", "openvino_vision_model", "openvino_model_visual", "vision_model"),
    *("image_encoder", "visual_model", "visual"),
)
TEXT_STEMS = ("openvino_model_text", "openvino_text_model", "text_model", "text_encoder", "textual")
WHOLE_STEMS = ("openvino_model", "model")
IMAGE_PREFIXES, TEXT_PREFIXES = ("clip_visual",), ("clip_text",)
_SETTINGS = (
    *("preprocessor_config.json", "open_clip_config.json", "config.json", "tokenizer_config.json"),
    *(TOKENIZER_FILE, CLIP_VOCABULARY),
)
_CONVNEXT_STRETCHES = 384
_RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box"}


@dataclass(frozen=True)
class Folder:
    """The models of a folder and the options that its settings say; ``text`` may be the same file as ``image``."""

    root: Path
    image: Path
    text: Path | None
    options: EncoderOptions

    def content(self, file: Path) -> str:
        """Hash a model's files, with the tokenizer where it is the text tower's."""
        tokenizer = tokenizer_file(self.root) if file == self.text else None
        parts = [digest(file), hashlib.sha256(tokenizer.read_bytes()).hexdigest() if tokenizer else ""]
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def read_folder(root: Path) -> Folder:
    """Find the models and settings of a folder; two towers need settings, and several models known names."""
    models = [path for sub in SUBFOLDERS for path in sorted((root / sub).glob("*")) if path.suffix in MODEL_SUFFIXES]
    image, text, whole = _towers(models, str(root))
    settings = read_settings(root)
    if text is not None and settings is None:
        raise UsageError(
            f"{root} holds two towers but no preprocessor_config.json.", "Put the model's there; it has mean and std."
        )
    if image is None and text is None and tokenizer_file(root) is not None:
        text = whole
    chosen = image or whole
    assert chosen is not None
    return Folder(root, chosen, text, settings or EncoderOptions())


def is_encoder(root: Path) -> bool:
    """Tell whether ``read_folder`` would take a folder."""
    try:
        read_folder(root)
    except EspalierError:
        return False
    return True


def wanted_files(names: list[str], repo: str) -> list[str]:
    """Return those of a repository's files that ``read_folder`` would use: models, their weights, settings.

    ``names`` are the paths of all files, with ``/``; errors speak of ``repo``.
    """
    paths = [Path(name) for name in names]
    models = sorted(p for p in paths if p.suffix in MODEL_SUFFIXES and str(p.parent) in SUBFOLDERS)
    image, text, whole = _towers(models, repo)
    chosen = [image or whole, text]
    weights = [path for model in chosen if model for path in paths if _belongs(path, model)]
    settings = [path for path in paths if str(path.parent) == "." and path.name in _SETTINGS]
    return sorted({path.as_posix() for path in (*chosen, *weights, *settings) if path})


def _belongs(path: Path, model: Path) -> bool:
    """Tell whether a file holds a model's weights: the ``.bin`` of an ``.xml``, the external data of an ``.onnx``."""
    if path.parent != model.parent or path == model:
        return False
    return path == model.with_suffix(".bin") if model.suffix == ".xml" else path.name.startswith(f"{model.name}")


def _towers(models: list[Path], name: str) -> tuple[Path | None, Path | None, Path | None]:
    """Return the image tower, the text tower and the model that is both, as far as they are there."""
    image = _named(models, IMAGE_STEMS, IMAGE_PREFIXES)
    text = _named(models, TEXT_STEMS, TEXT_PREFIXES)
    whole = _named(models, WHOLE_STEMS, ())
    if image is None and text is None and whole is None and len(models) == 1:
        whole = models[0]
    if image is None and whole is None:
        there = ", ".join(path.name for path in models) or "no model files"
        raise EspalierError(
            f"{name} holds no image model that is known by its name ({there}).",
            "Give the path of the model file, or make a folder of a checkpoint: espalier models convert.",
        )
    return image, text, whole


def _named(models: list[Path], stems: tuple[str, ...], prefixes: tuple[str, ...]) -> Path | None:
    """Return the model whose name comes first in ``stems``, or begins with a prefix; OpenVINO's files first."""
    ranked = sorted(models, key=lambda path: MODEL_SUFFIXES.index(path.suffix))
    for stem in stems:
        for path in ranked:
            if path.stem.lower() == stem:
                return path
    return next((path for path in ranked if path.stem.lower().startswith(prefixes)), None) if prefixes else None


def read_settings(root: Path) -> EncoderOptions | None:
    """Read the settings of the preprocessing, or None when there are none."""
    for name, parse in (("preprocessor_config.json", _transformers), ("open_clip_config.json", _open_clip)):
        path = root / name
        if path.is_file():
            try:
                # As they are: a number's type is part of the encoder's id.
                return EncoderOptions.model_construct(**parse(json.loads(path.read_text(encoding="utf-8"))))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise EspalierError(f"{path} cannot be understood: {error!r}", "Export the model again.") from None
    return None


def _transformers(settings: dict[str, Any]) -> dict[str, Any]:
    """Translate the settings of a transformers image processor."""
    if not settings.get("do_resize", True):
        raise UsageError("A model without resizing (do_resize: false) is not supported.", "Set resize and crop.")
    size, crop = _lengths(settings.get("size")), _lengths(settings.get("crop_size"))
    crop = crop if settings.get("do_center_crop", crop is not None) else None
    if size is not None and crop is None:
        size, crop = _without_crop(size, settings.get("crop_pct"))
    elif size is not None and len(size) == 2 and size != _pair(crop):
        raise UsageError(f"Stretching to {size} before a crop is not supported.", "Set resize and crop.")
    return {
        "mean": tuple(settings["image_mean"]) if "image_mean" in settings else None,
        "std": tuple(settings["image_std"]) if "image_std" in settings else None,
        "rescale": settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else 1.0,
        "normalise": bool(settings.get("do_normalize", True)),
        "resize": size,
        "crop": crop,
        "filter": _RESAMPLE[int(settings["resample"])] if "resample" in settings else None,
    }


def _without_crop(size: tuple[int, ...], share: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return resize and crop where no crop is named: stretched, or a margin cut off as ConvNeXt's share says."""
    if share and len(size) == 1 and size[0] < _CONVNEXT_STRETCHES:
        return (int(size[0] / float(share)),), size
    return _pair(size), _pair(size)


def _pair(size: tuple[int, ...] | None) -> tuple[int, ...]:
    return (size * 2)[:2] if size else ()


def _open_clip(settings: dict[str, Any]) -> dict[str, Any]:
    """Translate open_clip's settings; its own defaults are CLIP's."""
    given = settings.get("preprocess_cfg", {})
    side = settings.get("model_cfg", {}).get("vision_cfg", {}).get("image_size", 224)
    side = side[0] if isinstance(side, list) else side
    return {
        "mean": tuple(given.get("mean", (0.48145466, 0.4578275, 0.40821073))),
        "std": tuple(given.get("std", (0.26862954, 0.26130258, 0.27577711))),
        "resize": (side, side) if given.get("resize_mode") == "squash" else (side,),
        "crop": (side,),
        "filter": given.get("interpolation", "bicubic"),
    }


def _lengths(value: Any) -> tuple[int, ...] | None:
    """Read a size: a number or a mapping with ``shortest_edge`` or ``height`` and ``width``."""
    if value is None:
        return None
    if isinstance(value, dict):
        edges = ("shortest_edge",) if "shortest_edge" in value else ("height", "width")
        return tuple(int(value[edge]) for edge in edges)
    return (int(value),)
