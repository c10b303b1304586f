"""From a spec to an encoder.

Here lives the choice between the kinds. Not here: any of them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from espalier.errors import EspalierError, UsageError
from resources.encoders import builtin, ngrams
from resources.encoders.graph_encoder import PRECISIONS, Engine, GraphEncoder
from resources.encoders.model import ImageGraph, digest, image_graph, read_model
from resources.encoders.spec import EncoderSpec

REDUCED_BATCH = 8
"""Images an inference at bf16 and f16, where one at a time is not the fastest."""


def load_encoder(
    spec: "str | Mapping[str, Any] | EncoderSpec",
    *,
    device: str = "CPU",
    precision: str = "f32",
    cache_dir: Path | str | None = None,
    inference_threads: int | None = None,
) -> GraphEncoder:
    """Load an encoder; its graph is compiled when it is first used.

    Parameters
    ----------
    spec : str, mapping or EncoderSpec
        ``builtin``, a model file, a folder, ``hf:...`` or ``https:...``, with options.
    device : str, default="CPU"
        An OpenVINO device.
    precision : {"f32", "bf16", "f16"}, default="f32"
        f32 gives the same bits whatever the number of threads.
    cache_dir : Path, optional
        Where OpenVINO keeps compiled graphs.
    inference_threads : int, optional
        Bound on inference threads; by default all cores.

    Raises
    ------
    EspalierError
        When there is no such model or it is not one.
    UsageError
        When the spec, an option or the precision is none, or input or output are unclear.
    """
    spec = EncoderSpec.parse(spec)
    if precision not in PRECISIONS:
        raise UsageError(f"{precision!r} is no precision.", f"Use one of {', '.join(PRECISIONS)}.")
    cache = Path(cache_dir) if cache_dir is not None else None
    engine = Engine(device, precision, cache, inference_threads)
    if spec.model == "builtin":
        return _builtin(engine)
    path = Path(spec.model).expanduser()
    if path.is_dir():
        raise EspalierError(f"{path} is a folder.", "Give the path of a model file in it.")
    model = read_model(path)
    graph = image_graph(model, spec.options, str(path), 1 if precision == "f32" else REDUCED_BATCH)
    return GraphEncoder(str(path), digest(path), graph, engine)


class _Ngrams:
    """The builtin text side."""

    joint = False

    def encode(self, texts: list[str]) -> np.ndarray:
        return ngrams.encode(texts)

    def describe(self) -> dict[str, Any]:
        return {"kind": "character n-grams", "sizes": list(ngrams.SIZES), "dim": ngrams.DIM}


def _builtin(engine: Engine) -> GraphEncoder:
    facts = {"geometry": builtin.GEOMETRY.describe()}
    graph = ImageGraph(builtin.build(), builtin.GEOMETRY, builtin.DIM, builtin.BATCH, facts)
    return GraphEncoder("builtin", f"builtin {builtin.REVISION}", graph, engine, _Ngrams())
