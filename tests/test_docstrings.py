"""Public docstrings name every argument and field, with shapes, dtypes, units and the errors raised.

Public is what the five packages list in ``__all__``, with its methods. References in backticks are checked in every
docstring of the project.
"""
import linecache
import sys
import types

import pytest
from docstring_rules import References, faults_of, public_names
from import_graph import module_files

PUBLIC = dict(public_names())


def test_there_is_something_to_check():
    assert len(PUBLIC) >= 10
    assert all(callable(found) for found in PUBLIC.values())


@pytest.mark.parametrize("name", PUBLIC)
def test_public_docstrings_are_complete(name):
    faults = list(faults_of(PUBLIC[name]))
    assert faults == [], "\n".join(faults)


@pytest.fixture(scope="module")
def references():
    return References(module_files())


def test_references_lead_somewhere(references):
    assert sorted(references.stale()) == []


GOOD = '''
import numpy as np
from typing import List, NamedTuple

class Box(NamedTuple):
    """A box.

    Attributes:
        name: of what is in it.
        left: edge in pixels.
    """

    name: str
    left: float

class Finder:
    """Finds boxes.

    Args:
        threads: number of threads.

    Raises:
        ValueError: no threads.
    """

    def __init__(self, threads: int = 1) -> None:
        if threads < 1:
            raise ValueError(threads)

    def find(self, image: np.ndarray) -> np.ndarray:
        """Return the boxes of an image as float32 `[boxes, 4]`.

        Args:
            image: uint8 `[H, W, 3]`.
        """
'''


def planted(source, name):
    """Return the faults of one class of a module with that source."""
    module = types.ModuleType("planted")
    sys.modules["planted"] = module
    # inspect finds the source by way of the cache of lines.
    linecache.cache["planted.py"] = (len(source), None, source.splitlines(keepends=True), "planted.py")
    exec(compile(source, "planted.py", "exec"), vars(module))
    try:
        return list(faults_of(getattr(module, name)))
    finally:
        del sys.modules["planted"]


def test_complete_docstrings_have_no_fault():
    assert planted(GOOD, "Box") == [] and planted(GOOD, "Finder") == []


@pytest.mark.parametrize("name, old, new, fault", [
    ("Box", "        name: of what is in it.\n", "", "no entry for the field name"),
    ("Box", "edge in pixels", "its edge", "left: a number without a unit or a range"),
    ("Finder", "    Args:\n        threads: number of threads.\n", "", "no entry for threads"),
    ("Finder", "threads: number of threads", "threads: likewise", "threads: a number without a unit or a range"),
    ("Finder", "threads: number", "workers: 0\n        threads: number", "an entry for workers, which is no parameter"),
    ("Finder", "ValueError: no threads", "KeyError: no threads", "ValueError is raised and not listed"),
    ("Finder", "image: uint8 `[H, W, 3]`", "image: a photo", "find: image: an array without a shape"),
    ("Finder", "image: uint8 `[H, W, 3]`", "image: `[H, W, 3]`", "find: image: an array without a shape"),
    ("Finder", "Return the boxes of an image as float32 `[boxes, 4]`", "Return boxes", "find: it returns an array"),
    ("Finder", "Return the boxes", "The boxes", "find: it does not say what it returns"),
    ("Finder", '    """Finds boxes.', '    "', "no docstring"),
])
def test_a_planted_fault_is_found(name, old, new, fault):
    assert old in GOOD
    source = GOOD.replace(old, new) if fault != "no docstring" else GOOD.replace(
        GOOD[GOOD.index('    """Finds'):GOOD.index("    def __init__")], "")
    assert any(found.startswith(fault) for found in planted(source, name)), planted(source, name)


@pytest.mark.parametrize("reference, stale", [
    ("plan_check.require_fit", False), ("plan_check.open_plan", True), ("Detector", False), ("Detektor", True),
    ("edgenext_deploy.errors.UsageError", False), ("edgenext_deploy.errors.UseError", True),
    ("edgenext_deploy.artifacts.plan", True), ("artifacts.plan_check", False), ("engines.selftest_nms", True)])
def test_a_stale_reference_is_found(references, reference, stale):
    assert references.stale_in("See `{}`.".format(reference)) == ([reference] if stale else [])
