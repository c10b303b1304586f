"""The towers of a PyTorch model, traced to OpenVINO graphs and compared with what PyTorch gives."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from espalier.core.errors import EspalierError
from espalier.io.encoders.tokens import Tokens

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel
    from transformers.utils import ModelOutput

_NO_MASK = ("siglip", "siglip2")
_LEAST_COSINE = 0.9999


@dataclass
class Tower:
    """One graph to be written to ``file`` (without ending): ``forward`` takes ``inputs`` by name and gives (n, d).

    The first axis of the inputs, which are examples, is free.
    """

    file: str
    model: "torch.nn.Module"
    forward: Callable[..., "torch.Tensor"]
    inputs: dict[str, np.ndarray]
    output: str

    def write(self, folder: Path) -> float:
        """Trace the tower, write it, and return the least cosine of its vectors to PyTorch's; others are refused."""
        import openvino
        import torch

        module = _module(self.forward, list(self.inputs), self.model)
        example = tuple(torch.from_numpy(value) for value in self.inputs.values())
        with torch.no_grad():
            expected = module(*example).numpy()
            try:
                graph = openvino.convert_model(module, example_input=example)
            except Exception as error:  # OpenVINO and the tracer raise what they meet
                why = " ".join(str(error).split())[:300]
                raise EspalierError(
                    f"OpenVINO cannot take over {self.file}: {why}", "This kind of model is not supported."
                ) from None
        for port, name in zip(graph.inputs, self.inputs, strict=True):
            port.get_tensor().set_names({name})
        graph.outputs[0].get_tensor().set_names({self.output})
        graph.reshape({name: [-1, *value.shape[1:]] for name, value in self.inputs.items()})
        path = folder / f"{self.file}.xml"
        openvino.save_model(graph, path, compress_to_fp16=False)
        compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        least = float(_cosines(compiled(self.inputs)[0], expected).min())
        if not least > _LEAST_COSINE:
            raise EspalierError(
                f"The graph of {self.file} does not give what PyTorch gives (cosine {least:.4f}).",
                "This kind of model is not supported.",
            )
        return least


def image_tower(model: "PreTrainedModel", pixels: np.ndarray, *, pooled: bool) -> Tower:
    """Return what makes a vector of an image: CLIP's way, the pooled output, or the first token.

    ``pixels`` is an example, (n, 3, height, width) float32; ``pooled`` says that the checkpoint has the pooling's
    weights.
    """
    given = {"pixel_values": pixels}
    if hasattr(model, "get_image_features"):
        file = "openvino_model_vision" if hasattr(model, "get_text_features") else "openvino_model"
        return Tower(file, model, lambda **inputs: _vector(model.get_image_features(**inputs)), given, "image_embeds")
    if getattr(model, "main_input_name", "") != "pixel_values":
        raise EspalierError(f"A {type(model).__name__} takes no images.", "Give an image model, or one such as CLIP.")

    def forward(**inputs: "torch.Tensor") -> "torch.Tensor":
        out = model(**inputs)
        whole = getattr(out, "pooler_output", None) if pooled else None
        return out.last_hidden_state[:, 0] if whole is None else whole.flatten(1)

    return Tower("openvino_model", model, forward, given, "image_embeds")


def text_tower(model: "PreTrainedModel", tokens: Tokens) -> Tower:
    """Return what makes a vector of a text; ``tokens`` makes the example."""
    ids, mask = tokens.encode(["a photo of a dog", "text", "a longer line of words, cut where it must be"])
    given = {"input_ids": ids}
    if model.config.model_type not in _NO_MASK:  # those were trained without one
        given["attention_mask"] = mask
    return Tower(
        "openvino_model_text", model, lambda **inputs: _vector(model.get_text_features(**inputs)), given, "text_embeds"
    )


def _vector(out: "torch.Tensor | ModelOutput") -> "torch.Tensor":
    """Return the vectors, which older releases give as they are and newer ones inside an output."""
    return getattr(out, "pooler_output", out)


def _module(forward: Callable[..., "torch.Tensor"], names: list[str], model: "torch.nn.Module") -> "torch.nn.Module":
    """Wrap a function of a model's so that it can be traced, inputs in the order of ``names``."""
    import torch

    class Wrapped(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *given: "torch.Tensor") -> "torch.Tensor":
            return forward(**dict(zip(names, given, strict=True)))

    return Wrapped().eval()


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
