"""From labels to the sentences that a text tower was trained on.

CLIP was trained on captions: "a photo of a dog" is nearer to dogs than "dog" is (Radford et al. 2021, section 3.1.4).
Captions are embedded as they are.
"""

from typing import TYPE_CHECKING

import numpy as np

from espalier.core.errors import UsageError

if TYPE_CHECKING:
    from espalier.io.encoders.encoder import Encoder

DEFAULT = ("a photo of a {}",)
BY_FORMAT = {
    "mnist": ('a photo of the number: "{}"',),
    "mnist_csv": ('a photo of the number: "{}"',),
    "cifar": ("a photo of a {}", "a blurry photo of a {}", "a low resolution photo of a {}"),
}
"""Templates of formats whose pictures are no plain photographs; the rest takes ``DEFAULT``."""


def templates_for(format_name: str | None) -> tuple[str, ...]:
    """Return the templates of a dataset format, ``DEFAULT`` where it has none of its own."""
    return BY_FORMAT.get((format_name or "").lower(), DEFAULT)


def check_templates(templates: tuple[str, ...]) -> tuple[str, ...]:
    """Return templates that hold ``{}`` once each, or refuse them."""
    wrong = [one for one in templates if one.count("{}") != 1]
    if wrong or not templates:
        raise UsageError(f"{(wrong or [''])[0]!r} is no template of a prompt.", "Put {} where the label goes.")
    return templates


def spoken(label: str) -> str:
    """Write a label as words: ``traffic_light`` is "traffic light"."""
    return " ".join(label.replace("_", " ").split())


def encode_labels(encoder: "Encoder", labels: list[str], templates: tuple[str, ...] = DEFAULT) -> np.ndarray:
    """Embed labels, (n, d) float32: the mean of the unit vectors over the templates, at unit length again."""
    check_templates(templates)
    texts = [template.replace("{}", spoken(label)) for label in labels for template in templates]
    vectors = encoder.encode_text(texts).astype(np.float64)
    means = vectors.reshape(len(labels), len(templates), vectors.shape[1]).mean(axis=1)
    lengths = np.sqrt((means * means).sum(axis=1, keepdims=True))
    return (means / np.maximum(lengths, np.finfo(np.float64).tiny)).astype(np.float32)
