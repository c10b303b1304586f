"""A dataset's options: what a card may set, with types, defaults and ranges in one place.

The declaration is pydantic's; messages and the page's config come of it. Not here: the card (``espalier.io.landing``).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from espalier.core.errors import UsageError
from espalier.core.names import RENAMED_OPTIONS, named_values
from espalier.io.landing.cards import Card, in_new_words


def _option(default: Any, description: str, **limits: Any) -> Any:
    return Field(default, description=description, **limits)


def _as_names(value: Any) -> Any:
    return tuple(value.split("+") if isinstance(value, str) else value) if isinstance(value, str | list) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_as_names)]


class StageOptions(BaseModel):
    """What a dataset's chain is made with; a card's ``options`` override these defaults."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    max_pixels: int = _option(178_956_970, "refuse images with more pixels (decompression bombs)", ge=1)
    near_threshold: float = _option(0.0, "similarity above which two images are copies, 0 = automatic", ge=0, le=1)
    near: Literal["fast", "standard"] = _option(
        "standard", "how near duplicates are found: fast by a grid of means, standard by layout, aligned and verified"
    )
    flips: bool = _option(False, "also drop mirrored copies within a subset; between subsets they are sought anyway")
    text_copies: bool = _option(
        True, "equal texts without a picture are copies; false where texts only caption pictures"
    )
    protect: Names = _option(("test", "val"), "subsets that never lose a sample to a duplicate")
    leaks: Literal["warn", "block"] = _option("warn", "what a picture in two subsets, or in a reference dataset, does")
    reference_datasets: Names = _option((), "datasets whose kept samples count as known: copies of them are dropped")
    encoder: str | dict[str, Any] = _option("builtin", "builtin, a model's path, or a mapping with its options")
    embeddings: str | dict[str, Any] = _option("", "vectors that you bring, in the place of an encoder's: a path")
    device: str = _option("CPU", "OpenVINO device")
    precision: Literal["f32", "bf16", "f16"] = _option("f32", "inference precision; f32 repeats everywhere")
    prompt: str = _option("a photo of a {}", "text made of a sample's labels for encoders that share images' space")
    eps: float = _option(0.05, "SemDeDup: drop above cosine 1 - eps", ge=0, le=2)
    rule: Literal["keep_one", "paper"] = _option("keep_one", "SemDeDup: compare with kept samples, or with all")
    which_to_keep: Literal["hard", "easy", "random"] = _option("hard", "SemDeDup: which of a group comes first")
    semantic_k: int = _option(0, "SemDeDup: number of fine clusters, 0 = automatic", ge=0)
    n_probe: int = _option(2, "SemDeDup: clusters that a sample is compared with, its own included", ge=1)
    k: int = _option(0, "number of clusters, 0 = automatic", ge=0)
    n_neighbors: int = _option(20, "nearest centroids that d_inter averages", ge=1)
    seed: int = _option(0, "seed of every random draw outside the recipes")
    quality_seeds: int = _option(3, "random subsets that a recipe is judged beside", ge=1, le=100)
    quality_rows: int = _option(10_000, "most samples that coverage and redundancy are measured on, 0 = all", ge=0)
    compare_methods: Names = _option((), "methods to compare, none = all")
    compare_ratios: Names = _option(("0.1", "0.3", "0.5"), "amounts to compare them at")
    compare_recipes: Names = _option((), "whole recipes to compare")
    raw_random: bool = _option(False, "compare with random over all files too, duplicates among them")
    export_to: str = _option("", "folder that a subset is written to, none = exports/ in the home")
    export_format: str = _option("", "format that a subset is written in, none = the dataset's own")
    export_mode: Literal["copy", "link"] = _option("copy", "how an export gets pictures that are files")
    export_overwrite: bool = _option(False, "let an export replace a folder that is not empty")
    keep: Names = _option((), "samples that a human keeps")
    drop: Names = _option((), "samples that a human drops")

    @classmethod
    def of_card(cls, card: Card) -> "StageOptions":
        """Return the options that a card sets, with its human verdicts."""
        own = {name: value for name in ("keep", "drop", "reference_datasets") if (value := getattr(card, name))}
        return cls.build({**card.options, **own}, where=f"card of {card.name}")

    @classmethod
    def build(cls, given: Mapping[str, Any], where: str = "options") -> "StageOptions":
        """Check ``given`` and fill in the defaults; an error names the option and what it takes."""
        given = in_new_words(given, where, RENAMED_OPTIONS)
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])
            if first["type"] == "extra_forbidden":
                known = f"Known: {', '.join(cls.model_fields)}."
                raise UsageError(f"{where}: there is no option {name!r}.", known) from None
            takes = f"It takes {cls.takes(name)}: {cls.model_fields[name].description}."
            raise UsageError(f"{where}: {name} is {given[name]!r}.", takes) from None

    @classmethod
    def takes(cls, name: str) -> str:
        """Say in words what an option takes, as its JSON schema has it."""
        schema = cls.model_json_schema()["properties"][name]
        if "enum" in schema:
            return " or ".join(schema["enum"])
        text = _IN_WORDS.get(schema.get("type"), "a text or a mapping")
        if "minimum" in schema:
            text += f" from {schema['minimum']:g}" + (f" to {schema['maximum']:g}" if "maximum" in schema else "")
        return text

    def override(self, given: Mapping[str, Any], where: str = "options") -> "StageOptions":
        """Return these options with ``given`` in the place of some."""
        return StageOptions.build({**self.model_dump(), **given}, where) if given else self

    def pick(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Return the named options as plain JSON values; files of a model or of vectors count with size and time."""
        plain = self.model_dump(mode="json", include=set(names))
        picked = {name: plain[name] for name in names}
        if "encoder" in picked:
            picked["encoder_files"] = _file_marks(self.encoder)
        if picked.get("embeddings"):
            from espalier.io.precomputed.embeddings import PrecomputedEmbeddings

            picked["embeddings_files"] = PrecomputedEmbeddings.parse(self.embeddings).marks()
        return picked


def in_full(options: StageOptions, models: Path) -> StageOptions:
    """Return options with the encoder's name replaced by what it stands for.

    So a name that was added anew for another model makes what the old one computed stale.
    """
    if options.encoder == "builtin":
        return options
    from espalier.io.encoders.names import resolve  # encoders take a while to import, and few datasets name one
    from espalier.io.encoders.spec import EncoderSpec

    spec = EncoderSpec.parse(options.encoder)
    meant = resolve(spec, models)
    return options if meant == spec else options.model_copy(update={"encoder": meant.plain()})


def parse_pairs(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Read ``name=value`` texts of the command line (values as YAML: numbers, true, [a, b])."""
    import yaml

    values: dict[str, Any] = {}
    texts = named_values(pairs, "{} is not name=value.", "The option {} is given twice.", "k=50", empty=True)
    for name, text in texts.items():
        try:
            values[name] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UsageError(
                f"The value in {f'{name}={text}'!r} cannot be read.", "Quote it, as in name='\"a: b\"'."
            ) from error
    return values


_IN_WORDS = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "a text",
    "array": "a list of names",
}


def _file_marks(encoder: str | Mapping) -> list[str]:
    """Tell the state of a local model's files, so that a replaced model is noticed; empty for other encoders."""
    from espalier.io.encoders.spec import EncoderSpec

    path = Path(EncoderSpec.parse(encoder).model).expanduser()
    files = [path, path.with_suffix(".bin")] if path.is_file() else sorted(path.glob("*"))
    return [f"{f.name}:{f.stat().st_size}:{f.stat().st_mtime_ns}" for f in files if f.is_file()]
