"""All tests: a tiny real dataset and a home to grow it in, the graph as the command line and the page run it.

What hypothesis draws is the same in every run, as everything here is; ``ESPALIER_HYPOTHESIS=random`` lets it look for
new cases. Dagster is imported when a test asks for the graph: those of the library do without.
"""

import io
import json
import os
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from espalier.io.home import Home
from espalier.io.landing.zone import LandingZone
from espalier.stages.graph import CHAIN, COMPARISON, EXPORT, MANIFEST, QUALITY

settings.register_profile("same", derandomize=True)
if os.environ.get("ESPALIER_HYPOTHESIS") != "random":
    settings.load_profile("same")

CLASSES, EACH, SIDE = ("bark", "leaf", "moss", "stone"), 10, 64
EXACT = {"bark/00-again.png": "bark/00.png", "stone/03-again.png": "leaf/03.png"}
NEAR = {"leaf/05-small.jpg": "leaf/05.png", "moss/07-pale.jpg": "moss/07.png", "stone/09-crop.png": "stone/09.png"}
UNREADABLE = {"moss/empty.png": "empty", "moss/torn.jpg": "truncated"}
N_RAW = len(CLASSES) * EACH + len(EXACT) + len(NEAR) + len(UNREADABLE)


def texture(number: int) -> Image.Image:
    """A pattern of a few waves and a colour of its own: no two are alike."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    waves = sum(
        rng.uniform(0.5, 1) * np.sin(2 * np.pi * (fx * x + fy * y) + phase)
        for fx, fy, phase in rng.uniform((-5, -5, 0), (5, 5, 2 * np.pi), (4, 3))
    )
    grey = (waves - waves.min()) / np.ptp(waves)
    colour = rng.uniform(80, 255, 3)
    return Image.fromarray((grey[..., None] * colour + rng.uniform(0, 6, (SIDE, SIDE, 3))).astype(np.uint8))


def write_textures(root: Path) -> Path:
    """Write four classes of ten textures, two exact copies, three near ones, a torn file and an empty one."""
    for c, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for i in range(EACH):
            texture(100 * c + i).save(root / name / f"{i:02}.png")
    for copy, source in EXACT.items():
        (root / copy).write_bytes((root / source).read_bytes())
    Image.open(root / "leaf/05.png").resize((48, 48), Image.Resampling.LANCZOS).save(root / "leaf/05-small.jpg")
    Image.open(root / "moss/07.png").point(lambda v: v * 0.9 + 20).save(root / "moss/07-pale.jpg", quality=60)
    Image.open(root / "stone/09.png").crop((1, 1, SIDE - 1, SIDE - 1)).save(root / "stone/09-crop.png")
    (root / "moss/empty.png").touch()
    Image.open(root / "moss/01.png").save(root / "moss/torn.jpg", quality=95)
    whole = (root / "moss/torn.jpg").read_bytes()
    (root / "moss/torn.jpg").write_bytes(whole[: len(whole) // 2])
    return root


JOBS = {
    QUALITY: "qualities",
    EXPORT: "exports",
    COMPARISON: "comparisons",
}  # the others are of the chain, or of a recipe's manifest


class Chain:
    """A home with one landed dataset, and the graph's jobs on an instance of its own."""

    exact, near, unreadable, n_raw, classes = EXACT, NEAR, UNREADABLE, N_RAW, CLASSES

    def __init__(self, root: Path, data: Path, *, threads: int = 2, **resources) -> None:
        import dagster as dg

        from definitions import build_defs
        from resources import ComputeResource, HomeResource

        self.data, self.home = data, Home.find(root).ensure()
        self.zone = LandingZone(self.home.landing)
        self.zone.land(data, "set")
        self.instance = dg.DagsterInstance.ephemeral()
        here = {"compute": ComputeResource(threads=threads, read_in_subprocess=False)}
        self.defs = build_defs(home=HomeResource(path=str(root)), **here, **resources)

    def run(self, *stages: str, recipe: str = "", config=None, dataset: str = "set"):
        """Run stages of the chain, or a recipe's stage; return Dagster's result."""
        import dagster as dg

        from assets.partitions import DATASET, RECIPE, manifest_key

        self.instance.add_dynamic_partitions(DATASET, [dataset])
        if recipe:
            self.instance.add_dynamic_partitions(RECIPE, [recipe])
        job = next((JOBS[stage] for stage in stages if stage in JOBS), "manifests" if recipe else "chain")
        return self.defs.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            partition_key=manifest_key(dataset, recipe) if recipe else dataset,
            asset_selection=[dg.AssetKey(s) for s in stages or ((MANIFEST,) if recipe else CHAIN)],
            run_config={
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                "ops": {name: {"config": values} for name, values in (config or {}).items()},
            },
            raise_on_error=False,
        )

    def table(self, asset: str, recipe: str = ""):
        return self.home.store().need(asset, "set", recipe)

    def rows(self, asset: str, recipe: str = ""):
        """The rows of an asset by their first column."""
        columns = self.table(asset, recipe).arrow(["*"])
        return dict(zip(columns.column(0).to_pylist(), columns.to_pylist(), strict=True))

    def versions(self) -> dict[str, str]:
        """The data version of everything that is stored."""
        store = self.home.store()
        found = {a: store.need(a, "set").meta.data_version for a in CHAIN if store.get(a, "set")}
        return found | {r: store.need(MANIFEST, "set", r).meta.data_version for r in store.recipes("set")}

    def grow(self, *recipes: str) -> "Chain":
        """Run the whole chain and the recipes."""
        for result in (self.run(), *(self.run(recipe=r) for r in recipes)):
            assert self.succeeded(result)
        return self

    def twin(self, **resources) -> "Chain":
        """The same home, as another process would open it."""
        return Chain(self.home.root, self.data, **resources)

    @staticmethod
    def succeeded(result) -> bool:
        """Return True, or raise with what failed."""
        failures = [e.step_failure_data for e in result.all_events if e.is_step_failure]
        assert not failures, [f.user_failure_data or f.error for f in failures]
        return result.success

    @staticmethod
    def failure(result) -> str:
        """The words of the step that failed."""
        assert not result.success
        found = [e.step_failure_data for e in result.all_events if e.is_step_failure]
        return found[0].user_failure_data.description

    @staticmethod
    def steps(result) -> list[str]:
        """The steps that ran."""
        return [e.step_key for e in result.all_events if e.event_type_value == "STEP_START"]

    def files(self) -> dict[str, tuple[int, int]]:
        """Every file of the home with its size and mtime, the Dagster instance's left out."""
        return files_below(self.home.root)

    def manifest(self, recipe: str) -> dict[str, bytes]:
        """The files of a manifest folder."""
        folder = self.home.manifests / "set" / recipe.replace(":", "~")
        return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def files_below(root: Path) -> dict[str, tuple[int, int]]:
    """Return every file below ``root`` with its size and mtime; the Dagster instance's and locks are left out."""
    found = {}
    for folder, below, names in os.walk(root):
        below[:] = [b for b in below if b != "dagster"]
        for name in names:
            path = Path(folder, name)
            if not name.endswith(".lock"):
                found[str(path.relative_to(root))] = (path.lstat().st_size, path.lstat().st_mtime_ns)
    return found


