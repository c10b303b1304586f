"""A dataset's options: what a card may set, with types, defaults and ranges in one place."""

import dataclasses
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from espalier.core.errors import UsageError
from espalier.core.names import named_values
from espalier.io.landing.cards import Card


def _option(default: Any, text: str, low: float | None = None, high: float | None = None) -> Any:
    return dataclasses.field(default=default, metadata={"help": text, "low": low, "high": high})


@dataclass(frozen=True)
class Options:
    """What a dataset's chain is made with; a card's ``options`` override these defaults."""

    max_pixels: int = _option(178_956_970, "refuse images with more pixels (decompression bombs)", 1)
    near_threshold: float = _option(0.0, "similarity above which two images are copies, 0 = automatic", 0, 1)
    flips: bool = _option(False, "also match mirrored copies")
    text_copies: bool = _option(
        True, "equal texts without a picture are copies; false where texts only caption pictures"
    )
    protect: tuple[str, ...] = _option(("test", "val"), "subsets that never lose a sample to a duplicate")
    leaks: Literal["warn", "block"] = _option("warn", "what a picture in two subsets, or in a dataset of against, does")
    against: tuple[str, ...] = _option((), "datasets whose kept samples count as known: copies of them are dropped")
    encoder: str | Mapping = _option("builtin", "builtin, a model's path, or a mapping with its options")
    embeddings: str | Mapping = _option("", "vectors that you bring, in the place of an encoder's: a path")
    device: str = _option("CPU", "OpenVINO device")
    precision: Literal["f32", "bf16", "f16"] = _option("f32", "inference precision; f32 repeats everywhere")
    prompt: str = _option("a photo of a {}", "text made of a sample's labels for encoders that share images' space")
    eps: float = _option(0.05, "SemDeDup: drop above cosine 1 - eps", 0, 2)
    rule: Literal["keep_one", "paper"] = _option("keep_one", "SemDeDup: compare with kept samples, or with all")
    rank: Literal["hard", "easy", "random"] = _option("hard", "SemDeDup: which of a group comes first")
    semantic_k: int = _option(0, "SemDeDup: number of fine clusters, 0 = automatic", 0)
    n_probe: int = _option(2, "SemDeDup: clusters that a sample is compared with, its own included", 1)
    k: int = _option(0, "number of clusters, 0 = automatic", 0)
    n_neighbors: int = _option(20, "nearest centroids that d_inter averages", 1)
    seed: int = _option(0, "seed of every random draw outside the recipes")
    quality_seeds: int = _option(3, "random subsets that a recipe is judged beside", 1, 100)
    quality_rows: int = _option(10_000, "most samples that coverage and redundancy are measured on, 0 = all", 0)
    compare_methods: tuple[str, ...] = _option((), "methods to compare, none = all")
    compare_ratios: tuple[str, ...] = _option(("0.1", "0.3", "0.5"), "amounts to compare them at")
    compare_recipes: tuple[str, ...] = _option((), "whole recipes to compare")
    raw_random: bool = _option(False, "compare with random over all files too, duplicates among them")
    export_to: str = _option("", "folder that a subset is written to, none = exports/ in the home")
    export_format: str = _option("", "format that a subset is written in, none = the dataset's own")
    export_mode: Literal["copy", "link"] = _option("copy", "how an export gets pictures that are files")
    export_overwrite: bool = _option(False, "let an export replace a folder that is not empty")
    keep: tuple[str, ...] = _option((), "samples that a human keeps")
    drop: tuple[str, ...] = _option((), "samples that a human drops")

    @classmethod
    def of_card(cls, card: Card) -> "Options":
        """Return the options that a card sets, with its human verdicts."""
        given = {**card.chain, "keep": card.keep, "drop": card.drop, "against": card.against}
        return cls.build(given, where=f"card of {card.name}")

    @classmethod
    def build(cls, given: Mapping[str, Any], where: str = "options") -> "Options":
        """Check ``given`` and fill in the defaults.

        Raises
        ------
        UsageError
            For an unknown option, a wrong type or a value out of range; names the option and what it takes.
        """
        hints = get_type_hints(cls)
        fields = {f.name: f for f in dataclasses.fields(cls)}
        values = {}
        for name, value in given.items():
            if name not in fields:
                raise UsageError(f"{where}: there is no option {name!r}.", f"Known: {', '.join(fields)}.")
            values[name] = _checked(where, name, value, hints[name], fields[name].metadata)
        return cls(**values)

    def override(self, given: Mapping[str, Any], where: str = "options") -> "Options":
        """Return these options with ``given`` in the place of some."""
        return Options.build({**dataclasses.asdict(self), **given}, where) if given else self

    def pick(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Return the named options as plain JSON values; files of a model or of vectors count with size and time."""
        picked = {n: _plain(getattr(self, n)) for n in names}
        if "encoder" in picked:
            picked["encoder_files"] = _file_marks(self.encoder)
        if picked.get("embeddings"):
            from espalier.io.precomputed.spec import Brought

            picked["embeddings_files"] = Brought.parse(self.embeddings).marks()
        return picked


def in_full(options: Options, models: Path) -> Options:
    """Return options with the encoder's name replaced by what it stands for.

    So a name that was added anew for another model makes what the old one computed stale.
    """
    if options.encoder == "builtin":
        return options
    from espalier.io.encoders.names import resolve  # encoders take a while to import, and few datasets name one
    from espalier.io.encoders.spec import EncoderSpec

    spec = EncoderSpec.parse(options.encoder)
    meant = resolve(spec, models)
    return options if meant == spec else dataclasses.replace(options, encoder=meant.plain())


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


def _checked(where: str, name: str, value: Any, kind: Any, limits: Mapping[str, Any]) -> Any:
    wrong = UsageError(f"{where}: {name} is {value!r}.", f"It takes {_words(kind, limits)}: {limits['help']}.")
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise wrong
        return value
    if get_origin(kind) is tuple:
        items = value.split("+") if isinstance(value, str) else value
        if not isinstance(items, list | tuple) or not all(isinstance(i, str) for i in items):
            raise wrong
        return tuple(items)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    allowed = get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        raise wrong
    if limits["low"] is not None and not value >= limits["low"]:  # nan is in no range
        raise wrong
    if limits["high"] is not None and not value <= limits["high"]:
        raise wrong
    return value


def _words(kind: Any, limits: Mapping[str, Any]) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(get_args(kind))
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    text = names.get(kind, "a list of names" if get_origin(kind) is tuple else "a text or a mapping")
    if limits["low"] is not None:
        text += f" from {limits['low']:g}" + (f" to {limits['high']:g}" if limits["high"] is not None else "")
    return text


def _file_marks(encoder: str | Mapping) -> list[str]:
    """Tell the state of a local model's files, so that a replaced model is noticed; empty for other encoders."""
    from espalier.io.encoders.spec import EncoderSpec

    path = Path(EncoderSpec.parse(encoder).model).expanduser()
    files = [path, path.with_suffix(".bin")] if path.is_file() else sorted(path.glob("*"))
    return [f"{f.name}:{f.stat().st_size}:{f.stat().st_mtime_ns}" for f in files if f.is_file()]


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value
