import base64
import io

import numpy as np
import pytest
from PIL import Image

from espalier.io.drawing import plots
from espalier.io.drawing.inline import MOST_BYTES, in_markdown
from espalier.io.drawing.sheets import Cell, contact_sheet
from espalier.io.files.blobs import read_bytes


@pytest.mark.parametrize("values", [[], [0.5], [1.0, 1.0 + 1e-7, 1.0 + 2e-7], [0.0, 1.0]])
def test_a_histogram_is_drawn_of_any_values_also_of_all_but_equal_ones(values):
    png = plots.histogram(np.array(values, np.float32), "similarity", "title", mark=0.5)
    assert png.startswith(b"\x89PNG")


def sheet_of(folder, tiles):
    for number, tile in enumerate(tiles):
        Image.fromarray(tile).save(folder / f"{number:03}.png")
    return contact_sheet([[Cell(str(path), path.stem) for path in sorted(folder.iterdir())]], read_bytes)


def in_the_page(sheet):
    """The kind and the bytes of the picture that the page holds."""
    shown = in_markdown(sheet, "words")
    assert shown.startswith("![words](data:image/")
    kind, _, data = shown.removeprefix("![words](data:image/").rstrip(")").partition(";base64,")
    assert len(data) <= MOST_BYTES
    return kind, base64.b64decode(data)


def test_a_small_sheet_stands_in_the_page_as_it_is(tmp_path):
    sheet = sheet_of(tmp_path, np.full((8, 112, 112, 3), 90, np.uint8))
    assert in_the_page(sheet) == ("png", sheet)


@pytest.mark.parametrize("n", [8, 60])
def test_a_large_sheet_is_reduced_until_it_fits(tmp_path, n):
    sheet = sheet_of(tmp_path, np.random.default_rng(0).integers(0, 255, (n, 112, 112, 3), np.uint8))
    assert len(sheet) > MOST_BYTES
    kind, data = in_the_page(sheet)
    shown, full = Image.open(io.BytesIO(data)), Image.open(io.BytesIO(sheet))
    assert kind == "jpeg"
    assert shown.width / full.width == pytest.approx(shown.height / full.height, rel=0.02)
