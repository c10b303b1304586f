"""Every dataset format lands, is pruned at 0.5 and exported; what comes back is exactly what was kept.

An export of a format that Datumaro knows is imported again by Datumaro and compared item by item: ids, subsets,
every annotation with its geometry, attributes and label name, and the bytes of the pictures. WebDataset shards are
read by the webdataset package, Parquet by pyarrow. Planted faults are looked up in the ledger.

    python benchmarks/bench_formats.py --data DATA/formats [--only voc] [--to webdataset,parquet]

With --to, what is kept is also written in each of these formats and read again: labels, texts and bytes must be equal,
as far as the format holds them.
"""

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

warnings.filterwarnings("ignore")
FOLDERS = (
    "webdataset", "img2dataset/files", "img2dataset/parquet", "odd_images", "coco_dataset/*", "voc_dataset/*",
    "yolo_dataset/*", "imagenet_dataset", "imagenet_subsets_dataset", "imagenet_txt_dataset/*",
    "cvat_dataset/for_images/*", "cvat_dataset/for_video", "datumaro_dataset/legacy", "image_dir_dataset",
    "cifar10_dataset", "mnist_csv_dataset", "flickr8k_text/Flickr8k.token.txt", "url_list",
)  # fmt: skip
CARDS = {
    "cifar10_dataset": {"trust": True},
    "imagenet_txt_dataset/custom_labels": {"options": {"labels_file": "synsets-alt.txt"}},
}
FAULTS = {
    "000000007": "truncated JPEG",
    "000000023": "zero bytes",
    "000000050": "failed_to_download",
    "000000041": "unicode caption",
}


