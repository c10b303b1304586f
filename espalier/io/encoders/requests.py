"""Inference requests that are filled, started and emptied in turn, by one thread.

OpenVINO's AsyncInferQueue calls back into Python from its own threads: each call takes the interpreter from the decode
threads, and a network that is freed while the last call is returning waits for it forever, holding the interpreter that
the call needs. Emptying in turn has neither fault.
"""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from espalier.core.errors import EspalierError

if TYPE_CHECKING:
    import openvino


class Requests:
    """Requests of one compiled graph; results are handed out in the order in which they were started.

    Twice as many as the device works on at a time, so that it always finds the next one.
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
