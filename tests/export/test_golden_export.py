"""Through the exported file, every variant reproduces the published code's logits.

Parameters and input are those of tests/data/README.md; the files go through the command's own pipeline, as
checkpoints in the official layout and in timm's.
"""
import numpy as np
import onnx
import onnxruntime
import pytest
from golden_exports import GOLDEN, SHAPES, export_golden
from golden_parameters import image
from sweeps import sweep

from edgenext_deploy.artifacts.engine_file import open_engine_file

TOLERANCE = 1e-4
FORBIDDEN = {"Einsum", "Shape", "Gather", "CumSum", "Expand", "If", "Loop", "Range", "ConstantOfShape"}


def run_onnx(path, size):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": image(size, size)})[0]


def relative_error(found, key):
    return np.abs(found - GOLDEN[key]).max() / np.abs(GOLDEN[key]).max()


@pytest.mark.parametrize("variant", sweep(sorted(SHAPES), always=[
    "xxs", "s", "xxs_bn_hs", "mobilevit_xxs", "s_rw", "mobilevitv2_050"]))
def test_the_nano_file_reproduces_the_published_code(variant, nano_export):
    result = nano_export(variant)
    assert relative_error(run_onnx(result.onnx_path, 256), f"{variant}_256x256") < TOLERANCE
    model = onnx.load(result.onnx_path)
    assert model.opset_import[0].version == 13 and model.ir_version <= 7
    assert not {node.op_type for node in model.graph.node} & FORBIDDEN
    assert all(node.name for node in model.graph.node)
    manifest = open_engine_file(result.onnx_path).manifest()
    assert manifest.verdicts["8.2"]["supported"]
    assert manifest.precision.mode == "flag"
    assert not manifest.weights.random


@pytest.mark.parametrize("variant, layout, target, size", sweep([
    ("xxs", "timm", "nano", 256),
    ("xs", "timm", "onnxruntime", 256),
    ("s", "timm", "orin", 256),
    ("b", "timm", "a100", 256),
    ("xxs", "official", "nano", 224),
    ("xs", "official", "onnxruntime", 224),
    ("s", "official", "thor", 224),
    ("xxs_bn_hs", "official", "orin", 224),
    ("xs_bn_hs", "official", "onnxruntime", 256),
    ("s_bn_hs", "official", "xavier", 224),
    ("mobilevit_xxs", "timm", "onnxruntime", 256),
    ("mobilevit_xs", "timm", "rtx", 256),
    ("s_rw", "timm", "onnxruntime", 224),
    ("mobilevitv2_050", "timm", "onnxruntime", 224),
    ("mobilevitv2_050", "timm", "a100", 256),
], always=[("xxs", "timm", "nano", 256), ("xs", "official", "onnxruntime", 224), ("xxs_bn_hs", "official", "orin", 224),
           ("mobilevit_xxs", "timm", "onnxruntime", 256), ("s_rw", "timm", "onnxruntime", 224),
           ("mobilevitv2_050", "timm", "onnxruntime", 224)]))
def test_other_layouts_targets_and_sizes(variant, layout, target, size, tmp_path):
    result = export_golden(variant, tmp_path, layout, target=target, image_size=size)
    assert relative_error(run_onnx(result.onnx_path, size), f"{variant}_{size}x{size}") < TOLERANCE
