"""A model file as an encoder: its graph with the preprocessing compiled in.

Here are reading ``.xml``, ``.onnx`` and ``.tflite`` files, finding the image input and the embedding among the outputs,
and the graph surgery. Not here: folders of models (``espalier.io.encoders.folder``).
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from espalier.core.errors import EspalierError, UsageError
from espalier.io.encoders.geometry import Geometry
from espalier.io.encoders.spec import MODEL_SUFFIXES, EncoderOptions

if TYPE_CHECKING:
    import openvino

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DEFAULT_SIDE, CROP_SHARE = 224, 0.875
EMBEDDING_NAMES = ("image_embeds", "image_embedding", "image_features", "embedding", "embeddings", "pooler_output")
MAX_BATCH = 64
_QUANTISING = {"FakeQuantize", "FakeConvert"}


@dataclass(frozen=True)
class ImageGraph:
    """A graph that takes (batch, height, width, 4) uint8 RGBX and gives (batch, dim) float32.

    ``facts`` are what was chosen, as plain values: part of the encoder's id.
    """

    model: "openvino.Model"
    geometry: Geometry
    dim: int
    batch: int
    facts: dict[str, Any]


def read_model(path: Path) -> "openvino.Model":
    """Read a model file; its weights have to be beside it."""
    import openvino

    if not path.is_file():
        raise EspalierError(f"There is no model at {path}.", "Give the path of an .xml, .onnx or .tflite file.")
    if path.suffix not in MODEL_SUFFIXES:
        raise EspalierError(f"{path} is no model file.", f"Known endings: {', '.join(MODEL_SUFFIXES)}.")
    if path.suffix == ".xml" and not path.with_suffix(".bin").is_file():
        raise EspalierError(f"{path} has no weights beside it.", f"Put {path.with_suffix('.bin').name} there.")
    with path.open("rb") as stream:
        head = stream.read(4096)
    # Only what looks right is given to OpenVINO, which tries every format it knows and logs each failure.
    looks_right = {".xml": b"<net" in head, ".onnx": head[:1] == b"\x08", ".tflite": head[4:8] == b"TFL3"}
    try:
        if looks_right[path.suffix]:
            return openvino.Core().read_model(path)
        why = f"it is no {path.suffix} file inside"
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        why = lines[-1][:200] if lines else "unknown reason"
    raise EspalierError(f"{path} is not a model that OpenVINO can read: {why}.", "Export it again.")


def digest(path: Path) -> str:
    """Return the SHA-256 of a model's files: graph, and weights where they stand beside it."""
    beside = sorted(path.parent.glob(f"{path.name}*data*")) if path.suffix == ".onnx" else []
    files = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path, *beside]
    whole = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            whole.update(hashlib.file_digest(stream, "sha256").digest())
    return whole.hexdigest()


def image_graph(model: "openvino.Model", options: EncoderOptions, name: str) -> ImageGraph:
    """Compile the preprocessing into a model's graph, in place, and leave one output, the embedding.

    Options that are None are found out or take their usual values (see ``EncoderOptions``). Where input or output is
    unclear, the error lists what ``name`` has.
    """
    source = _image_input(model, name)
    layout = options.layout or _layout(source, name)
    stretched = options.resize if options.resize and len(options.resize) == 2 else None
    height, width = _size(source, layout, options.crop or stretched, name)
    batch = options.batch or 1
    if batch > MAX_BATCH:
        raise UsageError(f"batch={batch} is too many images an inference.", f"Use at most {MAX_BATCH}.")
    model, output = _cut(source, embedding_output(model, EMBEDDING_NAMES, options.output, name), name)
    shape = [batch, 3, height, width] if layout == "NCHW" else [batch, height, width, 3]
    try:
        model.reshape({model.input(0): shape})
    except RuntimeError:
        raise EspalierError(
            f"{name} cannot take {batch} images of {height} x {width}.", "Set batch and crop to what it was made for."
        ) from None
    mean, std, rescale = _values(options)
    _append_pooling(model, options.pool, name)
    ready = _prepend(model, layout, options.color or "RGB", mean, std, rescale)
    exact = any(node.get_type_name() in _QUANTISING for node in ready.get_ops())
    geometry = replace(_geometry(options, height, width), exact=exact)
    facts = {
        "input": source.get_any_name(),
        "output": output,
        "layout": layout,
        "color": options.color or "RGB",
        "mean": list(mean),
        "std": list(std),
        "rescale": rescale,
        "pool": options.pool,
        "geometry": geometry.describe(),
    }
    return ImageGraph(ready, geometry, int(ready.output(0).get_shape()[1]), batch, facts)


