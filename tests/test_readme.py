"""The commands of README and docs exist, with their options; their links lead somewhere.

What the first export prints is held against docs/exporting.md in `tests/export/test_export_cli.py`.
"""
import ast
import importlib
import re
from pathlib import Path

import click
import paths
import pytest
from command_lines import parse, scripts
from documented import DOCUMENTS, commands
from import_graph import STAGES

ROOT = Path(paths.ROOT)

# A file of Python itself, one of the user, and a name that no room has.
NOT_OURS = {"pyvenv.cfg", "boards.toml", "measure/", "xxs.plan.racing/"}

def mentions():
    """Return the commands with an argument that are named within a sentence; they need not be complete."""
    found = set()
    for path in DOCUMENTS:
        prose = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S)
        found.update(" ".join(text.split()) for text in re.findall(r"`(edgenext-[a-z]+\s[^`]+)`", prose))
    return sorted(found)


def test_there_are_commands():
    assert len(commands()) >= 40 and len(mentions()) >= 10


@pytest.mark.parametrize("line", commands())
def test_commands_and_their_options_exist(line):
    parse(line)


@pytest.mark.parametrize("line", mentions())
def test_commands_within_sentences_exist(line, capsys):
    try:
        parse(line)
    except click.exceptions.Exit:
        assert capsys.readouterr().out  # --help
    except click.MissingParameter:
        pass
    except click.BadOptionUsage as error:
        assert "requires an argument" in error.message


@pytest.mark.parametrize("line", [
    "edgenext-bench tabel3", "edgenext-bench --engin x", "edgenext-bench compare --nope x.json",
    "edgenext-run --top-k x", "edgenext-build inspect --fp16 x.plan", "edgenext-models s",
    "edgenext-export --variant s --no-such"])
def test_a_command_that_does_not_exist_would_be_found(line):
    with pytest.raises(click.UsageError):
        parse(line)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_what_the_code_in_pages_imports_exists(path):
    for block in re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.S):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("edgenext_deploy"):
                module = importlib.import_module(node.module)
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


def paths_named(text):
    """Return the files and folders that a page names in backticks, as they are written there."""
    return re.findall(r"`([a-z0-9_.]+(?:/[a-z0-9_.]+)*(?:\.(?:py|cu|csv|toml|cfg)|/))`", text)


def lies_somewhere(path):
    """Whether a file lies under the root, or where the sentence leaves its folder out, anywhere in the project."""
    if "/" in path.rstrip("/"):
        return any((base / path).exists() for base in (ROOT, ROOT / "edgenext_deploy"))
    folders = ("edgenext_deploy", "models", "export", "engines", "benchmarks", "tests", "docs")
    return (ROOT / path).exists() or any(
        found for folder in folders for found in (ROOT / folder).rglob(path.rstrip("/")))


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if path.name != "moved.md"], ids=lambda path: path.name)
def test_files_named_in_sentences_exist(path):
    text = path.read_text(encoding="utf-8")
    assert [name for name in paths_named(text) if name not in NOT_OURS and not lies_somewhere(name)] == []


def test_a_file_that_does_not_exist_would_be_found():
    assert paths_named("`preprocess_cpu.py`, `measure/` and `tests/core/test_preprocess_cpu.py`")[1:] == [
        "measure/", "tests/core/test_preprocess_cpu.py"]
    assert not lies_somewhere("preprocess_cpu.py") and not lies_somewhere("tests/core/test_preprocess_cpu.py")
    assert lies_somewhere("preprocess/kernels.cu") and lies_somewhere("trace.py")


def test_the_design_page_names_every_room():
    rooms = {path.parent.relative_to(ROOT) for folder in ("edgenext_deploy", *STAGES)
             for path in (ROOT / folder).glob("*/**/__init__.py")}
    rooms = {room for room in rooms if room.parts[:2] not in [("edgenext_deploy", stage) for stage in STAGES]}
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    assert len(rooms) > 25
    assert sorted(str(room) for room in rooms if "`{}/`".format(room.name) not in page) == []


def test_the_scripts_are_the_commands_of_the_documents():
    assert {line.split()[0] for line in commands()} == set(scripts())
