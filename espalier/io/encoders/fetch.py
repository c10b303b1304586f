"""From a spec's model to a path on this machine: what is local stays, the rest is downloaded once.

Here live ``hf:<repo>[@revision]`` (huggingface_hub: its cache serves without a network), ``https:`` (resumed
where it broke off, checked against a SHA-256, put in place whole) and the catalogue's bundles of files. No checksums
of those are published; the ones of the first download are kept beside the files, in ``sha256.json``.
"""

import fcntl
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from espalier.core.errors import EspalierError, UsageError
from espalier.io.atomic import put
from espalier.io.encoders.catalogue import CATALOGUE, Bundle, catalogue_entry
from espalier.io.encoders.folder import is_encoder, wanted_files
from espalier.io.encoders.spec import MODEL_SUFFIXES, EncoderSpec
from espalier.io.encoders.tokens import TOKENIZER_FILE

TIMEOUT_S = 30.0
_BLOCK = 1 << 20
Wanted = Callable[[list[str]], list[str]]
_COMMIT = re.compile("[0-9a-f]{40}")
_DOWNLOADS, _BUNDLES = "downloads", "catalogue"


def fetch(spec: EncoderSpec, folder: Path | None) -> Path:
    """Return where the model is, downloading it into ``folder`` (the hub's models have a cache of their own).

    ``spec`` is no name that a user added; see ``espalier.io.encoders.names.resolve``.
    """
    if spec.model.startswith("hf:"):
        return snapshot(spec.model, _of_encoder(spec.model))
    if spec.model.startswith("http:"):
        raise UsageError(f"{spec.model} is not encrypted.", "Use https:, or download it yourself.")
    if spec.model.startswith("https:"):
        return _from_web(spec, folder)
    entry = catalogue_entry(spec.model)
    if entry is not None and entry.bundle is not None:
        return _bundle(entry.name, entry.bundle, folder)
    return _local(spec.model)


def here(spec: EncoderSpec, folder: Path) -> Path | None:
    """Return where a model is when nothing has to be downloaded, else None."""
    if spec.model.startswith("hf:"):
        return _cached(spec.model, _of_encoder(spec.model))
    if spec.model.startswith("https:"):
        place = web_place(spec, folder)
        return place if place is not None and place.is_file() else None
    entry = catalogue_entry(spec.model)
    place = folder / _BUNDLES / entry.name if entry is not None and entry.bundle is not None else Path(spec.model)
    return place if place.expanduser().exists() else None


def downloaded(folder: Path) -> list[tuple[str, Path]]:
    """List the models that were downloaded by ``https:``, as what to write and where they are."""
    files = sorted((folder / _DOWNLOADS).glob("*/*"))
    return [(str(file), file) for file in files if file.suffix in MODEL_SUFFIXES]


def hub_models() -> list[tuple[str, Path]]:
    """List the repositories in the hub's cache that are encoders, as ``hf:<repo>`` and where they are."""
    from huggingface_hub import CacheNotFound, constants, scan_cache_dir

    try:
        repos = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound:
        return []
    models = [f"hf:{name}" for name in sorted(repo.repo_id for repo in repos if repo.repo_type == "model")]
    places = [(model, _cached(model, _of_encoder(model))) for model in models]
    return [(model, place) for model, place in places if place is not None and is_encoder(place)]


def web_place(spec: EncoderSpec, folder: Path) -> Path | None:
    """Return where a model from the web is kept, None where the spec has no checksum."""
    checksum = (spec.options.sha256 or "").lower().partition(",")[0]
    return folder / _DOWNLOADS / checksum[:16] / Path(urlsplit(spec.model).path).name if checksum else None


def _local(model: str) -> Path:
    path = Path(model).expanduser()
    if path.exists() or set(model) & set("/\\.~"):
        return path
    names = ", ".join(("builtin", *(entry.name for entry in CATALOGUE)))
    raise UsageError(
        f"There is no encoder {model!r}, and no such file.", f"See espalier models list; ready to be named: {names}."
    )


def _cached(model: str, wanted: Wanted) -> Path | None:
    """Return the hub's snapshot in the cache, None where it is not there or a file that is wanted is not."""
    from huggingface_hub import get_cached_repo_tree, snapshot_download
    from huggingface_hub.errors import CachedRepoTreeNotFoundError, HFValidationError, LocalEntryNotFoundError

    repo, revision = _named_revision(model)
    try:
        names = [file.path for file in get_cached_repo_tree(repo, revision=revision)]
        patterns = wanted(names)
    except CachedRepoTreeNotFoundError:  # a cache of older releases does not tell what there is
        patterns = None
    except (HFValidationError, EspalierError):
        return None
    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=patterns, local_files_only=True))
    except LocalEntryNotFoundError:
        return None


def _named_revision(model: str) -> tuple[str, str | None]:
    repo, _, revision = model.removeprefix("hf:").partition("@")
    return repo, revision or None


def _of_encoder(model: str) -> Wanted:
    """Return what tells the files of a repository that ``read_folder`` will want: those and no others are fetched."""
    return lambda names: wanted_files(names, model)


