"""The Dagster page as a person sees it, in a headless Chromium."""

import base64
import contextlib
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
WAIT = 90_000


def _images(folder: Path) -> None:
    rng = np.random.default_rng(5)
    for label in ("stripes", "dots"):
        for number in range(15):
            noise = rng.integers(0, 255, (12, 12, 3), np.uint8)
            path = folder / label / f"{number:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise).resize((96, 96), Image.Resampling.BICUBIC).save(path)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    root = tmp_path_factory.mktemp("home")
    _images(root / "pictures")
    env = os.environ | {"ESPALIER_HOME": str(root / "espalier")}
    command = [sys.executable, "-m", "espalier.cli", "prune", str(root / "pictures"), "-m", "density", "-r", "0.5"]
    subprocess.run(command, env=env, check=True, capture_output=True)
    return root / "espalier"


@pytest.fixture(scope="module")
def address(home):
    port = _free_port()
    env = os.environ | {"ESPALIER_HOME": str(home)}
    command = [sys.executable, "-m", "espalier.cli", "ui", "-p", str(port)]
    log = (home / "ui.log").open("w")
    process = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            assert process.poll() is None, (home / "ui.log").read_text()
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/server_info", timeout=5).read()
                break
            time.sleep(1)
        yield address
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        log.close()


@pytest.fixture(scope="module")
def page(address):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert chromium, "these tests need Chromium; leave them out with: make test"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        page = browser.new_page(viewport={"width": 1500, "height": 1000})
        page.set_default_timeout(WAIT)
        yield page
        browser.close()


def test_the_lineage_page_shows_five_groups_and_every_asset_when_they_are_opened(page: Page, address: str):
    page.goto(f"{address}/asset-groups", wait_until="domcontentloaded")
    groups = ("landing", "duplicates", "embeddings", "clusters", "subsets")
    for group in groups:
        expect(page.get_by_text(group, exact=True).first).to_be_visible(timeout=WAIT)
    opened = ",".join(f"global@global:{group}" for group in groups)
    page.goto(f"{address}/asset-groups?expanded={opened}", wait_until="domcontentloaded")
    for asset in ("landed", "raw_dataset", "dedup_set", "semantic_dedup_set", "pruned_manifest"):
        expect(page.get_by_text(asset, exact=True).first).to_be_visible(timeout=WAIT)


def test_a_manifest_shows_its_plot(page: Page, address: str):
    page.goto(f"{address}/assets/pruned_manifest", wait_until="domcontentloaded")
    expect(page.get_by_text("pictures|density@0.5").first).to_be_visible(timeout=WAIT)
    page.get_by_text("Show Markdown").first.click()
    picture = page.locator("img[src^='data:image/png']").first
    expect(picture).to_be_visible(timeout=WAIT)
    assert picture.evaluate("image => image.naturalWidth") > 300


def test_a_recipe_added_in_the_page_gets_its_manifest_by_itself(page: Page, address: str, home: Path):
    page.goto(f"{address}/assets/pruned_manifest?view=partitions", wait_until="domcontentloaded")
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_text("Add a partition").last.click()
    page.get_by_placeholder("name").last.fill("cluster_random@0.4")
    page.get_by_role("button", name="Save").click()
    wanted = home / "manifests" / "pictures" / "cluster_random@0.4" / "kept.txt"
    deadline = time.monotonic() + 150
    while not wanted.exists() and time.monotonic() < deadline:
        time.sleep(1)
    assert len(wanted.read_text().split()) == 12


def test_a_search_is_typed_launched_and_seen_in_the_page(page: Page, address: str, home: Path):
    """What a person does who never opens a terminal: Jobs, explore, Launchpad, one line changed, Launch Run, look."""
    page.goto(f"{address}/jobs", wait_until="domcontentloaded")
    page.get_by_text("explore", exact=True).first.click()
    expect(page.get_by_text("what to look for, one or several lines").first).to_be_visible(timeout=WAIT)
    page.get_by_role("tab", name="Launchpad").click()
    page.locator(".CodeMirror-line", has_text="str:a red car").click()
    page.keyboard.press("Home")
    page.keyboard.press("Shift+End")
    page.keyboard.type("- item:dots/03")
    page.keyboard.press("Escape")
    expect(page.get_by_text("No errors").first).to_be_visible(timeout=WAIT)
    page.get_by_role("button", name="Launch Run").click()
    expect(page.get_by_text("RUN_SUCCESS").first).to_be_visible(timeout=WAIT)
    expect(page.get_by_text("dots/03.png", exact=True).first).to_be_visible(timeout=WAIT)
    page.get_by_text("[Show Markdown]").first.click()
    picture = page.locator("img[src^='data:image/']").first
    expect(picture).to_be_visible(timeout=WAIT)
    source = picture.get_attribute("src")
    assert len(source) < 151_000, "small enough for an event log"
    small = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
    (whole,) = (home / "dagster" / "sheets").glob("*.png")  # what the path beside it names
    drawn = Image.open(whole).convert("RGB")
    assert abs(small.height / small.width - drawn.height / drawn.width) < 0.02
    query = Image.open(home.parent / "pictures/dots/03.png").resize((112, 112), Image.Resampling.NEAREST)
    tile = np.asarray(drawn).astype(int)[6:118, 6:118]
    assert np.abs(tile - np.asarray(query)).mean() < 8, "the sheet begins with the query"
    assert drawn.height > 5 * 112, "thirty results, eight a row, below it"
