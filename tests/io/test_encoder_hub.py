"""Models of the Hugging Face hub, through its own client, from a small hub on this machine."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import openvino
import pytest
from openvino import opset13 as op

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LOAD = """
import sys
from espalier.core.errors import EspalierError
from espalier.io.encoders import load_encoder
for spec in sys.argv[1:]:
    try:
        print(load_encoder(spec).id)
    except EspalierError as error:
        print(error)
"""


class Hub(BaseHTTPRequestHandler):
    """Answers what the client asks when it downloads a repository ``o/n``."""

    def __init__(self, folder, asked, *args):
        self.folder, self.asked = folder, asked
        super().__init__(*args)

    def do_GET(self):
        self.answer()

    def do_HEAD(self):
        self.answer()

    def answer(self):
        path = unquote(urlsplit(self.path).path)
        files = {str(f.relative_to(self.folder)): f.read_bytes() for f in self.folder.rglob("*") if f.is_file()}
        tags = {name: hashlib.sha1(data).hexdigest() for name, data in files.items()}
        if path.startswith("/api/models/o/n/tree/"):
            self.send([{"type": "file", "oid": tags[n], "size": len(files[n]), "path": n} for n in files])
        elif path.startswith("/api/models/o/n"):
            self.send({"id": "o/n", "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]})
        elif path.startswith("/o/n/resolve/") and (name := path.split("/", 5)[5]) in files:
            self.asked.add(name)
            self.send(files[name], ETag=f'"{tags[name]}"', **{"X-Repo-Commit": COMMIT})
        else:
            self.send({"error": "Repository not found"}, 404, **{"X-Error-Code": "RepoNotFound"})

    def send(self, body, code=200, **headers):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def repository(tmp_path):
    """Make a repository with an image model in ONNX's folder, and weights that nobody wants."""
    folder = tmp_path / "repository"
    folder.mkdir()
    pixels = op.parameter([-1, 3, 16, 16], np.float32, name="pixels")
    mean = op.reduce_mean(pixels, op.constant(np.array([2, 3])), keep_dims=False)
    openvino.save_model(openvino.Model([mean], [pixels]), folder / "openvino_model.xml", compress_to_fp16=False)
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model_q4.onnx").write_bytes(b"another")
    return folder


@pytest.fixture
def hub(repository):
    asked = set()
    running = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, repository, asked))
    thread = threading.Thread(target=running.serve_forever)
    thread.start()

    def close():
        running.shutdown()
        running.server_close()
        thread.join()

    yield f"http://127.0.0.1:{running.server_port}", asked, close
    if thread.is_alive():
        close()


def load(hub_url, cache, *specs) -> list[str]:
    """Load specs in a process of its own: the client reads its settings when it is imported."""
    env = {**os.environ, "HF_ENDPOINT": hub_url, "HF_HOME": str(cache), "HF_HUB_DISABLE_TELEMETRY": "1"}
    env.pop("HF_HUB_OFFLINE", None)
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *specs], capture_output=True, text=True, env=env, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_only_what_is_used_is_downloaded_and_it_serves_when_the_hub_is_gone(hub, tmp_path):
    url, asked, close = hub
    first, gone = load(url, tmp_path / "cache", "hf:o/n", "hf:o/gone")
    assert "hf:o/gone cannot be had" in gone
    assert asked == {"openvino_model.xml", "openvino_model.bin"}
    close()
    assert load(url, tmp_path / "cache", "hf:o/n", f"hf:o/n@{COMMIT}") == [first, first]


def test_a_download_that_broke_off_is_not_taken_for_whole(hub, tmp_path):
    url, _, close = hub
    load(url, tmp_path / "cache", "hf:o/n")
    (weights,) = (tmp_path / "cache").rglob("openvino_model.bin")
    weights.unlink()
    close()
    (said,) = load(url, tmp_path / "cache", "hf:o/n")
    assert "hf:o/n cannot be had" in said
