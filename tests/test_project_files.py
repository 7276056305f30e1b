"""What stands in two places agrees: versions, numpy for a Nano, pictures, pages; no compiled code is in the tree."""
import ast
import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import paths
import pytest
from import_graph import FACES

from edgenext_deploy.remote.setting_up.pins import PINS
from edgenext_deploy.version import __version__

ROOT = Path(paths.ROOT)


def text_of(*parts):
    return ROOT.joinpath(*parts).read_text(encoding="utf-8")


def test_versions_agree():
    assert re.findall(r"^version: (\S+)$", text_of("CITATION.cff"), flags=re.M) == [__version__]
    assert re.findall(r"^## \[(\d[^\]]*)\]", text_of("CHANGELOG.md"), flags=re.M)[0] == __version__


def test_both_routes_to_a_nano_take_the_numpy_that_runs_there():
    """numpy 1.19.5 ends with "Illegal instruction" on its processor; both make an environment that sees TensorRT."""
    blocks = "".join(re.findall(r"^```\w*\n(.*?)^```$", text_of("docs", "jetson.md"), flags=re.S | re.M))
    assert re.findall(r'"numpy==([\d.]+)"', blocks) == ["1.19.4"]
    assert "-m venv --system-site-packages" in blocks
    assert {"numpy==1.19.4", "onnxruntime==1.10.0"} <= set(PINS[3, 6]) and '"onnxruntime==1.10.0"' in blocks


@pytest.mark.parametrize("given, address", [
    ("cpu", "https://download.pytorch.org/whl/cpu"), ("https://mirror.example", "https://mirror.example"), ("", None)])
def test_torch_comes_from_the_index_that_make_is_told(given, address, tmp_path):
    printed = subprocess.run(
        ["make", "-n", "environments", "CACHE={}".format(tmp_path), "TORCH_INDEX=" + given, "PYTHON=" + sys.executable,
         "PYTHON36=", "PYTHON313=", "CI="], cwd=str(ROOT), check=True, stdout=subprocess.PIPE, universal_newlines=True)
    lines = [line for line in printed.stdout.splitlines() if "--index-url" in line]
    pinned = re.search(r"^torch==\S+", text_of("requirements", "dev.txt"), flags=re.M).group()
    assert len(lines) == (1 if address else 0)
    assert all("--index-url {} {}".format(address, pinned) in line for line in lines)


def test_pictures_are_small_and_shown():
    pictures = sorted((ROOT / "docs" / "pictures").iterdir())
    sizes = {path.name: path.stat().st_size for path in pictures}
    assert len(sizes) >= 5 and max(sizes.values()) < 100_000 and sum(sizes.values()) < 400_000, sizes
    assert [name for name in sizes if "pictures/" + name not in text_of("docs", "gallery.md")] == []


def test_pictures_fetch_nothing():
    for path in (ROOT / "docs" / "pictures").glob("*.svg"):
        assert re.findall(r"https?://(?!www\.w3\.org/)[^\s\"']+", path.read_text(encoding="utf-8")) == [], path.name


def test_every_page_is_in_the_sites_navigation():
    navigation = text_of("mkdocs.yml").partition("\nnav:")[2]
    pages = [path.name for path in (ROOT / "docs").glob("*.md")]
    assert [name for name in pages if name not in re.split(r"[\s,\[\]]+", navigation)] == []


def test_every_public_name_has_its_reference(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import api_pages

    assert set(api_pages.PACKAGES) == set(FACES)
    for package, page in api_pages.pages().items():
        names = api_pages.public_names(package)
        assert re.findall(r"^## `(\w+)`$", page, flags=re.M) == sorted(names)
        assert page.count("```python\n") == page.count("\n```\n")
    assert "- `variant`:" in api_pages.section("create_model", "edgenext_deploy.models.factory")


def test_signatures_are_python(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import api_pages

    shown = [block for page in api_pages.pages().values() for block in re.findall(r"```python\n(.*?)\n```", page, re.S)]
    assert len(shown) > 60
    for block in shown:
        if not block.startswith("class ") and "(" in block.split("\n")[0]:
            ast.parse("def " + block + ": ...")


# How compiled code begins, and the archives that it comes in, which nothing here reads.
FOREIGN = {b"\x7fELF": "ELF", b"MZ": "PE", b"!<arch>\n": "static library", b"\xcf\xfa\xed\xfe": "Mach-O",
           b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


def foreign_parts(name, data):
    """Return what of a file is compiled code or may hold it; a zip file (a wheel, .npz, .pth) is looked into."""
    found = ["{}: {}".format(name, kind) for magic, kind in FOREIGN.items() if data.startswith(magic)]
    if data.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.namelist():
                found += foreign_parts(name + "/" + member, archive.read(member))
    return found


def test_no_compiled_code_is_in_the_tree():
    """NVIDIA's libraries and bindings are fetched when the tests run; none may be published with the project."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=str(ROOT), stdout=subprocess.PIPE, universal_newlines=True)
    if listed.returncode != 0:
        pytest.skip("not a checkout of git")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    files = [path for path in files if path.is_file()]
    assert len(files) > 500
    assert [part for path in files for part in foreign_parts(str(path), path.read_bytes())] == []


@pytest.mark.parametrize("data, kind", [
    (b"\x7fELF\x02\x01\x01", "ELF"), (b"MZ\x90\x00", "PE"), (b"!<arch>\nlibnvinfer", "static library")])
def test_compiled_code_is_recognised_alone_and_in_a_wheel(data, kind):
    wheel = io.BytesIO()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tensorrt/tensorrt.so", data)
    assert foreign_parts("a", data) == ["a: " + kind]
    assert foreign_parts("a.whl", wheel.getvalue()) == ["a.whl/tensorrt/tensorrt.so: " + kind]
