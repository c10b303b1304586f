"""What is checked before a long run, so that a mistake costs seconds and writes nothing."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espalier.cli.export_request import ExportRequest
from espalier.core.errors import EspalierError, UsageError
from espalier.io.formats.read.detect import check_format, open_reader
from espalier.io.home import Home
from espalier.io.landing.cards import Card
from espalier.io.landing.zone import LandingZone
from espalier.stages.options import StageOptions, parse_pairs

if TYPE_CHECKING:
    from espalier.io.encoders.encoder import Encoder


def stage_options(pairs: tuple[str, ...], models: Path) -> dict[str, Any]:
    """Read ``--option name=value`` texts and check them; a local model's path is made absolute, the model opened."""
    given = parse_pairs(pairs)
    if "encoder" in given:
        given["encoder"] = _absolute(given["encoder"], models)
    if given.get("embeddings"):
        from espalier.io.precomputed.embeddings import PrecomputedEmbeddings

        given["embeddings"] = str(PrecomputedEmbeddings.parse(given["embeddings"]).absolute())
    options = StageOptions.build(given)
    if options.encoder != "builtin":
        from espalier.io.encoders import EncoderSpec
        from espalier.io.encoders.names import resolve, stays_here

        if stays_here(resolve(EncoderSpec.parse(options.encoder), models)):  # opening it costs little
            _encoder(options, models)
    return given


def check_encoder(options: StageOptions, models: Path) -> None:
    """Open a model that is not built in; one from the web is fetched into ``models``, where added names are, too."""
    if options.encoder != "builtin":
        _encoder(options, models)


def check_scores(least: float | None, options: StageOptions, models: Path) -> None:
    """Refuse a recipe's ``min_clip_score`` before the chain runs, where no CLIP scores can come of it."""
    if least is None:
        return
    if options.embeddings:
        what = "The embeddings of this dataset were brought, and have no texts beside them"
    elif not _encoder(options, models).joint:
        from espalier.io.encoders import EncoderSpec

        what = f"The encoder {EncoderSpec.parse(options.encoder).model} cannot compare pictures with texts"
    else:
        return
    raise EspalierError(
        f"{what}, so that min_clip_score has nothing to go by.",
        "Take a two-tower encoder such as CLIP: --option encoder=FOLDER.",
    )


def _encoder(options: StageOptions, models: Path) -> "Encoder":
    from espalier.io.encoders import load_encoder

    return load_encoder(options.encoder, device=options.device, precision=options.precision, cache_dir=models)


def check_format_of(card: Card) -> None:
    """Refuse a card that names a format that there is not."""
    try:
        if card.format:
            check_format(card.format)
    except UsageError as error:
        raise UsageError(f"card of {card.name}: {error.what}", error.remedy) from error


def check_export(home: Home, dataset: str, wanted: ExportRequest) -> dict[str, Any]:
    """Refuse what cannot be written, before anything runs; return the stage's options."""
    from espalier.io.formats.write.choose import can_link, choose_writer
    from espalier.io.formats.write.place import check_source, check_target, own_folder

    card = home.zone().card(dataset)
    source = open_reader(card).format
    format_name, _ = choose_writer(source, wanted.format_name)
    if wanted.link and not can_link(source, format_name):
        raise UsageError(f"{format_name} holds no pictures that could be links.", "Use --copy.")
    if wanted.output and re.match(r"[a-z][a-z0-9+.-]+:/", str(wanted.output)):
        url = str(wanted.output).replace(":/", "://", 1)  # a path has lost one of them
        raise UsageError(f"{url} is a URL, and exports are folders on a disk.", "Export, then copy it there.")
    target = own_folder(card, format_name) if wanted.in_place else (wanted.output or Path()).expanduser().absolute()
    if not wanted.in_place:
        check_source(card, target)
    check_target(target, overwrite=wanted.overwrite)
    return {
        "export_to": str(target),
        "export_format": wanted.format_name,
        "export_mode": "link" if wanted.link else "copy",
        "export_overwrite": wanted.overwrite,
    }


def holds_texts(zone: LandingZone, target: str, name: str | None = None, format_name: str | None = None) -> bool:
    """Return whether a dataset, landed or about to be, is of texts without pictures, by its first samples."""
    card = zone.card(target) if target in zone.names() else zone.land(target, name, format_name, dry_run=True)
    first = next(open_reader(card).batches(64), [])
    return bool(first) and not any(sample.uri for sample in first)


def fit_of(card: Card) -> dict[str, Any]:
    """Return how the vectors that a card names fit its samples; reads ids, no pictures. None that fit are an error."""
    import pyarrow as pa

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
