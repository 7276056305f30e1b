"""A desk with boards of its own; the wheels are fetched once and kept in .cache/remote."""
import os
from pathlib import Path

import paths
import pytest
from ssh_boards import Desk, base_python

from edgenext_deploy.errors import EdgeNextError
from edgenext_deploy.remote.setting_up.pins import PINS
from edgenext_deploy.remote.setting_up.wheels import fetched_wheels

CACHE = Path(paths.ROOT, ".cache", "remote")


@pytest.fixture(scope="session")
def wheels(tmp_path_factory):
    """Return a folder that stands for the package index of a board with Python 3.6, without a network."""
    before = os.environ.get("EDGENEXT_CACHE")
    os.environ["EDGENEXT_CACHE"] = str(CACHE)
    try:
        paths_there = fetched_wheels([3, 6, 15], "x86_64", PINS[3, 6])
    except EdgeNextError as error:
        pytest.skip("the wheels for Python 3.6 cannot be fetched: {}".format(error.message))
    finally:
        os.environ.pop("EDGENEXT_CACHE")
        os.environ.update({} if before is None else {"EDGENEXT_CACHE": before})
    folder = tmp_path_factory.mktemp("index")
    for path in paths_there:
        (folder / os.path.basename(path)).symlink_to(path)
    return folder


@pytest.fixture
def desk(tmp_path, wheels):
    made = Desk(tmp_path)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "wheels").symlink_to(CACHE / "wheels")
    # What the boards' pip finds in place of PyPI.
    made.index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    assert base_python()
    yield made
    made.close()
