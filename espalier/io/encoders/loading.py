"""From a spec to an encoder: the choice between the kinds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from espalier.core.errors import UsageError
from espalier.io.encoders import builtin
from espalier.io.encoders.encoder import PRECISIONS, Encoder, Engine
from espalier.io.encoders.fetch import fetch
from espalier.io.encoders.folder import Folder, read_folder
from espalier.io.encoders.model import ImageGraph, digest, image_graph, read_model
from espalier.io.encoders.names import resolve
from espalier.io.encoders.ngrams import Ngrams
from espalier.io.encoders.spec import EncoderSpec
from espalier.io.encoders.text import text_length, text_tower
from espalier.io.encoders.tokens import read_tokens


def load_encoder(
    spec: "str | Mapping[str, Any] | EncoderSpec",
    *,
    device: str = "CPU",
    precision: str = "f32",
    cache_dir: Path | str | None = None,
    inference_threads: int | None = None,
    max_pixels: int | None = None,
) -> Encoder:
    """Load an encoder; its graph is compiled when it is first used.

    Parameters
    ----------
    spec : str, mapping or EncoderSpec
        ``builtin``, a name, a model file, a folder, ``hf:...`` or ``https:...``, with options.
    device : str, default="CPU"
        An OpenVINO device.
    precision : {"f32", "bf16", "f16"}, default="f32"
        f32 gives the same bits whatever the number of threads.
    cache_dir : Path, optional
        Where downloaded models go, names are added and OpenVINO keeps compiled graphs; without it none are kept.
    inference_threads : int, optional
        Bound on inference threads; by default all cores.
    max_pixels : int, optional
        Larger images are refused; see ``espalier.io.images.decode``.

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
    spec = resolve(spec, cache)
    engine = Engine(device, precision, cache, inference_threads, max_pixels)
    if spec.model == "builtin":
        return _builtin(engine)
    path = fetch(spec, cache)
    if path.is_dir():
        return _from_folder(read_folder(path), spec, engine)
    graph = image_graph(read_model(path), spec.options, str(path))
    return Encoder(spec.model, digest(path), graph, engine)


def _from_folder(folder: Folder, spec: EncoderSpec, engine: Engine) -> Encoder:
    options = spec.options.over(folder.options)
    graph = image_graph(read_model(folder.image), options, str(folder.image))
    text = None
    if folder.text is not None:
        tower = read_model(folder.text)  # read anew: cutting changes a graph
        tokens = read_tokens(folder.root, text_length(tower))
        text = text_tower(tower, tokens, engine, folder.content(folder.text), graph.dim, str(folder.text))
    return Encoder(spec.model, digest(folder.image), graph, engine, text)


def _builtin(engine: Engine) -> Encoder:
    facts = {"geometry": builtin.GEOMETRY.describe()}
    graph = ImageGraph(builtin.build(), builtin.GEOMETRY, builtin.DIM, builtin.BATCH, facts)
    return Encoder("builtin", f"builtin {builtin.REVISION}", graph, engine, Ngrams())
