"""Finds the writer of a format, before anything is written: which can be written from which, and the refusals."""

import difflib
import importlib

from espalier.core.errors import UsageError
from espalier.io.formats.write.base import Writer

_VOC_TASKS = ("classification", "detection", "segmentation", "instance_segmentation", "layout", "action")
VOC_FORMATS = ("voc", *(f"voc_{task}" for task in _VOC_TASKS))
_OWN = {
    "image_folder": "as_it_stands.write_image_folder",
    "webdataset": "webdataset.write_webdataset",
    "parquet": "tables.write_parquet",
    "hf_disk": "tables.write_saved_dataset",
    "list": "tables.write_list",
    "cvat": "as_it_stands.write_cvat",
    **dict.fromkeys(VOC_FORMATS, "as_it_stands.write_voc"),
}
_FROM_ANY = {
    "image_folder": "to_folders.fill_class_folders",
    "webdataset": "webdataset.pack_webdataset",
    "parquet": "to_tables.pack_parquet",
    "hf_disk": "to_tables.save_dataset",
    "csv": "to_folders.list_as_csv",
    "jsonl": "to_folders.list_as_jsonl",
}
_ALIASES = {"imagefolder": "jsonl", "list": "jsonl", "img2dataset": "parquet"}
_FOLDERS = ("imagenet", "image_dir", "imagenet_with_subset_dirs")


def writable() -> list[str]:
    """Return the names of all formats that any dataset can be written in, ours first."""
    from espalier.io.formats.write.datumaro_writer import exporters

    return [*_FROM_ANY, *(name for name in exporters() if name not in _FROM_ANY)]


def can_link(source: str, name: str) -> bool:
    """Tell whether a writer of :func:`choose_writer` leaves pictures files of their own, which could be linked."""
    own = name == source and (name in ("list", "cvat", "parquet") or name in VOC_FORMATS)
    return own or name in ("image_folder", "csv", "jsonl")


def choose_writer(source: str, asked: str = "") -> tuple[str, Writer]:
    """Return the name of the format that is written and its writer, by the reader's format and the one asked for.

    Nothing asked is the dataset's own. A format that is unknown or cannot be written is refused with those that can.
    """
    if not asked or asked == source or (source == "image_folder" and asked in _FOLDERS):
        name = source
    else:
        name = _ALIASES.get(asked, asked)
    place = _OWN.get(name) if name == source else _FROM_ANY.get(name)
    if place:
        module, function = place.split(".")
        return name, getattr(importlib.import_module(f"espalier.io.formats.write.{module}"), function)
    from espalier.io.formats.write.datumaro_writer import datumaro_writer, exporters

    if name in exporters():
        return name, datumaro_writer(name)
    from espalier.io.formats.read.detect import known_formats

    known = writable()
    near = difflib.get_close_matches(name, known, 3)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    what = f"The format {name} can be read and not written." if name in known_formats() else f"No format is {name!r}."
    raise UsageError(what, f"{hint}Choose with --format; known: {', '.join(known)}.")
