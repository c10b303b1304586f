"""What the user writes to name an encoder, parsed once.

Here live the grammar and the checks of names and values. Not here: opening the model (``espalier.io.encoders.model``).
A spec is ``builtin``, a path, ``hf:<repo>[@revision]`` or an ``https:`` address; options follow a ``#``
(``model.xml#output=embedding&mean=0.485,0.456,0.406``) or stand beside ``model`` in a mapping.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import quote, unquote

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from espalier.core.errors import UsageError

MODEL_SUFFIXES = (".xml", ".onnx", ".tflite")
_COLOURS = "three numbers, in the order red, green, blue"
_PIXELS = "a number of pixels, or height,width"
_NUMBER = "a number that is not negative"
_Layout = Literal["NCHW", "NHWC"]
_Order = Literal["RGB", "BGR"]
_Pool = Literal["cls", "mean"]
_Filter = Literal["nearest", "box", "bilinear", "bicubic", "lanczos"]
_SPELLED = {word.lower(): word for kind in (_Layout, _Order, _Pool, _Filter) for word in get_args(kind)}


class EncoderOptions(BaseModel):
    """Preprocessing and output of a model; None leaves it to the model's files or to the usual values.

    The fields' descriptions say what they take. ``layout`` is read off the model's input, ``color`` is RGB. ``mean``
    and ``std`` are in RGB order, of values after ``rescale`` (1/255), ImageNet's by default; ``normalise`` tells
    whether they are applied at all (vectors are brought to unit length always). ``resize`` is ``(s,)``, which brings
    the shorter side to s, or ``(h, w)``, which stretches; by default the crop over 0.875. ``crop`` is the size of the
    input where the model leaves it open, 224. ``tiny`` and ``reduce``: see ``espalier.io.encoders.geometry.Geometry``.
    ``output`` names the embedding among the outputs; ``pool`` tells how one vector a token becomes one. ``batch`` is
    images an inference, 1 by default, measured fastest on CPUs (MobileNetV2, f32 and bf16). ``sha256`` is expected of a
    downloaded model.
    """

    model_config = ConfigDict(frozen=True, coerce_numbers_to_str=True)

    layout: _Layout | None = Field(default=None, description="one of NCHW, NHWC")
    color: _Order | None = Field(default=None, description="one of RGB, BGR")
    mean: tuple[float, ...] | None = Field(default=None, min_length=3, max_length=3, description=_COLOURS)
    std: tuple[PositiveFloat, ...] | None = Field(default=None, min_length=3, max_length=3, description=_COLOURS)
    rescale: float | None = Field(default=None, ge=0, description=_NUMBER)
    normalise: bool | None = Field(default=None, description="true or false")
    resize: tuple[PositiveInt, ...] | None = Field(default=None, min_length=1, max_length=2, description=_PIXELS)
    crop: tuple[PositiveInt, ...] | None = Field(default=None, min_length=1, max_length=2, description=_PIXELS)
    filter: _Filter | None = Field(default=None, description=f"one of {', '.join(get_args(_Filter))}")
    tiny: int | None = Field(default=None, ge=0, description=_NUMBER)
    reduce: float | None = Field(default=None, ge=0, description=_NUMBER)
    output: str | None = Field(default=None, description="the name of an output")
    pool: _Pool | None = Field(default=None, description="one of cls, mean")
    batch: int | None = Field(default=None, ge=1, description=_NUMBER)
    sha256: str | None = Field(default=None, description="64 hexadecimal digits")

    @field_validator("layout", "color", "filter", "pool", mode="before")
    @classmethod
    def _spelled(cls, value: Any) -> Any:
        return _SPELLED.get(str(value).lower(), value)

    @field_validator("mean", "std", "resize", "crop", mode="before")
    @classmethod
    def _parts(cls, value: Any, field: ValidationInfo) -> Any:
        parts = value.replace("x", ",").split(",") if isinstance(value, str) else value
        if not isinstance(parts, list | tuple):
            return None if parts is None else cls._parts([parts], field)
        return parts * 3 if len(parts) == 1 and field.field_name in ("mean", "std") else parts

    @classmethod
    def parse(cls, given: Mapping[str, Any], model: str) -> "EncoderOptions":
        """Check the options of a model; None stands for what is left open."""
        unknown = sorted(set(given) - set(cls.model_fields))
        if unknown:
            raise UsageError(
                f"The encoder {model!r} has no option {', '.join(map(repr, unknown))}.",
                f"Known: {', '.join(cls.model_fields)}.",
            )
        try:
            return cls(**given)
        except ValidationError as wrong:
            name = str(wrong.errors()[0]["loc"][0])
            raise UsageError(
                f"{given[name]!r} is no value of the encoder's option {name!r}.",
                f"Use {cls.model_fields[name].description}.",
            ) from None

    def given(self) -> dict[str, Any]:
        """Return the options that were given."""
        return self.model_dump(exclude_none=True)

    def over(self, below: "EncoderOptions") -> "EncoderOptions":
        """Return these options, with those that are open taken from ``below``."""
        return below.model_copy(update=self.given())


@dataclass(frozen=True)
class EncoderSpec:
    """A parsed encoder spec.

    Attributes
    ----------
    model : str
        ``builtin``, a path, ``hf:...`` or ``https:...``.
    options : EncoderOptions
    """

    model: str
    options: EncoderOptions = field(default_factory=EncoderOptions)

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
        if model == "builtin" and given:
            raise UsageError("The builtin encoder has no options.", "Leave them out.")
        return cls(model, EncoderOptions.parse(given, model))

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
