import numpy as np
import pytest

from resources.pictures import plots


@pytest.mark.parametrize("values", [[], [0.5], [1.0, 1.0 + 1e-7, 1.0 + 2e-7], [0.0, 1.0]])
def test_a_histogram_is_drawn_of_any_values_also_of_all_but_equal_ones(values):
    png = plots.histogram(np.array(values, np.float32), "similarity", "title", mark=0.5)
    assert png.startswith(b"\x89PNG")
