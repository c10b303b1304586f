"""From a checkpoint of transformers to a folder of OpenVINO models, as ``espalier.io.encoders.folder`` reads it.

Weights are read from safetensors only: PyTorch's own files are pickles, which can run any code when they are opened.
Not here: tracing (``espalier.io.encoders.towers``), quantising, and checkpoints of open_clip.
"""

import importlib.util
import json
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from espalier.core.errors import EspalierError, UsageError
from espalier.core.rng import generator
from espalier.io.atomic import written
from espalier.io.encoders.fetch import first_line, snapshot
from espalier.io.encoders.folder import read_settings
from espalier.io.encoders.tokens import TOKENIZER_FILE, Tokens, read_tokens
from espalier.io.encoders.towers import image_tower, text_tower

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

NEEDED = ("torch", "transformers", "safetensors")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
SETTINGS, TOKENIZER_SETTINGS = "preprocessor_config.json", "tokenizer_config.json"
_ENDINGS = (".safetensors", ".json", ".txt", ".model")


def convert(checkpoint: str, target: Path, *, overwrite: bool = False) -> dict[str, Any]:
    """Write a folder with an image tower, a text tower where there is one, settings and tokenizer; whole or not at all.

    ``checkpoint`` is a folder with ``config.json`` and safetensors (or such a file in it), or ``hf:<repo>[@revision]``.
    Returns ``folder``, ``dim``, ``text``, ``least_cosine`` (to PyTorch's vectors) and the encoder's ``id``.
    """
    from espalier.io.encoders.loading import load_encoder

    target = target.expanduser().absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())) and not overwrite:
        raise UsageError(f"{target} is not empty.", "Give another folder, or --overwrite.")
    source = _source(checkpoint)
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise EspalierError(f"{' and '.join(missing)} cannot be imported.", "pip install 'espalier[convert]'")
    target.parent.mkdir(parents=True, exist_ok=True)
    with written(target) as part:
        part.mkdir()
        with _quiet():
            least = _fill(part, source)
        encoder = load_encoder(str(part))
        encoder.compiled()
    facts = {"folder": str(target), "dim": encoder.dim, "text": encoder.has_text, "id": encoder.id}
    return {**facts, "least_cosine": round(least, 7)}


def _source(checkpoint: str) -> Path:
    """Return the folder with the checkpoint's files."""
    if checkpoint.startswith("hf:"):
        source = snapshot(checkpoint, _wanted)
    else:
        source = Path(checkpoint).expanduser()
        if source.suffix in PICKLES:
            raise _pickle(source.name)
        source = source.parent if source.suffix == ".safetensors" and source.is_file() else source
        if not source.is_dir():
            raise EspalierError(f"There is no checkpoint at {checkpoint}.", "Give a folder, or hf:<owner>/<name>.")
    if not any(source.glob("*.safetensors")):
        pickles = sorted(path.name for path in source.iterdir() if path.suffix in PICKLES)
        if pickles:
            raise _pickle(pickles[0])
        raise EspalierError(f"{checkpoint} holds no safetensors.", "Give a checkpoint of transformers.")
    if not (source / "config.json").is_file():
        raise EspalierError(f"{checkpoint} has no config.json.", "Give a checkpoint as transformers saves it.")
    return source


def _wanted(names: list[str]) -> list[str]:
    """Return a repository's files that matter: the weights in safetensors, settings and vocabularies."""
    pickles = [name for name in names if name.endswith(PICKLES)]
    if pickles and not any(name.endswith(".safetensors") for name in names):
        raise _pickle(pickles[0])
    return [name for name in names if "/" not in name and name.endswith(_ENDINGS)]


def _pickle(name: str) -> UsageError:
    return UsageError(
        f"{name} is a pickle, which can run any code when it is opened; it is not read.",
        "Save the model as safetensors where you trust it: model.save_pretrained(folder).",
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the tracer's and the library's remarks from the terminal: what they warn of is compared in the end."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(before)
        logging.enable_progress_bar()


def _fill(part: Path, source: Path) -> float:
    """Write settings, tokenizer and towers; return the least cosine to PyTorch's vectors."""
    side = _write_settings(part, source)
    model, missing = _model(source)
    pixels = generator(0, "pixels of a conversion").normal(0, 1, (3, 3, *side)).astype(np.float32)
    towers = [image_tower(model, pixels, pooled=not missing)]
    if hasattr(model, "get_text_features"):
        towers.append(text_tower(model, _write_tokenizer(part, source, model.config)))
    return min(tower.write(part) for tower in towers)


def _write_settings(part: Path, source: Path) -> tuple[int, int]:
    """Write the preprocessing's settings and return the height and width of the input."""
    processor = _json(source / "processor_config.json")
    if (source / SETTINGS).is_file():
        shutil.copyfile(source / SETTINGS, part / SETTINGS)
    elif "image_processor" in processor:
        (part / SETTINGS).write_text(json.dumps(processor["image_processor"], indent=1), encoding="utf-8")
    else:
        raise EspalierError(
            f"{source} has no {SETTINGS}.", "Put the model's there; it has the size of the input, mean and std."
        )
    options = read_settings(part)
    size = (options.crop or options.resize) if options else None
    if not size:
        raise EspalierError(f"{source / SETTINGS} does not tell the size of the input.", "Set crop_size there.")
    return size[0], size[-1]


def _model(source: Path) -> tuple["PreTrainedModel", list[str]]:
    """Return the model in single precision and the weights that the checkpoint lacks."""
    from transformers import AutoModel

    try:
        model, loading = AutoModel.from_pretrained(
            source, use_safetensors=True, local_files_only=True, trust_remote_code=False, output_loading_info=True
        )
    except Exception as error:  # the library raises what its parts raise
        raise EspalierError(
            f"{source} is no checkpoint that transformers can read: {first_line(error)}",
            "Save it again with save_pretrained.",
        ) from None
    missing = sorted(loading["missing_keys"])
    lacking = [key for key in missing if not key.startswith("pooler.")]
    if lacking:
        raise EspalierError(
            f"{source} lacks {len(lacking)} of the model's weights, {lacking[0]} for one.", "Give a whole checkpoint."
        )
    return model.float().eval(), missing


def _write_tokenizer(part: Path, source: Path, config: "PretrainedConfig") -> Tokens:
    """Write the tokenizer with its length, which the text tower bounds."""
    if (source / TOKENIZER_FILE).is_file():
        shutil.copyfile(source / TOKENIZER_FILE, part / TOKENIZER_FILE)
    else:
        from transformers import AutoTokenizer

        try:
            made = AutoTokenizer.from_pretrained(source, local_files_only=True, trust_remote_code=False)
            made.backend_tokenizer.save(str(part / TOKENIZER_FILE))
        except Exception as error:
            raise EspalierError(
                f"{source} has no {TOKENIZER_FILE}, and none can be made: {first_line(error)[:200]}",
                f"Put the model's {TOKENIZER_FILE} there.",
            ) from None
    settings = _json(source / TOKENIZER_SETTINGS)
    length = int(config.text_config.max_position_embeddings)
    settings["model_max_length"] = min(length, int(settings.get("model_max_length", length)))
    (part / TOKENIZER_SETTINGS).write_text(json.dumps(settings, indent=1), encoding="utf-8")
    return read_tokens(part)


def _json(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