def main() -> int:
    """Run all folders and print the table; 1 when one of them differs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder of formats")
    parser.add_argument("--only", default="", help="only folders whose name holds this")
    parser.add_argument("--to", default="", help="also convert into these formats, with commas")
    parser.add_argument("--keep", type=Path, help="work here and leave everything")
    args = parser.parse_args()
    work = args.keep or Path(tempfile.mkdtemp(prefix="formats-"))
    os.environ["ESPALIER_HOME"] = str(work / "home")
    rows = []
    try:
        for pattern in FOLDERS:
            for folder in sorted(args.data.resolve().glob(pattern)):
                name = str(folder.relative_to(args.data.resolve()))
                if args.only in name:
                    rows.append(one(name, folder, work, [*filter(None, args.to.split(","))]))
                    print(*rows[-1], sep=" | ", flush=True)
    finally:
        if not args.keep:
            shutil.rmtree(work, ignore_errors=True)
    bad = [row for row in rows if "DIFFER" in row[-1]]
    print(f"\n{len(rows)} folders, {len(bad)} differ")
    return 1 if bad else 0


def one(name: str, folder: Path, work: Path, to: list[str]) -> tuple[str, ...]:
    """Land, prune, export, compare; return a row of the table."""
    from espalier.cli.export_request import ExportRequest
    from espalier.cli.launch import Launcher
    from espalier.cli.pruning import prune
    from espalier.core.errors import EspalierError
    from espalier.core.names import slugify
    from espalier.core.recipe import Recipe
    from espalier.io.formats.read.detect import detect_format, open_reader
    from espalier.io.home import Home
    from espalier.io.landing.cards import write_card
    from espalier.io.landing.zone import LandingZone

    home, slug, out = Home.find(), slugify(name.replace("/", "-").replace("_", "-")), work / "out" / name
    zone, about = LandingZone(home.landing), CARDS.get(name, {})
    try:
        card = zone.land(folder, slug, None, about.get("options"))
        if about.get("trust"):
            from dataclasses import replace

            card = replace(card, trust=True)
            write_card(zone.root / f"{slug}.yaml", card, is_folder=False)
        kind = detect_format(card.uri)
        with Launcher(home, bars=False) as launcher:
            summary = prune(launcher, slug, Recipe.parse("random@0.5"), wanted=ExportRequest(out))
    except EspalierError as error:
        return (name, "-", "-", "-", "-", f"refused: {error}")
    ids = home.store().need("pruned_manifest", slug, "random@0.5").arrow(["sample_id"], where="kept")
    kept = set(ids["sample_id"].to_pylist())
    reader = open_reader(card)
    verdict = compare(kind, reader, kept, out)
    if hasattr(reader, "items"):
        whole = out.with_name(out.name + "-whole")
        verdict += f"; unpruned: {compare(kind, reader, export_all(home, slug, card, kind, whole), whole)}"
    verdict += faults(home, slug) if name in ("webdataset", "img2dataset/files", "img2dataset/parquet") else ""
    for format_name in to:
        verdict += "; " + converted(home, slug, card, kind, format_name, work / "as" / format_name / name)
    n = summary["n_raw"], summary["n_unreadable"], summary["n_total"]
    return (name, kind, *map(str, n), f"{len(kept)} kept, {verdict}")


def export_all(home, slug: str, card, kind: str, out: Path) -> set[str]:
    """Export every readable sample, so that no annotation is left untried; return the ids."""
    from espalier.io.formats.write.base import Subset
    from espalier.io.formats.write.choose import choose_writer
    from espalier.io.formats.write.place import stage_export

    table = home.store().need("raw_dataset", slug)
    rows = table.arrow(["sample_id", "subset", "uri", "labels", "caption"], where="error IS NULL")
    subset = Subset(card, kind, rows)
    staged, _ = stage_export(subset, choose_writer(kind)[1], out, link=False, overwrite=True, progress=lambda _: None)
    staged.commit()
    return set(rows["sample_id"].to_pylist())


def converted(home, slug: str, card, kind: str, asked: str, out: Path) -> str:
    """Write every readable sample in another format, read it with our reader, and compare by the pictures' bytes."""
    from espalier.core.errors import EspalierError
    from espalier.io.files.blobs import read_bytes
    from espalier.io.formats.read.detect import open_reader
    from espalier.io.formats.write.base import Subset
    from espalier.io.formats.write.choose import choose_writer
    from espalier.io.formats.write.place import stage_export
    from espalier.io.landing.cards import Card

    table = home.store().need("raw_dataset", slug)
    rows = table.arrow(["sample_id", "subset", "uri", "labels", "caption", "uid"], where="error IS NULL")
    names = tuple(table.arrow(["name"], "categories")["name"].to_pylist())
    try:
        name, write = choose_writer(kind, asked)
        subset = Subset(card, kind, rows, 10_000, names)
        staged, done = stage_export(subset, write, out, link=False, overwrite=True, progress=lambda _: None)
    except EspalierError as error:
        return f"{asked}: refused ({error})"
    staged.commit()
    has_more = name in ("webdataset", "parquet", "hf_disk", "list", "csv", "jsonl")

    def facts_of(data: bytes, labels, caption) -> tuple:
        # A class folder holds one label, and no text.
        return hashlib.sha256(data).hexdigest(), tuple(labels)[: None if has_more else 1], has_more and (caption or "")

    def data_of(uri: str) -> bytes:
        return read_bytes(uri) if uri else b""

    texts = set(rows["uri"].to_pylist()) == {""}  # our reader takes a tar without pictures for a broken one
    samples = (s for batch in open_reader(Card("again", str(out))).batches(1000) for s in batch if texts or not s.error)
    found = Counter(facts_of(data_of(s.uri), s.labels, s.caption) for s in samples)
    wanted = Counter(facts_of(data_of(r["uri"]), r["labels"], r["caption"]) for r in rows.to_pylist())
    verdict = "equal" if found == wanted else f"DIFFERS ({len(wanted - found)} lost, {len(found - wanted)} more)"
    return f"{asked}: {found.total()} {verdict} {list(done.notes) or ''}"


def compare(kind: str, reader, kept: set[str], out: Path) -> str:
    """Say what of the export equals what was kept."""
    if kind == "webdataset":
        return compare_tars(reader, kept, out)
    if kind in ("parquet", "hf_disk"):
        return compare_tables(reader, kept, out)
    if kind in ("image_folder", "list"):
        return compare_folders(reader, kept, out)
    return compare_items(kind, dict(reader.items()), reader.dataset(), kept, out)