def _image_input(model: "openvino.Model", name: str) -> "openvino.Output":
    """Return the input of four dimensions."""
    shapes = [(port, port.get_partial_shape()) for port in model.inputs]
    images = [port for port, shape in shapes if shape.rank.is_static and len(shape) == 4]
    if len(images) != 1:
        inputs = ", ".join(f"{_label(port)} {shape}" for port, shape in shapes)
        raise EspalierError(f"{name} has no single image input (inputs: {inputs}).", "Use an image model.")
    return images[0]


def _label(port: "openvino.Output") -> str:
    return str(sorted(port.get_names())[0]) if port.get_names() else str(port.get_node().get_friendly_name())


def _layout(source: "openvino.Output", name: str) -> str:
    """Read NCHW or NHWC off the place of the three channels."""
    shape = source.get_partial_shape()
    at = [axis for axis in (1, 3) if shape[axis].is_static and shape[axis].get_length() == 3]
    if len(at) != 1:
        raise UsageError(f"The input of {name}, {shape}, does not tell its layout.", "Set layout=NCHW or NHWC.")
    return "NCHW" if at[0] == 1 else "NHWC"


def _size(source: "openvino.Output", layout: str, crop: tuple[int, ...] | None, name: str) -> tuple[int, int]:
    """Return the height and width of the input: fixed by the model, or the crop, or 224."""
    shape, axes = source.get_partial_shape(), (2, 3) if layout == "NCHW" else (1, 2)
    wanted = crop * 2 if crop and len(crop) == 1 else crop
    sides = []
    for place, axis in enumerate(axes):
        fixed = shape[axis].get_length() if shape[axis].is_static else None
        if fixed and wanted and fixed != wanted[place]:
            raise UsageError(f"{name} takes {shape}, not a crop of {wanted}.", "Leave crop out.")
        sides.append(fixed or (wanted[place] if wanted else DEFAULT_SIDE))
    return sides[0], sides[1]


def embedding_output(
    model: "openvino.Model", known: tuple[str, ...], wanted: str | None, name: str
) -> "openvino.Output":
    """Return the output that is the embedding: the one that is wanted, one with a known name, or the only one."""
    outputs = {label: port for port in model.outputs for label in (port.get_names() or {_label(port)})}
    if wanted is not None and wanted in outputs:
        return outputs[wanted]
    telling = [label for label in known if label in outputs]
    if wanted is None and (len(model.outputs) == 1 or telling):
        return outputs[telling[0]] if telling else model.outputs[0]
    listed = ", ".join(f"{_label(port)} {port.get_partial_shape()}" for port in model.outputs)
    what = f"has no output {wanted!r}" if wanted else "has several outputs and none is known as the embedding"
    raise UsageError(f"{name} {what}.", f"Set output to one of: {listed}.")


def _cut(source: "openvino.Output", output: "openvino.Output", name: str) -> tuple["openvino.Model", str]:
    """Return the part of the graph between the image and the embedding, and the embedding's name."""
    import openvino

    label = _label(output)
    parameter = source.get_node()
    before = output.get_node().input_value(0)
    try:
        return openvino.Model([before], [parameter], "image"), label
    except RuntimeError:
        raise EspalierError(
            f"The output {label!r} of {name} needs more than the image.", "Name another output."
        ) from None


