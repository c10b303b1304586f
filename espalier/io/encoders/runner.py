"""From files to vectors at the machine's speed: decode threads feed inference requests that are always in flight.

Every inference has the same fixed number of images, the last one filled up with zeros, and requests are filled and
emptied in turn, in the order of the items; so neither the number of threads nor the grouping of the items changes a bit
of a vector.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from espalier.core.errors import EspalierError
from espalier.io.encoders.geometry import Geometry
from espalier.io.images.decode import UnreadableImage

if TYPE_CHECKING:
    import openvino

BLOCK = 256
"""Items of an EncodedBatch."""

_CHUNK = 8
_ZERO = 1e-6
_Decoded = list[np.ndarray | str]


@dataclass(frozen=True)
class EncodedBatch:
    """The vectors of some consecutive items, in the order in which the items were given.

    Attributes
    ----------
    rows : ndarray of shape (m,), int64
        The row numbers of the items that were encoded.
    vectors : ndarray of shape (m, d), float32
        Finite and of unit length.
    errors : list of (int, str)
        The row numbers of the items in between that were not, each with a short reason.
    """

    rows: np.ndarray
    vectors: np.ndarray
    errors: list[tuple[int, str]]


def cores() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def encode(
    compiled: "openvino.CompiledModel",
    geometry: Geometry,
    items: Iterable[tuple[int, str]],
    read: Callable[[str], bytes],
    *,
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
    max_pixels: int | None = None,
) -> Iterator[EncodedBatch]:
    """Encode ``(row, uri)`` items; see ``espalier.io.encoders.encoder.Encoder.encode_images``.

    ``compiled`` takes (b, height, width, 4) uint8 and gives (b, d) float32, b fixed. Yields a batch for each ``BLOCK``
    consecutive items; at most two of them are in memory at a time.
    """
    threads = threads or cores()
    batches = _Batches(compiled)
    decode = partial(_decode, geometry, read, max_pixels)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    blocks = deque([_Block(batches.dim)])
    try:
        for rows, pictures in _decoded(pool, decode, items, ahead=2 * threads + 2):
            for row, picture in zip(rows, pictures, strict=True):
                batches.add(row, picture, blocks[-1])
            if len(blocks[-1].rows) == BLOCK:
                blocks.append(_Block(batches.dim))
            while len(blocks) > 1 and not blocks[0].missing:
                yield _given(blocks.popleft(), progress)
        batches.finish()
        yield from (_given(block, progress) for block in blocks if block.rows)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        batches.requests.close()


def _given(block: "_Block", progress: Callable[[int], None] | None) -> EncodedBatch:
    batch = block.batch()
    if progress is not None:
        progress(len(block.rows))
    return batch


def _decoded(
    pool: ThreadPoolExecutor,
    decode: Callable[[list[str]], _Decoded],
    items: Iterable[tuple[int, str]],
    ahead: int,
) -> Iterator[tuple[list[int], _Decoded]]:
    """Decode chunks of items in the pool, ``ahead`` chunks at most, and give them in order."""
    source, waiting = iter(items), deque[tuple[list[int], Future[_Decoded]]]()
    while True:
        while len(waiting) < ahead:
            # A chunk never crosses a block.
            chunk = list(islice(source, _CHUNK))
            if not chunk:
                break
            future = pool.submit(decode, [uri for _, uri in chunk])
            waiting.append(([row for row, _ in chunk], future))
        if not waiting:
            return
        rows, future = waiting.popleft()
        yield rows, future.result()


def _decode(geometry: Geometry, read: Callable[[str], bytes], max_pixels: int | None, uris: list[str]) -> _Decoded:
    """Read and decode; a file that cannot be is its reason."""
    out: _Decoded = []
    for uri in uris:
        try:
            data = read(uri)
        except Exception as error:  # a store fails in its own ways; one file must not end the run
            out.append(f"cannot be read: {getattr(error, 'strerror', None) or error or type(error).__name__}")
            continue
        try:
            out.append(geometry.pixels(data, max_pixels))
        except UnreadableImage as error:
            out.append(str(error))
    return out


class _Block:
    """Consecutive items whose vectors are being computed."""

    def __init__(self, dim: int) -> None:
        self.rows: list[int] = []
        self.reasons: list[str | None] = []
        self.vectors = np.zeros((BLOCK, dim), dtype=np.float32)
        self.missing = 0

    def batch(self) -> EncodedBatch:
        """Bring the vectors to unit length and sort out those that have no direction."""
        n = len(self.rows)
        exact = self.vectors[:n].astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            lengths = np.sqrt((exact * exact).sum(axis=1))
        readable = np.array([reason is None for reason in self.reasons], dtype=bool)
        usable = readable & np.isfinite(lengths) & (lengths > _ZERO)
        errors = []
        for place in np.flatnonzero(~usable):
            what = "a zero vector" if lengths[place] <= _ZERO else "a vector that is not finite"
            errors.append((self.rows[place], self.reasons[place] or f"the encoder gave {what}"))
        unit = (exact[usable] / lengths[usable, None]).astype(np.float32)
        return EncodedBatch(np.array(self.rows, dtype=np.int64)[usable], unit, errors)


class _Batches:
    """Fills requests of a fixed number of pictures."""

    def __init__(self, compiled: "openvino.CompiledModel") -> None:
        self.dim = int(compiled.output(0).get_shape()[1])
        self.requests = Requests(compiled)
        self._size = int(compiled.input(0).get_shape()[0])
        self._open: openvino.InferRequest | None = None
        self._places: list[tuple[_Block, int]] = []

    def add(self, row: int, picture: np.ndarray | str, block: _Block) -> None:
        """Put an item into its block, and its picture into a request; waits when all requests are busy."""
        block.rows.append(row)
        block.reasons.append(picture if isinstance(picture, str) else None)
        if isinstance(picture, str):
            return
        block.missing += 1
        if self._open is None:
            self._open = self.requests.idle()
        self._open.get_input_tensor(0).data[len(self._places)] = picture
        self._places.append((block, len(block.rows) - 1))
        if len(self._places) == self._size:
            self._start(self._open)

    def finish(self) -> None:
        """Run what has been taken in to its end."""
        if self._open is not None:
            self._open.get_input_tensor(0).data[len(self._places) :] = 0
            self._start(self._open)
        self.requests.finish()

    def _start(self, request: "openvino.InferRequest") -> None:
        self.requests.start(request, partial(_deliver, self._places))
        self._open, self._places = None, []


def _deliver(places: list[tuple[_Block, int]], request: "openvino.InferRequest") -> None:
    vectors = request.get_output_tensor(0).data
    for index, (block, place) in enumerate(places):
        block.vectors[place] = vectors[index]
        block.missing -= 1


class Requests:
    """Requests of one compiled graph, filled, started and emptied in turn by one thread; results come in that order.

    Twice as many as the device works on at a time, so that it always finds the next one. OpenVINO's AsyncInferQueue
    calls back into Python from its own threads: each call takes the interpreter from the decode threads, and a network
    that is freed while the last call is returning waits for it forever, holding the interpreter that the call needs.
    Emptying in turn has neither fault.
    """

    def __init__(self, compiled: "openvino.CompiledModel") -> None:
        n = 2 * int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        self._idle = [compiled.create_infer_request() for _ in range(n)]
        self._running: deque[tuple[openvino.InferRequest, Callable[[openvino.InferRequest], None]]] = deque()

    def idle(self) -> "openvino.InferRequest":
        """Return a request to be filled; waits for the oldest one when all are running."""
        if not self._idle:
            self._empty()
        return self._idle.pop()

    def start(self, request: "openvino.InferRequest", deliver: Callable[["openvino.InferRequest"], None]) -> None:
        """Start a filled request; ``deliver`` is called with it later, in the thread that uses this object."""
        request.start_async()
        self._running.append((request, deliver))

    def finish(self) -> None:
        """Wait for all running requests and deliver them."""
        while self._running:
            self._empty()

    def close(self) -> None:
        """Let running requests end without delivering them; they use memory that is about to go."""
        for request, _ in self._running:
            with suppress(RuntimeError):  # it failed, and nobody asks for its result any more
                request.wait()

    def _empty(self) -> None:
        request, deliver = self._running.popleft()
        try:
            request.wait()
        except RuntimeError as error:
            why = str(error).strip().splitlines()[-1]
            raise EspalierError(
                f"The encoder failed while running: {why}", "Try another device or precision."
            ) from None
        deliver(request)
        self._idle.append(request)
