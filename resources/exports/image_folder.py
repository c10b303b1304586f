"""Writes image folders: each kept picture at its own path below the root, copied or linked.

The folder of a class of which nothing is kept stays, empty: programs number classes by the folders that they find,
and the numbers of the others must not change, nor differ between subsets.
"""

from pathlib import Path

from resources.exports.base import Progress, Subset, inside, put_file
from resources.formats.image_folder import find_subsets
from resources.listing import folders


def write_image_folder(subset: Subset, folder: Path, *, link: bool, progress: Progress) -> dict[str, str]:
    """Put every kept picture at its sample id, which is its path; see ``resources.exports.base.Writer``."""
    for name in _class_folders(subset):
        inside(folder, name).mkdir(exist_ok=True)
    ids, uris = subset.rows["sample_id"].to_pylist(), subset.rows["uri"].to_pylist()
    for sample_id, uri in zip(ids, uris, strict=True):
        put_file(uri, inside(folder, sample_id), link=link)
        progress(1)
    return dict(zip(ids, ids, strict=True))


def _class_folders(subset: Subset) -> list[str]:
    """Return the class folders of the source, in subsets of which something is kept."""
    root = subset.card.uri.rstrip("/")
    named = subset.card.options.get("subsets")
    subsets = find_subsets(root) if named is None else frozenset(named)
    begun = {name.split("/", 1)[0] for name in subset.rows["sample_id"].to_pylist()}
    found = folders(root)
    classes = [name for name in found if name not in subsets]
    for name in sorted(subsets & begun):
        classes += [f"{name}/{below}" for below in folders(f"{root}/{name}")]
    return classes