def _append_pooling(model: "openvino.Model", pool: str | None, name: str) -> None:
    """Make the output (batch, dim): flatten (b, d, 1, 1); reduce (b, tokens, d) as ``pool`` says."""
    from openvino import opset13 as op

    result = model.get_results()[0]
    port = result.input_value(0)
    shape = port.get_partial_shape()
    # How many tokens there are need not be known.
    if shape.rank.is_dynamic or any(one.is_dynamic for place, one in enumerate(shape) if (place, len(shape)) != (1, 3)):
        raise EspalierError(f"The output of {name} has no fixed shape, {shape}.", "Name another output.")
    sizes = [one.get_max_length() for one in shape]
    if len(sizes) == 3:
        if pool is None:
            raise UsageError(f"The output of {name} is one vector a token, {shape}.", "Set pool=cls or pool=mean.")
        zero = op.constant(np.array(0, np.int64))
        one = op.constant(np.array(1, np.int64))
        pooled = op.gather(port, zero, one) if pool == "cls" else op.reduce_mean(port, one, keep_dims=False)
    elif len(sizes) > 1 and int(np.prod(sizes)) == sizes[0] * sizes[1]:
        pooled = op.reshape(port, op.constant(np.array([sizes[0], -1], np.int64)), False)
    else:
        raise EspalierError(f"The output of {name} is no vector an image: {shape}.", "Name another output.")
    pooled = op.convert(pooled, "f32")
    result.input(0).replace_source_output(pooled.output(0))
    model.validate_nodes_and_infer_types()


def _values(options: EncoderOptions) -> tuple[tuple[float, ...], tuple[float, ...], float]:
    """Return mean, std and rescale with their defaults; no normalisation is mean 0 and std 1."""
    rescale = 1 / 255 if options.rescale is None else options.rescale
    if options.normalise is False:
        return (0.0,) * 3, (1.0,) * 3, rescale
    return options.mean or IMAGENET_MEAN, options.std or IMAGENET_STD, rescale


def _prepend(
    model: "openvino.Model", layout: str, color: str, mean: tuple[float, ...], std: tuple[float, ...], rescale: float
) -> "openvino.Model":
    """Let the graph take uint8 RGBX of layout NHWC.

    One matrix product drops the fourth byte, orders the colours and scales them; measured faster than a step each.
    """
    import openvino
    from openvino import opset13 as op

    old = model.input(0).get_node()
    channels = [2, 1, 0] if color == "BGR" else [0, 1, 2]
    scale, shift = rescale / np.array(std), -np.array(mean) / np.array(std)
    weights = np.zeros((4, 3), dtype=np.float32)
    weights[channels, range(3)] = scale[channels]
    batch, *spatial = old.get_output_shape(0)
    height, width = spatial[1:] if layout == "NCHW" else spatial[:2]
    pixels = op.parameter([batch, height, width, 4], np.uint8, name="pixels")
    ready = op.matmul(op.convert(pixels, "f32"), op.constant(weights), False, False)
    ready = op.add(ready, op.constant(shift[channels].astype(np.float32)))
    if layout == "NCHW":
        ready = op.transpose(ready, op.constant(np.array([0, 3, 1, 2])))
    ready = op.convert(ready, old.get_element_type())
    for target in old.output(0).get_target_inputs():
        target.replace_source_output(ready.output(0))
    pixels.output(0).get_tensor().set_names({"pixels"})
    return openvino.Model(model.get_results(), [pixels], "image")


def _geometry(options: EncoderOptions, height: int, width: int) -> Geometry:
    """Return how images become (height, width): from the options, else the shorter side at crop / 0.875."""
    rest = {key: value for key in ("filter", "tiny", "reduce") if (value := getattr(options, key)) is not None}
    if options.resize and len(options.resize) == 2:
        if options.resize != (height, width):
            raise UsageError(
                f"resize={options.resize} does not fit the input of {height} x {width}.", "Give one number, or this."
            )
        return Geometry(height, width, shorter=0, **rest)
    shorter = options.resize[0] if options.resize else round(max(height, width) / CROP_SHARE)
    if shorter < max(height, width):
        raise UsageError(f"resize={shorter} is less than the input of {height} x {width}.", "Use at least that.")
    return Geometry(height, width, shorter=shorter, **rest)
