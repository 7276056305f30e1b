"""The live page in a real browser: it moves, its numbers change, it comes back, it fits a phone."""
import io
import json
import re
import shutil
import subprocess
import sys
import time

import browser
import pytest
from paths import DATA, ROOT
from PIL import Image, ImageChops

pytestmark = [
    pytest.mark.real, pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing())),
    pytest.mark.skipif(sys.version_info < (3, 7), reason="the tests with raw sockets run on 3.6 too")]

HOSTILE = "<img src=x onerror=\"document.title='run'\">"
STATE = "document.getElementById('state').textContent"


def start(folder, *arguments):
    """Start the command; return the process and the page's address."""
    child = subprocess.Popen(
        [sys.executable, "-m", "edgenext_deploy.run.cli", str(folder / "tiny.onnx"), "synthetic://320x240@30",
         "--threads", "1", "--labels", str(folder / "labels.json"), *arguments], cwd=ROOT, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, universal_newlines=True)
    line = child.stderr.readline()
    found = re.match(r"live page: (\S+)", line)
    assert found, line + child.stderr.read()
    return child, found.group(1)


def end(child):
    child.terminate()
    child.communicate(timeout=20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    for suffix in (".onnx", ".json"):
        shutil.copy(DATA + "/tiny_classifier" + suffix, str(folder / ("tiny" + suffix)))
    (folder / "labels.json").write_text(json.dumps([HOSTILE + str(index) for index in range(10)]))
    return folder


@pytest.fixture(scope="module")
def page():
    with browser.Browser() as page:
        yield page


def shown(page, path):
    page.screenshot(path)
    return Image.open(io.BytesIO(path.read_bytes())).convert("RGB").crop((30, 120, 830, 500))


def test_the_page_lives_and_comes_back(page, folder, tmp_path):
    child, address = start(folder, "--serve", "0")
    port = address.rsplit(":", 1)[1].strip("/")
    try:
        page.open(address)
        page.wait(STATE + " === 'live'")
        # The picture moves: synthetic:// has another colour every two seconds.
        page.wait("document.getElementById('picture').naturalWidth === 320")
        first, until = shown(page, tmp_path / "a.png"), time.monotonic() + 6.0
        while ImageChops.difference(first, shown(page, tmp_path / "b.png")).getbbox() is None:
            assert time.monotonic() < until
            time.sleep(0.2)
        # Its numbers change, and are those of the run.
        numbers = [int(page.text("captured").replace(",", "")) for _ in range(2) if time.sleep(0.6) is None]
        assert numbers[1] > numbers[0] > 0
        assert float(page.text("fps")) > 0 and float(page.text("p50")) > 0
        # A label is text.
        assert page.run("return document.querySelector('#bars .label').textContent").startswith(HOSTILE)
        assert page.run("return document.title") != "run"
        assert page.console() == []
    finally:
        end(child)
    # The run ends: the page says so, and connects again when it is back.
    page.wait(STATE + " === 'no connection'")
    child, _ = start(folder, "--serve", port)
    try:
        page.wait(STATE + " === 'live'")
        page.wait("document.getElementById('picture').naturalWidth === 320")
        before = int(page.text("captured").replace(",", ""))
        page.wait("+document.getElementById('captured').textContent.replace(',', '') > {}".format(before))
        # Paused, nothing is sent to it.
        page.run("document.getElementById('pause').click()")
        stopped = page.text("captured")
        time.sleep(0.7)
        assert page.text("captured") == stopped and page.text("state") == "paused"
        page.run("document.getElementById('pause').click()")
        page.wait(STATE + " === 'live'")
    finally:
        end(child)
    page.console()


@pytest.mark.parametrize("width", [390, 320, 768])
def test_it_fits_the_width(page, folder, width):
    child, address = start(folder, "--serve", "0")
    try:
        page.size(width, 844, 2, mobile=True)
        page.open(address)
        page.wait(STATE + " === 'live'")
        page.wait("document.getElementById('picture').naturalWidth === 320")
        assert page.run("return document.documentElement.scrollWidth") <= width
        wide = page.run("return [...document.querySelectorAll('body *')].filter(element => "
                        "element.getBoundingClientRect().right > arguments[0] + 0.5).map(element => element.id)", width)
        assert wide == []
    finally:
        page.size(1280, 800)
        end(child)


def test_the_token_leaves_the_address_and_an_old_one_is_named(page, folder):
    child, address = start(folder, "--serve", "0.0.0.0:0", "--serve-token", "first-token")
    assert address.endswith("?token=***")
    local = re.sub(r"//[^/]*:", "//127.0.0.1:", address).replace("***", "first-token")
    try:
        page.open(local.split("?")[0])
        assert "token is missing" in page.run("return document.body.innerText")
        page.open(local)
        page.wait(STATE + " === 'live'")
        assert page.run("return location.search + document.cookie") == ""
    finally:
        end(child)
    where = local.split("/")[2].replace("127.0.0.1", "0.0.0.0")
    child, _ = start(folder, "--serve", where, "--serve-token", "another-one")
    try:
        page.wait(STATE + " === 'no access'")
    finally:
        end(child)
