import base64
import io

import numpy as np
import pytest
from PIL import Image

from espalier.io.drawing import plots
from espalier.io.drawing.sheets import Cell, contact_sheet, in_markdown
from espalier.io.files.blobs import read_bytes


@pytest.mark.parametrize("values", [[], [0.5], [1.0, 1.0 + 1e-7, 1.0 + 2e-7], [0.0, 1.0]])
def test_a_histogram_is_drawn_of_any_values_also_of_all_but_equal_ones(values):
    png = plots.histogram(np.array(values, np.float32), "similarity", "title", mark=0.5)
    assert png.startswith(b"\x89PNG")


@pytest.mark.parametrize(("pictures", "kind"), [("photo", "jpeg"), ("flat", "png")])
def test_a_sheet_in_the_page_is_the_smaller_of_jpeg_and_png(tmp_path, pictures, kind):
    noise = np.random.default_rng(0).integers(0, 255, (8, 112, 112, 3), np.uint8)
    for number, tile in enumerate(noise if pictures == "photo" else np.full_like(noise, 90)):
        Image.fromarray(tile).save(tmp_path / f"{number}.png")
    sheet = contact_sheet([[Cell(str(path), path.stem) for path in sorted(tmp_path.iterdir())]], read_bytes)
    shown = in_markdown(sheet, "words")
    assert shown.startswith(f"![words](data:image/{kind};base64,")
    data = base64.b64decode(shown.partition("base64,")[2].rstrip(")"))
    assert len(data) <= len(sheet)
    assert Image.open(io.BytesIO(data)).size == Image.open(io.BytesIO(sheet)).size
