"""Encoders that are ready to be named, as data; fetched when they are first used.

CLIP is Radford et al. 2021 (arXiv 2103.00020), DINOv2 is Oquab et al. 2023 (arXiv 2304.07193). Datumaro's graphs are
what its ``prune`` and ``explore`` used; it gave them ImageNet's mean and deviation, here they get CLIP's own.
"""

from dataclasses import dataclass
from typing import Any

DATUMARO = "https://storage.openvinotoolkit.org/repositories/datumaro/models"


@dataclass(frozen=True)
class Bundle:
    """Files that are put together as a folder of two towers, which keep the names of their addresses.

    ``tokenizer`` is a repository of the Hugging Face hub, ``settings`` become ``preprocessor_config.json``.
    """

    urls: tuple[str, ...]
    tokenizer: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class CatalogueEntry:
    """An encoder by its name (or ``also``): a spec or a bundle; ``text`` tells of a text side in the images' space."""

    name: str
    dim: int
    about: str
    text: bool
    spec: str = ""
    bundle: Bundle | None = None
    also: str = ""


def _clip_settings(side: int) -> dict[str, Any]:
    """Return the preprocessing of OpenAI's CLIP (clip/clip.py, ``_transform``)."""
    return {
        "do_resize": True,
        "size": {"shortest_edge": side},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": side, "width": side},
        "do_normalize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }


def _datumaro(towers: tuple[str, str], dim: int, side: int, tokenizer: str, about: str) -> CatalogueEntry:
    visual, textual = towers
    urls = tuple(f"{DATUMARO}/{tower}{suffix}" for tower in towers for suffix in (".bin", ".xml"))
    return CatalogueEntry(
        visual, dim, about, text=True, bundle=Bundle(urls, tokenizer, _clip_settings(side)), also=textual
    )


CATALOGUE = (
    _datumaro(
        ("clip_visual_ViT-B_32", "clip_text_ViT-B_32"),
        512,
        224,
        "openai/clip-vit-base-patch32",
        "CLIP ViT-B/32, Datumaro's OpenVINO graphs",
    ),
    _datumaro(
        ("clip_visual_vit_l_14_336px_int8", "clip_text_vit_l_14_336px_int8"),
        768,
        336,
        "openai/clip-vit-large-patch14-336",
        "CLIP ViT-L/14 at 336 pixels in 8 bits, Datumaro's OpenVINO graphs",
    ),
    CatalogueEntry("clip-vit-b-32", 512, "OpenAI's CLIP ViT-B/32", text=True, spec="hf:Xenova/clip-vit-base-patch32"),
    CatalogueEntry("clip-vit-b-16", 512, "OpenAI's CLIP ViT-B/16", text=True, spec="hf:Xenova/clip-vit-base-patch16"),
    CatalogueEntry("clip-vit-l-14", 768, "OpenAI's CLIP ViT-L/14", text=True, spec="hf:Xenova/clip-vit-large-patch14"),
    CatalogueEntry("dinov2-small", 384, "DINOv2 ViT-S/14", text=False, spec="hf:Xenova/dinov2-small#pool=cls"),
    CatalogueEntry("dinov2-base", 768, "DINOv2 ViT-B/14", text=False, spec="hf:Xenova/dinov2-base#pool=cls"),
    CatalogueEntry("dinov2-large", 1024, "DINOv2 ViT-L/14", text=False, spec="hf:Xenova/dinov2-large#pool=cls"),
)


def catalogue_entry(name: str) -> CatalogueEntry | None:
    """Return the entry that has this name."""
    return next((entry for entry in CATALOGUE if name and name in (entry.name, entry.also)), None)