@pytest.fixture(scope="session")
def namespace() -> list[str]:
    """What stands before a command to run it in a PID namespace of its own, as a container does."""
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    for prefix in (command, [*command, "--user", "--map-root-user"]):
        if (
            shutil.which("unshare")
            and subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode == 0
        ):
            return prefix
    pytest.skip("this machine makes no PID namespace: unshare --pid --fork --mount-proc does not work")


@pytest.fixture(scope="session")
def textures(tmp_path_factory) -> Path:
    """The tiny dataset; read it, never change it."""
    return write_textures(tmp_path_factory.mktemp("data") / "textures")


@pytest.fixture
def chain(tmp_path, textures) -> Chain:
    """A fresh home with the dataset landed and nothing run."""
    return Chain(tmp_path / "home", textures)


@pytest.fixture(scope="session")
def grown(tmp_path_factory, textures):
    """A home with the whole chain and two manifests; (chain, results). Read it, never change it."""
    chain = Chain(tmp_path_factory.mktemp("grown") / "home", textures)
    results = {"chain": chain.run()}
    assert chain.succeeded(results["chain"])
    for recipe in ("density@0.3", "random@0.5:seed=7"):
        results[recipe] = chain.run(recipe=recipe)
        assert chain.succeeded(results[recipe])
    return chain, results


