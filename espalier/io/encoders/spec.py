"""What the user writes to name an encoder, parsed once.

Here live the grammar and the checks of names and values. Not here: opening the model (``espalier.io.encoders.model``).
A spec is ``builtin``, a path, ``hf:<repo>[@revision]`` or an ``https:`` address; options follow a ``#``
(``model.xml#output=embedding&mean=0.485,0.456,0.406``) or stand beside ``model`` in a mapping.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote, unquote

from espalier.core.errors import UsageError
from espalier.io.encoders.geometry import FILTERS

MODEL_SUFFIXES = (".xml", ".onnx", ".tflite")
_SIZES = ("resize", "crop")
_TRIPLES = ("mean", "std")
_FLAGS = ("normalise",)
_INTS = ("batch", "tiny")
_FLOATS = ("rescale", "reduce")
_CHOICES = {
    "layout": ("NCHW", "NHWC"),
    "color": ("RGB", "BGR"),
    "filter": tuple(FILTERS),
    "pool": ("cls", "mean"),
}


@dataclass(frozen=True)
class Options:
    """Preprocessing and output of a model; None leaves it to the model's files or to the usual values.

    Attributes
    ----------
    layout : {"NCHW", "NHWC"}
        Order of the model's input; by default read off its shape.
    color : {"RGB", "BGR"}
        RGB by default.
    mean, std : tuple of 3 floats
        In RGB order, of values after ``rescale``; ImageNet's by default.
    rescale : float
        Factor of the 8-bit values; 1/255 by default.
    normalise : bool
        Whether mean and std are applied at all (True by default). Vectors are brought to unit length always.
    resize : tuple of ints
        ``(s,)`` brings the shorter side to s, ``(h, w)`` stretches; by default the crop over 0.875.
    crop : tuple of ints
        Size of the input where the model leaves it open; 224 by default.
    filter : str
        ``bilinear`` by default.
    tiny, reduce : int, float
        See ``espalier.io.encoders.geometry.Geometry``.
    output : str
        Name of the model's output that is the embedding.
    pool : {"cls", "mean"}
        How an output of one vector a token becomes one.
    batch : int
        Images an inference; 1 by default, measured fastest on CPUs (MobileNetV2, f32 and bf16).
    sha256 : str
        Expected content of a downloaded model.
    """

    layout: str | None = None
    color: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    rescale: float | None = None
    normalise: bool | None = None
    resize: tuple[int, ...] | None = None
    crop: tuple[int, ...] | None = None
    filter: str | None = None
    tiny: int | None = None
    reduce: float | None = None
    output: str | None = None
    pool: str | None = None
    batch: int | None = None
    sha256: str | None = None

    def given(self) -> dict[str, Any]:
        """Return the options that were given."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def over(self, below: "Options") -> "Options":
        """Return these options, with those that are open taken from ``below``."""
        return replace(below, **self.given())


@dataclass(frozen=True)
class EncoderSpec:
    """A parsed encoder spec.

    Attributes
    ----------
    model : str
        ``builtin``, a path, ``hf:...`` or ``https:...``.
    options : Options
    """

    model: str
    options: Options = Options()

    @classmethod
    def parse(cls, value: "str | Mapping[str, Any] | EncoderSpec", root: Path | None = None) -> "EncoderSpec":
        """Parse a string or a mapping with the key ``model`` and any option.

        Parameters
        ----------
        value : str, mapping or EncoderSpec
        root : Path, optional
            What a relative path is relative to; the working directory by default.

        Raises
        ------
        UsageError
            For an unknown option or a value that is none.
        """
        if isinstance(value, EncoderSpec):
            return value
        if isinstance(value, str):
            model, _, fragment = value.strip().partition("#")
            pairs = [piece.partition("=") for piece in fragment.split("&") if piece]
            given: dict[str, Any] = {unquote(name): unquote(text) for name, _, text in pairs}
        else:
            given = dict(value)
            model = str(given.pop("model", "")).strip()
        if not model:
            raise UsageError("The encoder has no model.", "Write 'builtin', a path, hf:<repo> or https://...")
        if root is not None and model != "builtin" and not model.startswith(("hf:", "https:", "http:")):
            model = str(root / model)
        return cls(model, _options(given, model))

    def __str__(self) -> str:
        """Return the canonical string; it is parsed to the same spec, unless the model's path has a ``#``."""
        given = self.options.given()
        return self.model + ("#" if given else "") + "&".join(f"{k}={_text(v)}" for k, v in given.items())

    def plain(self) -> str | dict[str, Any]:
        """Return plain values that are parsed to the same spec: the canonical string where that will do."""
        return str(self) if "#" not in self.model else {"model": self.model, **self.options.given()}


def _text(value: Any) -> str:
    text = ",".join(map(repr, value)) if isinstance(value, tuple) else str(value)
    return quote(text, safe=",:/ ")


def _options(given: dict[str, Any], model: str) -> Options:
    known = [field.name for field in fields(Options)]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise UsageError(
            f"The encoder {model!r} has no option {', '.join(map(repr, unknown))}.", f"Known: {', '.join(known)}."
        )
    if model == "builtin" and given:
        raise UsageError("The builtin encoder has no options.", "Leave them out.")
    return Options(**{name: _value(name, value) for name, value in given.items() if value is not None})


def _value(name: str, value: Any) -> Any:
    """Turn one option's text or YAML value into its type."""
    try:
        return _typed(name, value)
    except (TypeError, ValueError):
        raise UsageError(f"{value!r} is no value of the encoder's option {name!r}.", _remedy(name)) from None


def _typed(name: str, value: Any) -> Any:
    if name in _CHOICES:
        match = [choice for choice in _CHOICES[name] if choice.lower() == str(value).lower()]
        return match[0] if match else _refuse()
    if name in _FLAGS:
        flags = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        return flags.get(str(value).lower(), None) if str(value).lower() in flags else _refuse()
    if name in _TRIPLES:
        triple = tuple(float(part) for part in _parts(value))
        triple = triple * 3 if len(triple) == 1 else triple
        return triple if len(triple) == 3 and (name == "mean" or min(triple) > 0) else _refuse()
    if name in _SIZES:
        size = tuple(int(part) for part in _parts(value))
        return size if len(size) in (1, 2) and min(size) > 0 else _refuse()
    if name in _INTS:
        number = int(value)
        return number if number >= (name == "batch") else _refuse()
    if name in _FLOATS:
        return float(value) if float(value) >= 0 else _refuse()
    return str(value)


def _parts(value: Any) -> list[Any]:
    if isinstance(value, str):
        return value.replace("x", ",").split(",")
    return list(value) if isinstance(value, list | tuple) else [value]


def _refuse() -> NoReturn:
    raise ValueError


def _remedy(name: str) -> str:
    if name in _CHOICES:
        return f"Use one of {', '.join(_CHOICES[name])}."
    if name in _TRIPLES:
        return "Use three numbers, in the order red, green, blue."
    if name in _SIZES:
        return "Use a number of pixels, or height,width."
    return "Use true or false." if name in _FLAGS else "Use a number that is not negative."
