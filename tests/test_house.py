"""The rules of the house: no import cycle, names that hide nothing, and a public interface that is what it says."""
import importlib
import inspect
from pathlib import Path

import pytest
from import_graph import FACES, ROOT, cycles, module_files, module_graph, room_graph

FILES = module_files()


@pytest.fixture(scope="module")
def graph():
    return module_graph(FILES)


def test_no_file_imports_in_a_circle(graph):
    assert len(FILES) > 200
    assert cycles(graph) == []


def test_no_room_imports_in_a_circle(graph):
    rooms = room_graph(graph, FILES)
    assert len(rooms) > 25
    assert cycles(rooms) == []


def test_a_planted_circle_is_found():
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert cycles({"a": {"b"}, "b": set()}) == []


def test_nothing_inside_imports_through_a_face(graph):
    """A face lists what modules define; to import through it would lead back to everything."""
    found = {module: sorted(set(imported) & set(FACES)) for module, imported in graph.items() if module not in FACES}
    assert {module: faces for module, faces in found.items() if faces} == {}


@pytest.mark.parametrize("face", FACES)
def test_a_face_is_complete_and_hides_no_module(face):
    """Python binds a submodule over a function of the same name as soon as somebody imports it."""
    for module in FILES:
        if module.startswith("edgenext_deploy.") and not FILES[module].stem.endswith("_child"):
            importlib.import_module(module)
    package = importlib.import_module(face)
    assert package.__all__ == sorted(set(package.__all__)) and package.__doc__
    for name in package.__all__:
        assert not inspect.ismodule(getattr(package, name)), name
        assert name in dir(package)


def test_every_python_child_is_started_in_one_place():
    """Started in another way it would import from the current folder, or outlive its parent."""
    naming = [module for module, path in FILES.items() if "sys.executable" in path.read_text(encoding="utf-8")]
    # The doctor reports the path, and hands it to `python_command`; a board's far side only reports it, and is started
    # once more in its own place where Python has no letters.
    assert sorted(naming) == ["edgenext_deploy.child_process", "edgenext_deploy.doctor.machine",
                              "edgenext_deploy.remote.link.far_side.requests", "edgenext_deploy.remote.link.sources"]


def test_every_module_says_what_it_is():
    silent = [str(path) for path in FILES.values() if not path.read_text(encoding="utf-8").lstrip().startswith('"""')]
    assert silent == []


def test_files_of_the_tests_have_names_of_their_own():
    """pytest imports them by their bare names, whatever folder they lie in."""
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert sorted({name for name in names if names.count(name) > 1}) == []
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_the_links_are_relative():
    for stage in ("models", "export", "engines", "benchmarks"):
        link = ROOT / "edgenext_deploy" / stage
        assert link.is_symlink() and Path(link).readlink() == Path("..", stage)
