"""Imports point one way: down the table of docs/design.md, and heavy ones wait until they are needed."""
import ast
import subprocess
import sys

import pytest
from cpu_time import cpu_seconds
from import_graph import ROOT, STAGES, imports_in, imports_of

# folder -> the project's packages it may import
ALLOWED = {
    "edgenext_deploy": set(),
    "models": set(),
    "export": {"models"},
    "engines": set(),
    "benchmarks": {"engines", "models"},
}
# folder -> third-party packages it may import, at any depth; None: anything
THIRD_PARTY = {
    "edgenext_deploy": {"numpy", "PIL", "click", "rich", "onnxruntime", "tensorrt", "pycuda", "cv2", "openvino", "ray",
                        "tritonclient"},
    "models": {"numpy", "click", "rich", "torch", "safetensors"},
    "export": {"numpy", "click", "rich", "torch", "onnx", "onnxsim", "onnxruntime", "tensorrt_rtx"},
    "engines": {"numpy", "click", "rich", "tensorrt", "tensorrt_rtx"},
    "benchmarks": {"numpy", "click", "rich", "pycocotools", "onnx", "PIL"},
}
STANDARD = set(sys.stdlib_module_names)


def violations(folder, path):
    for name in imports_of(path.read_text(encoding="utf-8")):
        parts = name.split(".")
        if parts[0] == "edgenext_deploy":
            stage = parts[1] if len(parts) > 1 and parts[1] in STAGES else None
            if stage and stage != folder and stage not in ALLOWED[folder]:
                yield name
        elif parts[0] not in STANDARD and parts[0] not in THIRD_PARTY[folder]:
            yield name


@pytest.mark.parametrize("folder", sorted(ALLOWED))
def test_imports_point_down(folder):
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    found = {str(path.relative_to(ROOT)): sorted(violations(folder, path)) for path in files}
    assert {path: names for path, names in found.items() if names} == {}


def test_the_harness_imports_the_definitions_only_inside_functions():
    """They need torch and Python 3.10; the harness needs them for torch:VARIANT alone."""
    for path in sorted((ROOT / "benchmarks").rglob("*.py")):
        named = [name for node in ast.parse(path.read_text()).body for name in imports_in(node)]
        assert not [name for name in named if name.startswith("edgenext_deploy.models")], path


def test_a_planted_import_is_found(tmp_path):
    planted = tmp_path / "planted.py"
    planted.write_text("import torch\nfrom edgenext_deploy.export.graph.builder import GraphBuilder\n")
    assert list(violations("edgenext_deploy", planted)) == ["torch",
                                                            "edgenext_deploy.export.graph.builder.GraphBuilder"]


def run(code, **options):
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, **options).stdout


def test_importing_the_package_loads_nothing_heavy():
    heavy = run(
        "import sys, edgenext_deploy\n"
        "print([m for m in ('torch', 'onnx', 'onnxruntime', 'numpy', 'PIL', 'rich') if m in sys.modules])",
        cwd=str(ROOT))
    assert heavy.strip() == "[]"


def test_the_classifier_is_importable_by_the_advertised_line():
    heavy = run(
        "from edgenext_deploy import Classifier\nimport sys\n"
        "print(Classifier.__name__, 'torch' in sys.modules, 'onnxruntime' in sys.modules)", cwd=str(ROOT))
    assert heavy.split() == ["Classifier", "False", "False"]


def test_import_is_quick():
    assert cpu_seconds([sys.executable, "-c", "import edgenext_deploy"], cwd=str(ROOT)) < 0.3


@pytest.mark.parametrize("module", [
    "edgenext_deploy.run.cli", "edgenext_deploy.models.cli", "edgenext_deploy.export.commands.cli",
    "edgenext_deploy.benchmarks.commands.cli", "edgenext_deploy.benchmarks.accuracy.cli", "edgenext_deploy.engines.cli",
    "edgenext_deploy.doctor.cli"])
def test_help_is_quick_and_loads_nothing_heavy(module):
    assert cpu_seconds([sys.executable, "-m", module, "--help"], cwd=str(ROOT)) < 0.5
    heavy = run(
        "import sys, importlib\n"
        "importlib.import_module('{}')\n"
        "print([m for m in ('torch', 'onnx', 'onnxruntime', 'PIL') if m in sys.modules])".format(module), cwd=str(ROOT))
    assert heavy.strip() == "[]"


def test_the_export_command_leaves_torch_to_the_export():
    """It imports torch without the garbage collector, which saves a tenth of the command's time."""
    run("import sys\n"
        "from edgenext_deploy.export import api\n"
        "from edgenext_deploy.export.commands import cli\n"
        "api.export_onnx = lambda *arguments, **options: sys.exit(int('torch' in sys.modules))\n"
        "sys.argv = ['edgenext-export', '--variant', 'xxs']\n"
        "cli.main()", cwd=str(ROOT))
