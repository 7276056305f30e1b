"""What ``pip install ".[export]"`` brings is enough for both ways to export."""
import subprocess
import sys
from pathlib import Path

import onnx
import paths
import pytest
from only_extra import distributions

SCRIPT = Path(paths.ROOT) / "tests" / "only_extra.py"


@pytest.mark.real
@pytest.mark.parametrize("module", ["plain", "commands.cli"])
def test_both_routes_work_with_the_export_extra_alone(tmp_path, module):
    output = tmp_path / ("plain.onnx" if module == "plain" else "out")
    result = subprocess.run(
        [sys.executable, str(SCRIPT), "export", "edgenext_deploy.export." + module, "--variant", "xxs", "--image-size",
         "64", "--output", str(output)], capture_output=True, text=True, cwd=str(tmp_path))
    assert result.returncode == 0, result.stderr
    onnx.checker.check_model(onnx.load(str(output if module == "plain" else output / "xxs.onnx")))


def test_the_plain_routes_exporter_is_in_the_extra():
    assert {"torch", "onnx", "onnxsim", "onnxruntime", "onnxscript", "safetensors"} <= distributions("export")
    assert not {"pytest", "pycocotools", "tensorrt-rtx-cu13"} & distributions("export")