def snapshot(model: str, wanted: Wanted) -> Path:
    """Return the folder of ``hf:<repo>[@revision]`` in the hub's cache, which has to do where there is no network.

    ``wanted`` takes the names of all files and gives those to download.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HFValidationError

    repo, revision = _named_revision(model)
    if revision and _COMMIT.fullmatch(revision) and (cached := _cached(model, wanted)):
        return cached
    try:
        about = HfApi().model_info(repo, revision=revision, timeout=TIMEOUT_S)
    except HFValidationError:
        raise UsageError(f"{repo!r} is no name of a repository.", "Write hf:<owner>/<name>[@revision].") from None
    except Exception as error:  # the hub's client raises what its transport raises
        if cached := _cached(model, wanted):
            return cached
        raise _unreachable(model, error) from None
    patterns = wanted([file.rfilename for file in about.siblings or []])
    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=patterns))
    except Exception as error:
        raise _unreachable(model, error) from None


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, or its type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _unreachable(model: str, error: Exception) -> EspalierError:
    return EspalierError(
        f"{model} cannot be had from the Hugging Face hub and is not in its cache: {first_line(error).rstrip('.')}.",
        "Check the name and the network, or give a folder.",
    )


def _bundle(name: str, bundle: Bundle, folder: Path | None) -> Path:
    """Put a bundle's files together; the folder gets its name when it is whole."""
    from huggingface_hub import hf_hub_download

    if folder is None:
        raise UsageError(f"There is no folder to keep {name} in.", "Give one as cache_dir.")
    place = folder / _BUNDLES / name
    with _alone(place):
        if place.is_dir():
            return place
        part = place.with_name(f".{name}.part")
        sums = {
            file: download(url, None, part / file) for url in bundle.urls if (file := Path(urlsplit(url).path).name)
        }
        try:
            tokenizer = Path(hf_hub_download(bundle.tokenizer, TOKENIZER_FILE))
        except Exception as error:
            raise _unreachable(f"The tokenizer of {name}, hf:{bundle.tokenizer}", error) from None
        (part / TOKENIZER_FILE).write_bytes(tokenizer.read_bytes())
        (part / "preprocessor_config.json").write_text(json.dumps(bundle.settings, indent=1), encoding="utf-8")
        (part / "sha256.json").write_text(json.dumps(sums, indent=1), encoding="utf-8")
        put(part, place)
    return place


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Let one process at a time download to a place."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_name(f".{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _from_web(spec: EncoderSpec, folder: Path | None) -> Path:
    """Download a model file; an ``.xml`` with its ``.bin``, both checksums given, with a comma between them."""
    name = Path(urlsplit(spec.model).path).name
    suffix = Path(name).suffix
    if suffix not in MODEL_SUFFIXES:
        raise UsageError(f"{spec.model} is no model file.", f"Known endings: {', '.join(MODEL_SUFFIXES)}.")
    sums = (spec.options.sha256 or "").lower().split(",")
    need = 2 if suffix == ".xml" else 1
    if len(sums) != need or any(len(one) != 64 or set(one) - set("0123456789abcdef") for one in sums):
        both = "<of the .xml>,<of the .bin>" if need == 2 else "<64 digits>"
        raise UsageError(f"{spec.model} has no checksum to be verified against.", f"Add #sha256={both}.")
    if folder is None:
        raise UsageError(f"There is no folder to keep {spec.model} in.", "Download it and give its path.")
    place = folder / _DOWNLOADS / sums[0][:16]
    address = urlsplit(spec.model)
    names = [name, Path(name).with_suffix(".bin").name][:need]
    with _alone(place):
        # The graph comes last: where it is, its weights are.
        for one, checksum in reversed(list(zip(names, sums, strict=True))):
            url = address._replace(path=str(Path(address.path).with_name(one)), fragment="").geturl()
            download(url, checksum, place / one)
    return place / name


def download(url: str, sha256: str | None, target: Path) -> str:
    """Download a file once: continue a broken download, verify, then rename it into place; return its SHA-256.

    Where ``sha256`` is None, what comes is taken.
    """
    if target.is_file():
        return sha256 or _digest(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    try:
        _continue(url, part)
    except (URLError, OSError, TimeoutError) as error:
        why = getattr(error, "reason", None) or error
        raise EspalierError(f"{url} cannot be downloaded: {why}.", "Run again to continue.") from None
    content = _digest(part)
    if sha256 is not None and content != sha256:
        part.unlink()
        raise EspalierError(f"{url} has the checksum {content}, not {sha256}.", "Check the address and the checksum.")
    put(part, target)
    return content


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _continue(url: str, part: Path) -> None:
    have = part.stat().st_size if part.is_file() else 0
    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urlopen(request, timeout=TIMEOUT_S)
    except HTTPError as error:
        if error.code == 416 and have:  # nothing is left to send
            return
        raise
    with answer, part.open("ab" if answer.status == 206 else "wb") as out:
        expected = answer.headers.get("Content-Length")
        start = out.tell() if answer.status == 206 else 0
        while block := answer.read(_BLOCK):
            out.write(block)
        if expected is not None and out.tell() - start < int(expected):
            raise OSError("the connection broke off")
