"""docs/moved.md leads to modules that exist, and docs/moved.py rewrites the imports of a program by it."""
import ast
import importlib.util
import subprocess
import sys

from import_graph import ROOT, module_files

# Names that are not only elsewhere but spelled otherwise: CallTimings or SessionTimings, and version_numbers.
RENAMED = {"Timings", "numbers"}
SCRIPT = ROOT / "docs" / "moved.py"
BEFORE = '''"""Written for the old names."""
from edgenext_deploy import preprocess, records as sidecars
from edgenext_deploy.benchmarks.cli import show_progress
import edgenext_deploy.detector


def labels():
    from edgenext_deploy.labels import load_labels
    return load_labels  # of edgenext_deploy/labels.py
'''
AFTER = '''"""Written for the old names."""
from edgenext_deploy.preprocess import photo as preprocess
from edgenext_deploy.artifacts import json_records as sidecars
from edgenext_deploy.commands.progress import show_progress
import edgenext_deploy.networks.detector


def labels():
    from edgenext_deploy.networks.labels import load_labels
    return load_labels  # of edgenext_deploy/networks/labels.py
'''


def tables():
    spec = importlib.util.spec_from_file_location("moved", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.read_table(SCRIPT.with_name("moved.md"))


def names_of(path):
    """Return what a module's statements bind at its top."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        found.update([node.name] if hasattr(node, "name") else [])
        found.update(alias.asname or alias.name for alias in getattr(node, "names", []) if not isinstance(alias, str))
        found.update(part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(
            part.ctx, ast.Store))
    return found


def test_every_row_leads_to_a_module_with_that_name():
    modules, names = tables()
    files = module_files()
    assert len(modules) >= 100 and len(names) >= 3
    assert {old: new for old, new in modules.items() if new not in files} == {}
    assert {key: new for key, new in names.items() if new not in files} == {}
    assert {key[1] for key, new in names.items() if key[1] not in names_of(files[new])} <= RENAMED


def test_a_program_is_rewritten_once(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(BEFORE)
    done = subprocess.run([sys.executable, str(SCRIPT), str(tmp_path)], stdout=subprocess.PIPE, check=True)
    assert b"rewritten" in done.stdout
    assert path.read_text() == AFTER