def verdict_of(wanted: dict, found: dict, what: str) -> str:
    """Compare two mappings of items."""
    if wanted == found:
        return f"equal: {what}"
    lost, extra = wanted.keys() - found.keys(), found.keys() - wanted.keys()
    other = sorted(k for k in wanted.keys() & found.keys() if wanted[k] != found[k])
    detail = f"{wanted[other[0]]} != {found[other[0]]}" if other else ""
    return f"DIFFERS: lost {sorted(lost)[:3]}, extra {sorted(extra)[:3]}, other {other[:3]} {detail}"[:1500]


def compare_items(kind: str, items: dict, whole, kept: set[str], out: Path) -> str:
    """Import the export by Datumaro and compare every annotation."""
    from datumaro import Dataset

    again = Dataset.import_from(str(out), kind)
    wanted = {(i.subset, i.id): facts(i, whole) for key, i in items.items() if key in kept}
    found = {(i.subset, i.id): facts(i, again) for i in again}
    n = sum(len(f["annotations"]) for f in wanted.values())
    before, after = ({k: f["annotations"] for k, f in one.items()} for one in (wanted, found))
    verdict = verdict_of(before, after, f"{len(wanted)} items, {n} annotations")
    if not verdict.startswith("equal"):
        return verdict
    same = sum(f["bytes"] == found[k]["bytes"] for k, f in wanted.items())
    pixels = sum(f["pixels"] == found[k]["pixels"] for k, f in wanted.items())
    return f"{verdict}; {same} of {len(wanted)} pictures the same bytes, {pixels} the same pixels"


def facts(item, dataset) -> dict:
    """What must come back of an item."""
    from datumaro.components.annotation import AnnotationType

    labels = dataset.categories().get(AnnotationType.label)
    names = [c.name for c in labels] if labels is not None else []
    path = getattr(item.media, "path", None)
    data = item.media.data
    return {
        "annotations": sorted((plain(a, names) for a in item.annotations), key=repr),
        "bytes": hashlib.sha256(Path(path).read_bytes()).hexdigest() if path and Path(path).is_file() else None,
        "pixels": None if data is None else hashlib.sha256(data.tobytes()).hexdigest(),
    }


def plain(annotation, names: list[str]) -> tuple:
    """An annotation as values; labels by name, numbers to two digits as the text formats write them."""
    import attr
    import numpy as np

    found = []
    for field in attr.fields(type(annotation)):
        name = field.name.lstrip("_")
        if name in ("id", "group", "z_order", "object_id"):
            continue
        value = getattr(annotation, name)
        value = value() if callable(value) else value
        if name == "label" and value is not None and value < len(names):
            value = names[value]
        if isinstance(value, np.ndarray):
            value = (value.shape, hashlib.sha256(np.ascontiguousarray(value).astype(np.float32).tobytes()).hexdigest())
        if isinstance(value, (list, tuple)) and value and isinstance(value[0], float):
            value = tuple(round(v, 2) for v in value)
        if isinstance(value, dict):
            value = tuple(sorted((k, repr(v)) for k, v in value.items()))
        found.append((name, repr(value)))
    return type(annotation).__name__, *sorted(found)


