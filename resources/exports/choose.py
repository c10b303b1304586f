"""Finds the writer of a format, before anything is written.

What belongs here: which formats can be written from which, and the words of refusal. What does not: writing.
"""

import difflib
import importlib

from espalier.errors import UsageError
from resources.exports.base import Writer
from resources.exports.voc import NAMES
from resources.formats.detect import check_format

_OWN = {
    "image_folder": ("resources.exports.image_folder", "write_image_folder"),
    "webdataset": ("resources.exports.webdataset", "write_webdataset"),
    "parquet": ("resources.exports.tables", "write_parquet"),
    "hf_disk": ("resources.exports.tables", "write_saved_dataset"),
    "list": ("resources.exports.lists", "write_list"),
    "cvat": ("resources.exports.cvat", "write_cvat"),
    **dict.fromkeys(NAMES, ("resources.exports.voc", "write_voc")),
}


def choose_writer(source: str, asked: str = "") -> tuple[str, Writer]:
    """Return the name of the format that is written and its writer.

    Parameters
    ----------
    source : str
        The reader's format.
    asked : str
        What the user asked for; '' for the dataset's own.

    Raises
    ------
    UsageError
        When that format is unknown, or cannot be written from this source; says which can.
    """
    name = _own_name(asked) if asked else source
    if name in _OWN and name == source:
        module, function = _OWN[name]
        return name, getattr(importlib.import_module(module), function)
    from resources.exports.datumaro_writer import datumaro_writer, exporters

    name = asked or source
    known = exporters()
    listed = f"Known: {', '.join(known)}."
    if name in known:
        return name, datumaro_writer(name)
    if name in _OWN:
        raise UsageError(
            f"A dataset in the format {source} cannot be written as {name}.", f"Known: {', '.join(known)}."
        )
    near = difflib.get_close_matches(name, known, 3)
    remedy = f"Choose another with --format, for example {' or '.join(near)}." if near else listed
    raise UsageError(f"The format {name} can be read and not written.", remedy)


def _own_name(name: str) -> str:
    try:
        return check_format(name)
    except UsageError:
        return name  # some formats can only be written
