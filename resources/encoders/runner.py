"""From files to vectors at the machine's speed: decode threads feed an asynchronous inference queue.

Here live the pipeline and its back-pressure. Not here: what an image becomes (``resources.encoders.geometry``) and
what the graph computes. Every inference has the same fixed number of images, the last one filled up with zeros, and
results are put back into the order of the items; so neither the number of threads nor the grouping of the items
changes a bit of a vector.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from espalier.errors import EspalierError
from resources.encoders.base import EncodedBatch
from resources.encoders.geometry import Geometry
from resources.images import UnreadableImage

if TYPE_CHECKING:
    import openvino

BLOCK = 256
"""Items of an EncodedBatch."""

_CHUNK = 8
_OPEN_BLOCKS = 2
_LOOK_EVERY_S = 0.5
_Decoded = list[np.ndarray | str]


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
) -> Iterator[EncodedBatch]:
    """Encode ``(row, uri)`` items; see ``resources.encoders.base.Encoder.encode_images``.

    Parameters
    ----------
    compiled : CompiledModel
        Takes (b, height, width, 3) uint8 and gives (b, d) float32, b fixed.
    geometry : Geometry
        Turns bytes into (height, width, 3) uint8; runs in the decode threads.

    Yields
    ------
    EncodedBatch
        One for each ``BLOCK`` consecutive items. At most a few blocks are in memory at a time.
    """
    threads = threads or cores()
    infers = _Inference(compiled)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    blocks: deque[_Block] = deque()
    try:
        for rows, pictures in _decoded(pool, geometry, items, read, ahead=2 * threads + 2):
            if not blocks or blocks[-1].full:
                blocks.append(_Block(infers.dim))
            for row, picture in zip(rows, pictures, strict=True):
                place = blocks[-1].place(row, picture)
                if not isinstance(picture, str):
                    infers.add(picture, blocks[-1], place)
            while len(blocks) > _OPEN_BLOCKS or (blocks and blocks[0].finished.is_set()):
                infers.wait_for(blocks[0])
                yield _given(blocks.popleft(), progress)
        if blocks:
            blocks[-1].seal()
        while blocks:
            infers.wait_for(blocks[0])
            yield _given(blocks.popleft(), progress)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        infers.close()


def _given(block: "_Block", progress: Callable[[int], None] | None) -> EncodedBatch:
    batch = block.batch()
    if progress is not None:
        progress(len(block.rows))
    return batch


def _decoded(
    pool: ThreadPoolExecutor,
    geometry: Geometry,
    items: Iterable[tuple[int, str]],
    read: Callable[[str], bytes],
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
            future = pool.submit(_decode, geometry, [uri for _, uri in chunk], read)
            waiting.append(([row for row, _ in chunk], future))
        if not waiting:
            return
        rows, future = waiting.popleft()
        yield rows, future.result()


def _decode(geometry: Geometry, uris: list[str], read: Callable[[str], bytes]) -> _Decoded:
    """Read and decode; a file that cannot be is its reason."""
    out: _Decoded = []
    for uri in uris:
        try:
            data = read(uri)
        except Exception as error:  # a store fails in its own ways; one file must not end the run
            out.append(f"cannot be read: {getattr(error, 'strerror', None) or error or type(error).__name__}")
            continue
        try:
            out.append(geometry.pixels(data))
        except UnreadableImage as error:
            out.append(str(error))
    return out


class _Block:
    """Consecutive items whose vectors are being computed."""

    def __init__(self, dim: int) -> None:
        self.rows: list[int] = []
        self.reasons: list[str | None] = []
        self.vectors = np.zeros((BLOCK, dim), dtype=np.float32)
        self.finished = threading.Event()
        self._sealed = False
        self._open = 0
        self._lock = threading.Lock()

    @property
    def full(self) -> bool:
        return len(self.rows) == BLOCK

    def place(self, row: int, picture: np.ndarray | str) -> int:
        """Take an item in and return its place."""
        unreadable = isinstance(picture, str)
        with self._lock:
            self.rows.append(row)
            self.reasons.append(str(picture) if unreadable else None)
            self._count(0 if unreadable else 1)
            return len(self.rows) - 1

    def put(self, place: int, vector: np.ndarray) -> None:
        """Store a result; called from the inference threads."""
        self.vectors[place] = vector
        with self._lock:
            self._count(-1)

    def seal(self) -> None:
        """Say that no more items come."""
        with self._lock:
            self._sealed = True
            self._count(0)

    def _count(self, change: int) -> None:
        self._open += change
        if not self._open and (self._sealed or self.full):
            self.finished.set()

    def batch(self) -> EncodedBatch:
        """Bring the vectors to unit length and sort out those that have no direction."""
        n = len(self.rows)
        exact = self.vectors[:n].astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            lengths = np.sqrt((exact * exact).sum(axis=1))
        usable = np.isfinite(lengths) & (lengths > 1e-6)
        errors = []
        for place in np.flatnonzero(~usable | np.array([r is not None for r in self.reasons], dtype=bool)):
            zero = "the encoder gave a zero vector" if lengths[place] <= 1e-6 else None
            reason = self.reasons[place] or zero or "the encoder gave a vector that is not finite"
            errors.append((self.rows[place], reason))
            usable[place] = False
        unit = (exact[usable] / lengths[usable, None]).astype(np.float32)
        return EncodedBatch(np.array(self.rows, dtype=np.int64)[usable], unit, errors)


class _Inference:
    """Fills fixed batches and runs them on all requests that the device wants to have in flight."""

    def __init__(self, compiled: "openvino.CompiledModel") -> None:
        import openvino

        self._shape = tuple(compiled.input(0).get_shape())
        self.dim = compiled.output(0).get_shape()[1]
        self._queue = openvino.AsyncInferQueue(compiled)
        self._queue.set_callback(self._done)
        self._failure: Exception | None = None
        self._begin()

    def _begin(self) -> None:
        self._pixels: np.ndarray | None = None
        self._places: list[tuple[_Block, int]] = []

    def add(self, picture: np.ndarray, block: _Block, place: int) -> None:
        """Take a picture in; waits when all requests are busy."""
        size = self._shape[0]
        if size == 1:
            self._pixels = picture[None]
        else:
            if self._pixels is None:
                self._pixels = np.zeros(self._shape, dtype=np.uint8)
            self._pixels[len(self._places)] = picture
        self._places.append((block, place))
        if len(self._places) == size:
            self.flush()

    def flush(self) -> None:
        """Start what has been taken in."""
        if self._pixels is None:
            return
        pixels, places = self._pixels, self._places
        self._begin()
        try:
            self._queue.start_async({0: pixels}, (pixels, places), share_inputs=True)
        except RuntimeError as error:
            self._failure = error
        self._raise_failure()

    def wait_for(self, block: _Block) -> None:
        """Return when all vectors of a block are there."""
        if any(waiting is block for waiting, _ in self._places):
            self.flush()
        while not block.finished.wait(_LOOK_EVERY_S):
            self._raise_failure()
        self._raise_failure()

    def close(self) -> None:
        """Let running inferences end; their memory is in use until then."""
        self._queue.wait_all()

    def _done(self, request: "openvino.InferRequest", started: tuple[np.ndarray, list[tuple[_Block, int]]]) -> None:
        try:
            vectors = request.get_output_tensor(0).data
            for index, (block, place) in enumerate(started[1]):
                block.put(place, vectors[index])
        except Exception as error:
            self._failure = error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            why = str(self._failure).strip().splitlines()[-1]
            raise EspalierError(f"The encoder failed while running: {why}", "Try another device or precision.")