def compare_folders(reader, kept: set[str], out: Path) -> str:
    """Import an image folder by Datumaro where it has classes, and compare paths and bytes."""
    source = Path(reader.uri)

    def files(root: Path) -> dict[str, str]:
        paths = [p for p in root.rglob("*") if p.is_file()]
        return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}

    wanted = {k: v for k, v in files(source).items() if k in kept}
    verdict = verdict_of(wanted, files(out), f"{len(wanted)} files with their bytes")
    if verdict.startswith("equal") and reader.categories():
        from datumaro import Dataset

        # Datumaro merges subsets only when they have the same classes, which pruning may change.
        subsets = [s for s in ("train", "val", "test") if (source / s).is_dir()] or [""]

        def items(root: Path) -> dict:
            loaded = {}
            for place in (root / s for s in subsets if (root / s).is_dir()):
                found = Dataset.import_from(str(place), "imagenet")
                loaded |= {
                    str(Path(i.media.path).relative_to(root)): facts(i, found)["annotations"]
                    for i in found
                    if i.media.path
                }
            return loaded

        before, after = items(source), items(out)
        again = verdict_of({k: before[k] for k in kept & before.keys()}, after, f"{len(after)} items as imagenet")
        verdict += f"; {again}"
    return verdict


def compare_tars(reader, kept: set[str], out: Path) -> str:
    """Load source and export by the webdataset package, and the source through the trie."""
    import webdataset

    from espalier.manifest import Manifest

    def load(root: Path, keep=lambda _: True) -> dict:
        urls = sorted(map(str, root.rglob("*.tar")))
        samples = webdataset.WebDataset(urls, shardshuffle=False).select(keep)
        return {s["__key__"]: {k: v for k, v in s.items() if not k.startswith("__")} for s in samples}

    source = load(Path(reader.uri))
    wanted = {key: source[key] for key in kept}
    verdict = verdict_of(wanted, load(out), f"{len(wanted)} samples with all members")
    slug = "webdataset"
    manifest = Manifest.load(Path(os.environ["ESPALIER_HOME"]) / "manifests" / slug / "random@0.5")
    through = load(Path(reader.uri), manifest.filter_webdataset())
    sizes = Counter()
    for path in sorted(out.rglob("*.tar")):
        sizes[path.name] = len(list(webdataset.WebDataset([str(path)], shardshuffle=False)))
    return f"{verdict}; trie: {verdict_of(wanted, through, f'{len(through)} samples')}; shards {dict(sizes)}"


def compare_tables(reader, kept: set[str], out: Path) -> str:
    """Compare rows by pyarrow, and pictures beside tables by their bytes."""
    import pyarrow.parquet as pq

    from espalier.io.files.blobs import read_bytes
    from espalier.io.formats.read.detect import open_reader
    from espalier.io.landing.cards import Card

    again = open_reader(Card("again", str(out), reader.format))

    def samples(one) -> dict:
        found = {s.sample_id: s for batch in one.batches(1000) for s in batch}
        return {k: (s.subset, s.labels, s.caption, s.uid, s.uri and hashlib.sha256(read_bytes(s.uri)).hexdigest())
                for k, s in found.items() if s.error is None}  # fmt: skip

    before = samples(reader)
    root, numbered = Path(reader.uri), not all(k in samples(again) for k in kept)
    wanted, found = {k: before[k] for k in kept}, samples(again)
    if numbered:  # ids are row numbers, which an export starts anew
        wanted, found = ({i: v for i, (_, v) in enumerate(sorted(d.items()))} for d in (wanted, found))
    rows = {p.name: pq.ParquetFile(p).metadata for p in sorted(out.rglob("*.parquet"))}
    columns = [pq.read_schema(p).names for p in sorted(root.rglob("*.parquet"))][:1]
    same = all(m.schema.to_arrow_schema().names == columns[0] for m in rows.values())
    shape = {n: (m.num_rows, m.num_row_groups) for n, m in rows.items()}
    return f"{verdict_of(wanted, found, f'{len(wanted)} rows')}; columns {'kept' if same else 'DIFFER'}; rows {shape}"


def faults(home, slug: str) -> str:
    """Say what the ledger has of each planted fault."""
    table = home.store().need("raw_dataset", slug).arrow(["sample_id", "error", "caption"]).to_pylist()
    rows = {row["sample_id"]: row for row in table}
    said = []
    for key, what in FAULTS.items():
        if key in rows:
            text = rows[key]["error"] or f"caption {rows[key]['caption']!r}"
            said.append(f"{what}: {text[:60]}")
    return "; faults: " + ", ".join(said)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    sys.exit(main())
