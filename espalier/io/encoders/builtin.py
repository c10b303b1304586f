"""The encoder that is always there: oriented gradients and colour as an OpenVINO graph, without weights.

Dalal and Triggs 2005, "Histograms of oriented gradients": 8 x 8 cells, 9 orientations, 2 x 2 blocks normalised and
clipped at 0.2. Differs: gradients of square-root intensities, each block minus its own mean (so that unrelated images
are near right angles), 4 x 4 means and deviations of colour beside it (luminance and two opponent axes), and a seeded
orthonormal projection to 512. Good for near duplicates and rough likeness.
"""

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from espalier.core.rng import generator
from espalier.io.encoders.geometry import Geometry

if TYPE_CHECKING:
    import openvino

REVISION = 1
"""Part of the encoder's id: raise it whenever a vector may change."""

SIDE, DIM, BATCH = 64, 512, 16
GEOMETRY = Geometry(SIDE, SIDE, shorter=0, filter="bilinear")

_CELL, _CELLS, _BINS = 8, 8, 9
_COLOUR_GRID = 4
_CLIP = 0.2
_TYPICAL = np.array([0.47, 0.013, 0.027])
"""Typical luminance, red minus green and yellow minus blue of photographs, taken off the colour means."""
_AXES = np.array([[1 / 3, 1 / 3, 1 / 3], [1, -1, 0], [0.5, 0.5, -1]]) * 1.2
_TYPICAL_DEVIATION, _DEVIATION_WEIGHT = 0.12, 2.0


def build() -> "openvino.Model":
    """Build the graph: (16, 64, 64, 4) uint8 RGBX in, (16, 512) float32 unit rows out."""
    import openvino
    from openvino import opset13 as op

    pixels = op.parameter([BATCH, SIDE, SIDE, 4], np.uint8, name="pixels")
    rgb = op.slice(pixels, _ints(0), _ints(3), _ints(1), _ints(3))
    image = op.transpose(op.convert(rgb, "f32"), _ints(0, 3, 1, 2))
    image = op.divide(image, _float(255.0))
    parts = (_blocks(_cells(op.sqrt(image))), *_colours(image))
    features = op.concat([op.reshape(part, _ints(BATCH, -1), False) for part in parts], 1)
    projected = op.matmul(features, _float(_projection(features.get_output_shape(0)[1])), False, False)
    length = op.sqrt(op.reduce_sum(op.multiply(projected, projected), _ints(1), keep_dims=True))
    embedding = op.divide(projected, op.maximum(length, _float(1e-12)))
    embedding.output(0).get_tensor().set_names({"embedding"})
    return openvino.Model([embedding], [pixels], "builtin")


@cache
def _projection(dim: int) -> np.ndarray:
    """Return ``DIM`` orthonormal columns, rounded so that every linear algebra library gives the same bits.

    Cholesky's way to the QR factors of positive diagonal: few large products, which two busy cores bear better.
    """
    drawn = generator(0, "builtin encoder", "projection").standard_normal((dim, DIM))
    q = drawn @ np.linalg.inv(np.linalg.cholesky(drawn.T @ drawn)).T
    return (np.rint(q * 2**16) / 2**16).astype(np.float32)


def _cells(image: "openvino.Node") -> "openvino.Node":
    """Histograms of oriented gradients: (n, 9, 8, 8), shared between neighbouring cells and orientations."""
    from openvino import opset13 as op

    padded = op.pad(image, _ints(0, 0, 1, 1), _ints(0, 0, 1, 1), "edge")

    def shifted(down: int, across: int) -> "openvino.Node":
        stop = _ints(down + SIDE, across + SIDE)
        return op.slice(padded, _ints(down, across), stop, _ints(1, 1), _ints(2, 3))

    across, down = op.subtract(shifted(1, 2), shifted(1, 0)), op.subtract(shifted(2, 1), shifted(0, 1))
    energy = op.add(op.multiply(across, across), op.multiply(down, down))
    greatest = op.reduce_max(energy, _ints(1), keep_dims=True)
    # The channel with the greatest gradient; equal ones share.
    chosen = op.convert(op.greater_equal(energy, greatest), "f32")
    chosen = op.divide(chosen, op.reduce_sum(chosen, _ints(1), keep_dims=True))
    across, down = (op.reduce_sum(op.multiply(g, chosen), _ints(1), keep_dims=True) for g in (across, down))
    angle = op.atan(op.divide(down, op.add(across, _float(1e-7))))
    width = np.pi / _BINS
    centres = (-np.pi / 2 + width * (np.arange(_BINS) + 0.5)).reshape(1, _BINS, 1, 1)
    away = op.abs(op.subtract(angle, _float(centres)))
    away = op.minimum(away, op.subtract(_float(np.pi), away))
    votes = op.relu(op.subtract(_float(1.0), op.divide(away, _float(width))))
    votes = op.multiply(votes, op.sqrt(greatest))
    ramp = 1 - np.abs((np.arange(2 * _CELL) - _CELL + 0.5) / _CELL)
    kernel = np.tile(np.outer(ramp, ramp) / np.outer(ramp, ramp).sum(), (_BINS, 1, 1, 1, 1))
    half = [_CELL // 2, _CELL // 2]
    return op.group_convolution(votes, _float(kernel), [_CELL, _CELL], half, half, [1, 1])


def _blocks(cells: "openvino.Node") -> "openvino.Node":
    """Blocks of 2 x 2 cells: (n, 36, 7, 7), normalised, clipped, normalised again, minus their mean."""
    from openvino import opset13 as op

    size = _CELLS - 1

    def corner(down: int, across: int) -> "openvino.Node":
        stop = _ints(down + size, across + size)
        return op.slice(cells, _ints(down, across), stop, _ints(1, 1), _ints(2, 3))

    def normalised(block: "openvino.Node", floor: float) -> "openvino.Node":
        energy = op.reduce_sum(op.multiply(block, block), _ints(1), keep_dims=True)
        return op.divide(block, op.sqrt(op.add(energy, _float(floor))))

    blocks = op.concat([corner(down, across) for down in (0, 1) for across in (0, 1)], 1)
    blocks = normalised(op.minimum(normalised(blocks, 4e-4), _float(_CLIP)), 1e-3)
    return op.subtract(blocks, op.reduce_mean(blocks, _ints(1), keep_dims=True))


def _colours(image: "openvino.Node") -> tuple["openvino.Node", "openvino.Node"]:
    """Means on opponent axes and deviations a channel: (n, 3, 4, 4) each, centred on typical values."""
    from openvino import opset13 as op

    side = [SIDE // _COLOUR_GRID] * 2

    def pooled(values: "openvino.Node") -> "openvino.Node":
        return op.avg_pool(values, side, [0, 0], [0, 0], side, True)

    mean = pooled(image)
    axes = op.convolution(mean, _float(_AXES.reshape(3, 3, 1, 1)), [1, 1], [0, 0], [0, 0], [1, 1])
    centred = op.subtract(axes, _float((_TYPICAL * 1.2).reshape(1, 3, 1, 1)))
    variance = op.relu(op.subtract(pooled(op.multiply(image, image)), op.multiply(mean, mean)))
    deviation = op.subtract(op.sqrt(variance), _float(_TYPICAL_DEVIATION))
    return centred, op.multiply(deviation, _float(_DEVIATION_WEIGHT))


def _ints(*values: int) -> "openvino.Node":
    return _float(values, np.int64)


def _float(values: ArrayLike, kind: type = np.float32) -> "openvino.Node":
    from openvino import opset13 as op

    return op.constant(np.asarray(values, dtype=kind))
