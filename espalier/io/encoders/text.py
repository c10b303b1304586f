"""A text tower: tokens in, unit vectors out, in batches of a fixed size."""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from espalier.core.errors import EspalierError
from espalier.io.encoders.model import embedding_output
from espalier.io.encoders.runner import Requests
from espalier.io.encoders.tokens import Tokens

if TYPE_CHECKING:
    import openvino

    from espalier.io.encoders.encoder import Engine

BATCH = 8
EMBEDDING_NAMES = ("text_embeds", "text_embedding", "text_features", "embedding", "embeddings", "pooler_output")
_BLOCK = 1024


@dataclass
class TextTower:
    """The text side of a two-tower encoder; ``joint`` where its vectors share the images' space.

    ``model`` takes (b, length) ids and maybe a mask, in this order, and gives (b, d); b is 8, or what the model fixes.
    ``content`` is the hash of the tower's and the tokenizer's files.
    """

    model: "openvino.Model"
    tokens: Tokens
    engine: "Engine"
    content: str
    joint: bool

    def encode(self, texts: list[str]) -> np.ndarray:
        """Return (n, d) float32 unit rows; the bits do not depend on what other texts are given along."""
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)
        for start in range(0, len(texts), _BLOCK):
            vectors[start : start + _BLOCK] = self._run(texts[start : start + _BLOCK])
        exact = vectors.astype(np.float64)
        lengths = np.sqrt((exact * exact).sum(axis=1))
        bad = np.flatnonzero(~np.isfinite(lengths) | (lengths < 1e-6))
        if len(bad):
            raise EspalierError(f"The encoder gave no vector for the text {texts[bad[0]]!r}.", "Leave it out.")
        return (exact / lengths[:, None]).astype(np.float32)

    def _run(self, texts: list[str]) -> np.ndarray:
        batch = int(self.model.input(0).get_shape()[0])
        tokens = self.tokens.encode(texts + [""] * (-len(texts) % batch))
        out = np.empty((len(tokens[0]), self.dim), dtype=np.float32)

        def deliver(start: int, request: "openvino.InferRequest") -> None:
            out[start : start + batch] = request.get_output_tensor(0).data

        requests = Requests(self._compiled)
        for start in range(0, len(out), batch):
            request = requests.idle()
            for number, values in enumerate(tokens[: len(self.model.inputs)]):
                request.get_input_tensor(number).data[:] = values[start : start + batch]
            requests.start(request, partial(deliver, start))
        requests.finish()
        return out[: len(texts)]

    def describe(self) -> dict[str, Any]:
        """Return plain values that identify the tower."""
        return {"kind": "text tower", "content": self.content, "length": self.tokens.length, "dim": self.dim}

    @property
    def dim(self) -> int:
        """Number of components of a vector."""
        return int(self.model.output(0).get_shape()[1])

    @cached_property
    def _compiled(self) -> "openvino.CompiledModel":
        return self.engine.compile(self.model)


def text_tower(
    model: "openvino.Model", tokens: Tokens, engine: "Engine", content: str, dim: int, name: str
) -> TextTower:
    """Make a tower from a model with inputs ``input_ids`` and maybe ``attention_mask``; errors call it ``name``.

    ``dim`` is that of the images' vectors: texts share their space where theirs is the same.
    """
    import openvino

    output = embedding_output(model, EMBEDDING_NAMES, None, name)
    ports = {label: port for port in model.inputs for label in port.get_names()}
    ids = next((ports[label] for label in ("input_ids", "tokens", "text", "input") if label in ports), None)
    ids = ids or (model.inputs[0] if len(model.inputs) == 1 else None)
    if ids is None:
        raise EspalierError(f"{name} has no input 'input_ids' (inputs: {', '.join(ports)}).", "Export it again.")
    used = [ids] + ([ports["attention_mask"]] if "attention_mask" in ports else [])
    try:
        tower = openvino.Model([output.get_node().input_value(0)], [port.get_node() for port in used], "text")
        _reshape(tower, tokens.length)
    except RuntimeError:
        raise EspalierError(
            f"{name} cannot be cut down to texts of {tokens.length} tokens.", "Export its text tower by itself."
        ) from None
    shape = tower.output(0).get_partial_shape()
    if shape.is_dynamic or len(shape) != 2:
        raise EspalierError(f"The output of {name} is no vector a text: {shape}.", "Export it with its pooling.")
    return TextTower(tower, tokens, engine, content, joint=int(shape.to_shape()[1]) == dim)


def _reshape(tower: "openvino.Model", length: int) -> None:
    """Fix the shape: ``BATCH`` texts, or as many as the model was made for where it takes no other number."""
    made_for = tower.input(0).get_partial_shape()[0]
    try:
        tower.reshape({port: [BATCH, length] for port in tower.inputs})
    except RuntimeError:
        if made_for.is_dynamic:
            raise
        tower.reshape({port: [made_for.get_length(), length] for port in tower.inputs})


def text_length(model: "openvino.Model") -> int | None:
    """Return the number of tokens that a tower takes when its shape fixes it."""
    for port in model.inputs:
        shape = port.get_partial_shape()
        is_ids = "input_ids" in port.get_names() or len(model.inputs) == 1
        if is_ids and shape.rank.is_static and len(shape) == 2 and shape[1].is_static:
            return int(shape[1].get_length())
    return None
