"""The encoder that all kinds become: a graph for images and, where there is one, a text side.

Not here: how graphs come about, and where vectors are kept.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from espalier.core.errors import EspalierError
from espalier.io.encoders.model import ImageGraph
from espalier.io.encoders.runner import EncodedBatch, encode

if TYPE_CHECKING:
    import openvino

    from espalier.io.encoders.ngrams import Ngrams
    from espalier.io.encoders.text import TextTower

PRECISIONS = ("f32", "bf16", "f16")


@dataclass(frozen=True)
class Engine:
    """What runs graphs: an OpenVINO device (CPU, GPU, AUTO) at a precision of ``PRECISIONS``.

    ``cache_dir`` is where OpenVINO keeps compiled graphs; ``threads`` bounds inference threads (all cores by default)
    and never changes a vector at f32; images of more than ``max_pixels`` are refused (``espalier.io.images.decode``).
    """

    device: str = "CPU"
    precision: str = "f32"
    cache_dir: Path | None = None
    threads: int | None = None
    max_pixels: int | None = None

    def compile(self, model: "openvino.Model", hint: str = "THROUGHPUT") -> "openvino.CompiledModel":
        """Compile a graph for throughput, or for ``LATENCY``."""
        import openvino

        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": hint,
            "INFERENCE_PRECISION_HINT": self.precision,
        }
        if self.cache_dir is not None:
            settings["CACHE_DIR"] = str(self.cache_dir)
        if self.threads is not None:
            settings["INFERENCE_NUM_THREADS"] = self.threads
        try:
            return openvino.Core().compile_model(model, self.device, settings)
        except RuntimeError as error:
            why = [line.strip() for line in str(error).splitlines() if line.strip()][-1][:200]
            raise EspalierError(
                f"OpenVINO cannot run the encoder on {self.device} at {self.precision}: {why.rstrip('.')}.",
                f"Devices here: {', '.join(openvino.Core().available_devices)}.",
            ) from None


@dataclass
class Encoder:
    """Turns images, and where ``has_text`` says so texts, into unit vectors.

    Attributes
    ----------
    model : str
        What the user named.
    content : str
        Hash of the model's files.
    graph : ImageGraph
    engine : Engine
    text : TextTower or Ngrams, optional
    """

    model: str
    content: str
    graph: ImageGraph
    engine: Engine
    text: "TextTower | Ngrams | None" = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @cached_property
    def id(self) -> str:
        """Short hex content hash of graph, weights, preprocessing and precision."""
        parts = [self.content, self.graph.facts, self.graph.batch, self.engine.precision]
        parts.append(self.text.describe() if self.text else None)
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def dim(self) -> int:
        """Number of components of an image's vector."""
        return self.graph.dim

    @property
    def has_text(self) -> bool:
        """Whether ``encode_text`` works."""
        return self.text is not None

    @property
    def joint(self) -> bool:
        """Whether texts and images share one space, so that the cosine between them is a score."""
        return self.text is not None and self.text.joint

    @property
    def text_id(self) -> str:
        """The id of texts' vectors: the encoder's own where they share the images' space."""
        return self.id if self.joint else hashlib.sha256(f"texts of {self.id}".encode()).hexdigest()[:16]

    @property
    def text_dim(self) -> int:
        """Number of components of a text's vector, 0 where there is no text side."""
        return self.text.dim if self.text else 0

    def describe(self) -> dict[str, Any]:
        """Tell model, input, output, preprocessing, precision and device, as plain JSON values."""
        return {
            "id": self.id,
            "model": self.model,
            "dim": self.dim,
            "precision": self.engine.precision,
            "device": self.engine.device,
            "batch": self.graph.batch,
            "preprocessing": self.graph.facts,
            "text": self.text.describe() if self.text else None,
            "joint": self.joint,
        }

    def encode_images(
        self,
        items: Iterable[tuple[int, str]],
        read: Callable[[str], bytes],
        *,
        threads: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Iterator[EncodedBatch]:
        """Encode ``(row, uri)`` items in order, in bounded memory; a bad image is an error of its row.

        Parameters
        ----------
        items : iterable of (int, str)
            Consumed lazily.
        read : callable
            Gives the bytes of a uri; called from several threads.
        threads : int, optional
            Threads that read and decode; by default one a core. Never changes a vector.
        progress : callable, optional
            Called with the number of items that have just been finished.
        """
        pixels = self.engine.max_pixels
        yield from encode(
            self.compiled(), self.graph.geometry, items, read, threads=threads, progress=progress, max_pixels=pixels
        )

    def encode_text(self, texts: list[str]) -> np.ndarray:
        """Encode texts to an array of shape (n, d_text), float32, unit rows.

        Raises
        ------
        EspalierError
            When there is no text side.
        """
        if self.text is None:
            raise EspalierError(f"The encoder {self.model!r} has no text side.", "Use one with a text tower.")
        return self.text.encode(texts)

    def compiled(self) -> "openvino.CompiledModel":
        """Return the compiled image graph, compiling it once."""
        with self._lock:
            return self._compiled

    @cached_property
    def _compiled(self) -> "openvino.CompiledModel":
        return self.engine.compile(self.graph.model)