@pytest.fixture(scope="session")
def new_chain() -> type[Chain]:
    """The class, for tests that open homes of their own."""
    return Chain


@pytest.fixture
def regrown(tmp_path, grown) -> Chain:
    """A copy of the grown home, to change."""
    chain, _ = grown
    shutil.copytree(chain.home.root, tmp_path / "home", symlinks=True)
    return Chain(tmp_path / "home", chain.data)


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    """What a test needs to make a dataset of its own."""
    return SimpleNamespace(Chain=Chain, texture=texture, write_textures=write_textures)


COLOURS = ("red", "green", "blue")


def write_two_towers(folder: Path) -> Path:
    """Write a model folder whose image tower tells the mean colour and whose text tower knows its three words."""
    import openvino
    from openvino import opset13 as op
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    def named(node, name):
        node.output(0).get_tensor().set_names({name})
        return node

    folder.mkdir(parents=True)
    words = ["[PAD]", "a", "photo", "of", *COLOURS]
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((8, 8)))[0].astype(np.float32)
    pixels = named(op.parameter([-1, 3, 16, 16], np.float32, name="pixel_values"), "pixel_values")
    mean = op.reduce_mean(pixels, op.constant(np.array([2, 3])), keep_dims=False)
    image = named(op.matmul(mean, op.constant(basis[:3]), False, False), "image_embeds")
    ids = named(op.parameter([-1, 7], np.int64, name="input_ids"), "input_ids")
    table = 0.01 * np.ones((len(words), 8), np.float32)
    table[4:7] = basis[:3]
    found = op.gather(op.constant(table), ids, op.constant(0))
    text = named(op.reduce_sum(found, op.constant(np.array([1])), keep_dims=False), "text_embeds")
    openvino.save_model(openvino.Model([image], [pixels]), folder / "image_encoder.xml", compress_to_fp16=False)
    openvino.save_model(openvino.Model([text], [ids]), folder / "text_encoder.xml", compress_to_fp16=False)
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[PAD]"))
    made.normalizer, made.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 7, "pad_token": "[PAD]"}))
    size = {"height": 16, "width": 16}
    preprocessing = {"size": {"shortest_edge": 16}, "crop_size": size, "image_mean": [0.0] * 3, "image_std": [1.0] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    return folder


@pytest.fixture(scope="session")
def two_towers(tmp_path_factory) -> Path:
    """A folder with a tiny model of pictures and texts in one space: colours and their names."""
    return write_two_towers(tmp_path_factory.mktemp("models") / "colours")


class Answer(NamedTuple):
    """What a command said."""

    code: int
    out: str
    err: str

    def json(self):
        """Return what it printed as JSON; a failed command shows its error."""
        assert self.code == 0, self.err
        return json.loads(self.out)


def espalier(*args: str, home: Path, stdin: str = "") -> Answer:
    """Run the command line in this process."""
    from espalier.cli.main import main

    out, err = io.StringIO(), io.StringIO()
    known = dict(os.environ)
    os.environ.pop("DAGSTER_HOME", None)
    os.environ["ESPALIER_HOME"] = str(home)
    real, sys.stdin = sys.stdin, io.StringIO(stdin)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main([str(a) for a in args])
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.stdin = real
        os.environ.clear()
        os.environ.update(known)
    return Answer(int(code), out.getvalue(), err.getvalue())


@pytest.fixture(scope="session", name="espalier")
def espalier_fixture():
    """The command line: ``espalier("status", home=folder)``."""
    return espalier


@pytest.fixture(scope="session", name="files_below")
def files_below_fixture():
    """Every file below a folder with its size and mtime."""
    return files_below
