"""Writes image folders: each kept picture at its own path below the root, copied or linked.

A class of which nothing is kept has no folder in the export: Datumaro and torchvision refuse empty ones.
"""

from pathlib import Path

from espalier.io.formats.write.base import Progress, Subset, Written, inside, put_file


def write_image_folder(subset: Subset, folder: Path, *, link: bool, progress: Progress) -> Written:
    """Put every kept picture at its sample id, which is its path; see ``espalier.io.formats.write.base.Writer``."""
    ids, uris = subset.rows["sample_id"].to_pylist(), subset.rows["uri"].to_pylist()
    for sample_id, uri in zip(ids, uris, strict=True):
        put_file(uri, inside(folder, sample_id), link=link)
        progress(1)
    return Written(dict(zip(ids, ids, strict=True)))
