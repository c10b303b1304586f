"""The area grid against plain arithmetic in fractions, and its independence of strips and sizes."""

from fractions import Fraction

import numpy as np
import pytest

from espalier.io.images import grid as module
from espalier.io.images.grid import GRID_LENGTH, GRID_SIDE, area_grid, grey_thumb


def by_hand(rgb):
    """Each cell's mean by fractions of pixels, then 257 units a level, rounded half up."""
    h, w, _ = rgb.shape
    out = []
    for r in range(9):
        for c in range(9):
            for channel in range(3):
                total = Fraction(0)
                for y in range(h):
                    dy = min(Fraction(y + 1), Fraction((r + 1) * h, 9)) - max(Fraction(y), Fraction(r * h, 9))
                    if dy <= 0:
                        continue
                    for x in range(w):
                        dx = min(Fraction(x + 1), Fraction((c + 1) * w, 9)) - max(Fraction(x), Fraction(c * w, 9))
                        if dx > 0:
                            total += dy * dx * int(rgb[y, x, channel])
                mean = total / (Fraction(h, 9) * Fraction(w, 9)) * 257
                out.append(int(mean + Fraction(1, 2)))
    return np.array(out, np.uint16)


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (8, 8), (9, 9), (10, 13), (31, 20)])
def test_means_equal_those_in_exact_fractions(shape):
    rgb = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    found = area_grid(rgb)
    assert (found.shape, found.dtype) == ((GRID_LENGTH,), np.uint16)
    np.testing.assert_array_equal(found, by_hand(rgb))


@pytest.mark.parametrize("level", [0, 1, 127, 255])
def test_a_flat_image_gives_its_level_everywhere(level):
    assert (area_grid(np.full((33, 47, 3), level, np.uint8)) == level * 257).all()


def test_the_mean_of_all_cells_is_the_mean_of_the_image():
    rgb = np.random.default_rng(1).integers(0, 256, (123, 77, 3), dtype=np.uint8)
    np.testing.assert_allclose(area_grid(rgb).reshape(9, 9, 3).mean((0, 1)) / 257, rgb.mean((0, 1)), atol=1e-2)


def test_the_grid_is_laid_out_as_a_small_image():
    rgb = np.zeros((90, 90, 3), np.uint8)
    rgb[10:20, 20:30, 1] = 255
    cells = area_grid(rgb).reshape(9, 9, 3)
    assert cells[1, 2, 1] == 65535
    assert cells.astype(int).sum() == 65535


def test_tiles_do_not_change_the_result(monkeypatch):
    rgb = np.random.default_rng(2).integers(0, 256, (211, 190, 3), dtype=np.uint8)
    whole = area_grid(rgb)
    for rows, columns in ((1, 1000), (50, 7), (1000, 1000)):
        monkeypatch.setattr(module, "_ROWS", rows)
        monkeypatch.setattr(module, "_COLUMNS", columns)
        np.testing.assert_array_equal(area_grid(rgb), whole)


def test_very_tall_images_are_exact_too():
    rgb = np.full((70_000, 2, 3), 255, np.uint8)
    assert (area_grid(rgb) == 65535).all()


def test_views_and_read_only_arrays_are_taken():
    rgb = np.random.default_rng(3).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    rgb.setflags(write=False)
    np.testing.assert_array_equal(area_grid(rgb[:, ::-1]), area_grid(rgb[:, ::-1].copy()))
    mirrored = area_grid(rgb[:, ::-1]).reshape(9, 9, 3)
    np.testing.assert_array_equal(mirrored[:, ::-1], area_grid(rgb).reshape(9, 9, 3))


def test_a_reduced_image_has_nearly_the_same_grid():
    y, x = np.mgrid[0:256, 0:256]
    wave = (127 + 60 * np.sin(x / 21) + 60 * np.cos(y / 33)).astype(np.uint8)
    rgb = np.stack([wave, wave.T, 255 - wave], axis=2)
    factor = 256 // GRID_SIDE
    small = rgb.reshape(GRID_SIDE, factor, GRID_SIDE, factor, 3).mean((1, 3)).round().astype(np.uint8)
    assert np.abs(area_grid(small).astype(int) - area_grid(rgb).astype(int)).max() < 257


@pytest.mark.parametrize(
    "bad",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)],
)
def test_other_arrays_are_refused(bad):
    with pytest.raises(ValueError, match="uint8 image"):
        area_grid(bad)


def test_a_fourth_channel_is_not_looked_at():
    rng = np.random.Generator(np.random.PCG64(3))
    rgbx = rng.integers(0, 256, (150, 333, 4), dtype=np.uint8)
    np.testing.assert_array_equal(area_grid(rgbx), area_grid(np.ascontiguousarray(rgbx[:, :, :3])))


def test_a_thumbnail_is_the_mean_grey_of_its_cells_for_three_and_four_channels():
    grey = np.random.default_rng(0).integers(0, 256, (64, 96), np.uint8)
    rgb = np.repeat(grey[:, :, None], 3, axis=2)
    means = grey.reshape(32, 2, 32, 3).mean(axis=(1, 3))
    for pixels in (rgb, np.concatenate([rgb, rgb[:, :, :1]], axis=2)):
        pixels.setflags(write=False)
        assert np.abs(grey_thumb(pixels).reshape(32, 32) - means).max() <= 0.51


def test_a_thumbnail_of_a_picture_of_its_size_is_the_picture_and_of_one_pixel_it_is_flat():
    grey = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
    assert (grey_thumb(np.repeat(grey[:, :, None], 3, axis=2)).reshape(32, 32) == grey).all()
    assert (grey_thumb(np.full((1, 1, 3), 7, np.uint8)) == 7).all()
