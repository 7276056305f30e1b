"""The version of an installed library, without importing it."""
import os
import sys

import pytest

from edgenext_deploy.machine.environment import module_version
from edgenext_deploy.machine.installed import find_installed


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(*metadata):
        (tmp_path / "toylib").mkdir(exist_ok=True)
        (tmp_path / "toylib" / "__init__.py").write_text("raise SystemError('imported')\n")
        for name in metadata:
            (tmp_path / name).mkdir()
        return find_installed("toylib")

    yield install
    sys.modules.pop("toylib", None)


@pytest.mark.parametrize("metadata, version", [
    (["toylib-1.2.3.dist-info"], "1.2.3"), (["toylib_cu12-10.0.0b6.dist-info"], "10.0.0b6"),
    (["toylib-1.2.3-py3.6.egg-info"], "1.2.3"), (["toylib-1.2.dist-info", "toylib_cu12-1.2.dist-info"], "1.2"),
    (["toylib-1.2.dist-info", "toylib-1.3.dist-info"], None), (["toylib_extra-9.9.dist-info"], None), ([], None),
])
def test_the_metadata_says_the_version(site, metadata, version):
    found = site(*metadata)
    assert found.origin.endswith("__init__.py") and found.version == version


def test_a_folder_that_may_not_be_listed(site, tmp_path, monkeypatch):
    """Python does without: it finds a module by its name."""
    listdir = os.listdir

    def refuse(path):
        if path == str(tmp_path):
            raise PermissionError(13, "Permission denied")
        return listdir(path)

    monkeypatch.setattr(os, "listdir", refuse)
    found = site("toylib-1.2.dist-info")
    assert found.origin.endswith("__init__.py") and found.version is None


def test_what_is_not_there(site, tmp_path):
    assert find_installed("toylib") is None
    (tmp_path / "toylib").mkdir()  # a leftover folder
    assert find_installed("toylib") is None
    assert module_version("toylib") is None


def test_it_is_imported_only_if_its_metadata_does_not_say(site):
    assert site("toylib-1.2.post1.dist-info").version == "1.2.post1"
    assert module_version("toylib") == "1.2"


def test_a_library_that_breaks_when_it_is_imported_counts_as_none(site):
    site()
    assert module_version("toylib") is None
