"""Planted copies in pictures made here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from espalier.core.dedup.copies import THRESHOLD, Found, auto_threshold, find_copies
from espalier.core.dedup.copies.plain import plain_copies
from espalier.core.rng import generator


def scene(rng: np.random.Generator, side: int = 192) -> np.ndarray:
    """Blobs and blocks of many sizes: (side, side) uint8."""
    picture = np.full((side, side), int(rng.integers(60, 200)), np.uint8)
    for size in np.geomspace(side / 2, 6, 40):
        x, y = rng.integers(0, side, 2).tolist()
        shade, w, h = int(rng.integers(0, 256)), int(size * rng.uniform(0.3, 1)), int(size * rng.uniform(0.3, 1))
        if rng.random() < 0.5:
            cv2.ellipse(picture, (x, y), (w // 2 + 1, h // 2 + 1), float(rng.uniform(0, 180)), 0, 360, shade, -1)
        else:
            cv2.rectangle(picture, (x, y), (x + w, y + h), shade, -1)
    return cv2.GaussianBlur(picture, (0, 0), 1)


def thumbs(pictures: list[np.ndarray], side: int = 32) -> np.ndarray:
    return np.stack([cv2.resize(p, (side, side), interpolation=cv2.INTER_AREA) for p in pictures])


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    """40 scenes; 40 to 44 are scene 0 cropped, squeezed shifted, mirrored, dimmed, with a bar below."""
    rng = np.random.default_rng(1)
    scenes = [scene(rng) for _ in range(40)]
    p = scenes[0]
    bar = np.vstack([p, np.full((40, p.shape[1]), 255, np.uint8)])
    return [*scenes, p[14:174, 20:190], np.roll(p, 7, axis=1)[:, 14:], p[:, ::-1], (p * 0.6).astype(np.uint8), bar]


def pairs(found: Found) -> dict[tuple[int, int], bool]:
    p = found.copies.pairs
    return dict(zip(zip(p.i.tolist(), p.j.tolist(), strict=True), p.mirrored.tolist(), strict=True))


def test_copies_that_are_cropped_shifted_mirrored_dimmed_and_captioned_are_found_and_no_stranger(pictures):
    found = pairs(find_copies(thumbs(pictures), flips=True, threads=1, rng=generator(0)))
    assert {pair for pair in found if pair[0] == 0} == {(0, k) for k in range(40, 45)}
    assert all({a, b} <= {0, 40, 41, 42, 43, 44} for a, b in found)
    assert found[0, 42]
    assert not found[0, 40]


def test_mirror_images_are_kept_apart_unless_flips_are_asked(pictures):
    found = pairs(find_copies(thumbs(pictures), flips=False, threads=1, rng=generator(0)))
    assert found
    assert not any(42 in pair for pair in found)


def test_the_map_found_leads_from_the_picture_to_its_crop(pictures):
    c = find_copies(thumbs(pictures), flips=False, threads=1, rng=generator(0)).copies
    k = int(np.flatnonzero((c.pairs.i == 0) & (c.pairs.j == 40))[0])
    side = pictures[0].shape[0]
    expected = np.array([[side / 170, 0, (side - 2 * 20) / 170 - 1], [0, side / 160, (side - 2 * 14) / 160 - 1]])
    assert np.abs(c.pairs.start[k] - expected).max() < 0.06


def test_known_rows_are_not_compared_with_one_another(pictures):
    found = find_copies(thumbs(pictures), flips=True, threads=1, rng=generator(0), first=43)
    assert found.copies.pairs.j.min() >= 43
    assert {(0, 43), (0, 44), (43, 44)} <= set(pairs(found))


def test_no_picture_one_picture_and_equal_pictures_are_answered(pictures):
    rng = generator(0)
    for n in (0, 1):
        t = thumbs(pictures)[:n]
        assert not len(find_copies(t, flips=True, threads=1, rng=rng).copies.pairs)
    same = np.repeat(thumbs(pictures)[:1], 3, axis=0)
    assert set(pairs(find_copies(same, flips=False, threads=1, rng=rng))) == {(0, 1), (0, 2), (1, 2)}


def test_blank_pages_are_copies_and_pages_of_other_colours_are_not():
    blank = np.full((4, 32, 32), 250, np.uint8)
    blank[1, 3, 3] -= 2
    blank[3] -= 100
    tints = np.array([[250, 250, 250], [250, 250, 250], [250, 255, 235], [150, 150, 150]], np.uint8)
    c = plain_copies(blank, tints)
    assert list(zip(c.pairs.i, c.pairs.j, strict=True)) == [(0, 1)]


SCRIPT = """
import hashlib, sys
import numpy as np
from espalier.core.dedup.copies import find_copies
from espalier.core.rng import generator

found = find_copies(np.load(sys.argv[1]), flips=True, threads=int(sys.argv[2]), rng=generator(0))
digest = hashlib.sha256()
for part in (found.copies, found.similar):
    for column in (part.pairs.i, part.pairs.j, part.pairs.mirrored, part.pairs.start, part.similarity, part.overlap):
        digest.update(np.ascontiguousarray(column).tobytes())
print(len(found.copies.pairs), digest.hexdigest())
"""


def test_copies_are_the_same_bytes_for_one_and_two_threads(pictures, tmp_path):
    np.save(tmp_path / "thumbs.npy", thumbs(pictures))
    outputs = []
    for threads in ("1", "2"):
        settings = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), threads)
        environment = {**os.environ, **settings, "PYTHONPATH": str(Path(__file__).parents[2])}
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / "thumbs.npy"), threads]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        outputs.append(done.stdout)
    assert int(outputs[0].split()[0]) >= 5
    assert outputs[0] == outputs[1]


def test_the_threshold_stays_for_scenes_and_rises_where_pictures_differ_in_a_field_only(pictures):
    assert auto_threshold(thumbs(pictures[:40]), threads=1, rng=generator(0)) == THRESHOLD
    forms = [pictures[0].copy() for _ in range(39)]
    for form, filled in zip(forms, pictures[1:40], strict=True):
        form[48:144, 48:144] = filled[48:144, 48:144]
    assert auto_threshold(thumbs(forms), threads=1, rng=generator(0)) > THRESHOLD + 0.1
