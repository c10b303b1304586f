"""What is checked before a long run, so that a mistake costs seconds and writes nothing."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from espalier.core.errors import EspalierError, UsageError
from espalier.io.home import Home
from espalier.io.landing.cards import Card
from espalier.io.landing.zone import LandingZone
from espalier.stages.options import StageOptions, parse_pairs


def stage_options(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Read ``--option name=value`` texts and check them; a local model's path is made absolute, the model opened."""
    given = parse_pairs(pairs)
    models = Home.find().models
    if "encoder" in given:
        given["encoder"] = _absolute(given["encoder"], models)
    if given.get("embeddings"):
        from espalier.io.precomputed.embeddings import PrecomputedEmbeddings

        given["embeddings"] = str(PrecomputedEmbeddings.parse(given["embeddings"]).absolute())
    options = StageOptions.build(given)
    if _is_local(options, models):
        check_encoder(options, models)
    return given


def check_encoder(options: StageOptions, cache: Path | None = None) -> None:
    """Open a model that is not built in; one from the web is fetched into ``cache``, where added names are, too.

    Raises
    ------
    EspalierError
        When there is no such model, or it is none.
    """
    if options.encoder == "builtin":
        return
    from espalier.io.encoders import load_encoder

    load_encoder(options.encoder, device=options.device, precision=options.precision, cache_dir=cache)


def check_scores(least: float | None, options: StageOptions, cache: Path | None = None) -> None:
    """Refuse a recipe's ``min_clip_score`` before the chain runs, where no CLIP scores can come of it.

    Raises
    ------
    EspalierError
        When the vectors are brought, or the encoder does not have pictures and texts in one space.
    """
    if least is None:
        return
    from espalier.io.encoders import load_encoder

    if options.embeddings:
        what = "The embeddings of this dataset were brought, and have no texts beside them"
    elif not load_encoder(options.encoder, device=options.device, precision=options.precision, cache_dir=cache).joint:
        what = f"The encoder {_spec_of(options)} cannot compare pictures with texts"
    else:
        return
    raise EspalierError(
        f"{what}, so that min_clip_score has nothing to go by.",
        "Take a two-tower encoder such as CLIP: --option encoder=FOLDER.",
    )


def _is_local(options: StageOptions, models: Path) -> bool:
    """Tell whether an encoder is a model on this machine, so that opening it costs little."""
    if options.encoder == "builtin":
        return False
    from espalier.io.encoders import EncoderSpec
    from espalier.io.encoders.names import resolve, stays_here

    return stays_here(resolve(EncoderSpec.parse(options.encoder), models))


def _spec_of(options: StageOptions) -> str:
    from espalier.io.encoders import EncoderSpec

    return EncoderSpec.parse(options.encoder).model


def check_format_of(card: Card) -> None:
    """Refuse a card that names a format that there is not."""
    from espalier.io.formats.read.detect import check_format

    try:
        if card.format:
            check_format(card.format)
    except UsageError as error:
        raise UsageError(f"card of {card.name}: {error.what}", error.remedy) from error


def land(
    zone: LandingZone,
    path: str,
    name: str | None,
    format_name: str | None,
    options: dict[str, Any],
    tell: Callable[[dict[str, Any]], object] = lambda _: None,
) -> Card:
    """Land a path, unless it is an empty folder or vectors that are brought do not fit; ``tell`` takes how they fit."""
    from espalier.io.files.listing import walk

    local = Path(path).expanduser()
    if local.is_dir() and next(walk(str(local.absolute())), None) is None:
        raise EspalierError(f"{local} holds no file.", "Point to the folder that holds the pictures.")
    if options.get("embeddings"):
        tell(_fit(zone.land(path, name, format_name, options=options, dry_run=True)))
    return zone.land(path, name, format_name, options=options)


def holds_texts(zone: LandingZone, target: str, name: str | None = None, format_name: str | None = None) -> bool:
    """Return whether a dataset, landed or about to be, is of texts without pictures, by its first samples."""
    from espalier.io.formats.read.detect import open_reader

    card = zone.card(target) if target in zone.names() else zone.land(target, name, format_name, dry_run=True)
    first = next(open_reader(card).batches(64), [])
    return bool(first) and not any(sample.uri for sample in first)


def _fit(card: Card) -> dict[str, Any]:
    """Return how the vectors that a card names fit its samples; reads ids, no pictures.

    Raises
    ------
    EspalierError
        When there are no vectors, their ids and numbers disagree, or no id is one of a sample.
    """
    import pyarrow as pa

    from espalier.io.formats.read.detect import open_reader
    from espalier.io.precomputed.embeddings import PrecomputedEmbeddings

    precomputed = PrecomputedEmbeddings.parse(card.options["embeddings"])
    ids, uids = [], []
    for batch in open_reader(card).batches(4096):
        ids += [sample.sample_id for sample in batch]
        uids += [sample.uid for sample in batch]
    fit = precomputed.align(pa.array(ids, pa.string()), pa.array(uids, pa.string()))
    return {"dim": precomputed.dim, **fit.describe()}


def _absolute(encoder: object, models: Path) -> object:
    """Return an encoder's spec with a local model's path absolute: runs start in other folders. Names stay."""
    if isinstance(encoder, Mapping):
        return {**encoder, "model": _absolute(encoder["model"], models)} if "model" in encoder else encoder
    if not isinstance(encoder, str) or encoder == "builtin":
        return encoder
    from espalier.io.encoders.names import is_name

    model, mark, options = encoder.partition("#")
    path = Path(model).expanduser()
    is_path = model and not model.startswith(("hf:", "http:", "https:")) and not is_name(model, models)
    # A word that is nothing here is most likely a name with a slip in it, and is refused as one.
    return f"{path.absolute()}{mark}{options}" if is_path and (path.exists() or path.name != model) else encoder
