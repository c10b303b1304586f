"""From a spec's model to a path on this machine: what is local stays, the rest is downloaded once.

Here live ``hf:<repo>[@revision]`` (huggingface_hub: its cache serves without a network) and ``https:`` (resumed
where it broke off, checked against a SHA-256, put in place whole).
"""

import hashlib
import os
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from espalier.errors import EspalierError, UsageError
from resources.encoders.folder import SUBFOLDERS
from resources.encoders.spec import MODEL_SUFFIXES, EncoderSpec

TIMEOUT_S = 30.0
_BLOCK = 1 << 20
_SETTINGS = ("*.json", "*.txt", "*.txt.gz")


def fetch(spec: EncoderSpec, folder: Path | None) -> Path:
    """Return where the model is, downloading it when it is not here.

    Parameters
    ----------
    spec : EncoderSpec
    folder : Path, optional
        Where ``https:`` models are kept.

    Raises
    ------
    EspalierError
        When it cannot be had.
    UsageError
        When the address or its checksum is none.
    """
    if spec.model.startswith("hf:"):
        return _from_hub(spec.model)
    if spec.model.startswith("http:"):
        raise UsageError(f"{spec.model} is not encrypted.", "Use https:, or download it yourself.")
    if spec.model.startswith("https:"):
        return _from_web(spec, folder)
    return Path(spec.model).expanduser()


def _from_hub(model: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    repo, _, revision = model.removeprefix("hf:").partition("@")
    kinds = (*(f"*{suffix}" for suffix in MODEL_SUFFIXES), "*.bin", "*.onnx_data", *_SETTINGS)
    patterns = [kind if sub == "." else f"{sub}/{kind}" for sub in SUBFOLDERS for kind in kinds]
    # PyTorch's weights end in .bin too.
    unwanted = ["pytorch_model*", "flax_model*", "tf_model*"]
    try:
        return Path(
            snapshot_download(repo, revision=revision or None, allow_patterns=patterns, ignore_patterns=unwanted)
        )
    except HFValidationError:
        raise UsageError(f"{repo!r} is no name of a repository.", "Write hf:<owner>/<name>[@revision].") from None
    except Exception as error:  # the hub's client raises what its transport raises
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise EspalierError(
            f"{model} cannot be had from the Hugging Face hub and is not in its cache: {why}",
            "Check the name and the network, or give a folder.",
        ) from None


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
    place = folder / "downloads" / sums[0][:16]
    address = urlsplit(spec.model)
    names = [name, Path(name).with_suffix(".bin").name][:need]
    for one, checksum in zip(names, sums, strict=True):
        url = address._replace(path=str(Path(address.path).with_name(one)), fragment="").geturl()
        download(url, checksum, place / one)
    return place / name


def download(url: str, sha256: str, target: Path) -> None:
    """Download a file once: continue a broken download, verify, then rename it into place.

    Raises
    ------
    EspalierError
        When it cannot be reached, breaks off, or is not what the checksum says.
    """
    if target.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    try:
        _continue(url, part)
    except (URLError, OSError, TimeoutError) as error:
        why = getattr(error, "reason", None) or error
        raise EspalierError(f"{url} cannot be downloaded: {why}", "Run again to continue.") from None
    with part.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256:
        part.unlink()
        raise EspalierError(f"{url} has the checksum {found}, not {sha256}.", "Check the address and the checksum.")
    os.replace(part, target)  # noqa: PTH105


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
