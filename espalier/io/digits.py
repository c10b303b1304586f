"""scikit-learn's handwritten digits as PNG files with planted duplicates: real data that needs no download.

UCI ML hand-written digits (Alpaydin and Kaynak 1998), 1,797 scans of 8 x 8 pixels, as scikit-learn ships them.
"""

import shutil
from pathlib import Path

import numpy as np

from espalier.core.rng import generator
from espalier.io.atomic import written

N_TEST = 297
N_EXACT = 120
N_NEAR = 120
SIDE = 32


def write_digits(folder: Path) -> Path:
    """Write ``train/<digit>/*.png`` and ``test/<digit>/*.png`` below ``folder``; it appears whole or not at all.

    The last 297 scans, by other writers, are the test subset. Train gets 120 byte-exact copies and 120 near ones (JPEG,
    a little brighter or darker), ``copy_*`` and ``near_*``.
    """
    if folder.exists():
        return folder
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    n_train = len(pixels) - N_TEST
    folder.parent.mkdir(parents=True, exist_ok=True)
    with written(folder) as making:
        for row, (image, label) in enumerate(zip(pixels, digits.target, strict=True)):
            subset = "train" if row < n_train else "test"
            _save(image, making / subset / str(label) / f"{row:04d}.png")
        _plant(making, pixels[:n_train], digits.target)
        (making / "_SUCCESS").touch()
    return folder


def _plant(root: Path, pixels: np.ndarray, labels: np.ndarray) -> None:
    rng = generator(0, "digits", "planted")
    rows = rng.permutation(len(pixels))[: N_EXACT + N_NEAR]
    for row in rows[:N_EXACT].tolist():
        source = root / "train" / str(labels[row]) / f"{row:04d}.png"
        shutil.copyfile(source, source.with_name(f"copy_{row:04d}.png"))
    for row in rows[N_EXACT:].tolist():
        gain = 0.92 if rng.random() < 0.5 else 1.08
        image = np.clip(pixels[row] * gain, 0, 255).astype(np.uint8)
        _save(image, root / "train" / str(labels[row]) / f"near_{row:04d}.jpg")


def _save(image: np.ndarray, path: Path) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(path)
