"""Through the exported file, every variant reproduces the published code's logits.

Parameters and input are those of tests/data/README.md; the files go through the command's own pipeline, as
checkpoints in the official layout and in timm's.
"""
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from golden_parameters import image, parameters
from timm_layout import to_timm

from edgenext_deploy import manifest as manifests
from edgenext_deploy.export.pipeline import run_export
from edgenext_deploy.export.request import ExportRequest
from edgenext_deploy.models.registry import VARIANTS

DATA = Path(__file__).resolve().parent.parent / "data"
SHAPES = {**json.loads((DATA / "official_shapes.json").read_text()),
          **json.loads((DATA / "mobilevit_shapes.json").read_text())}
GOLDEN = {**np.load(DATA / "official_given.npz"), **np.load(DATA / "mobilevit_given.npz")}
TOLERANCE = 1e-4
FORBIDDEN = {"Einsum", "Shape", "Gather", "CumSum", "Expand", "If", "Loop", "Range", "ConstantOfShape"}


def checkpoint(variant, folder, layout="official"):
    state = {key: torch.from_numpy(np.array(value)) for key, value in parameters(SHAPES[variant]).items()}
    if layout == "timm" and not variant.startswith("mobilevit"):
        state = {to_timm(key): value for key, value in state.items()}
    path = folder / f"{variant}_{layout}.pth"
    torch.save({"state_dict": state} if layout == "timm" else {"model_ema": state, "model": {}}, path)
    return str(path)


def run_onnx(path, size):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": image(size, size)})[0]


def relative_error(found, key):
    return np.abs(found - GOLDEN[key]).max() / np.abs(GOLDEN[key]).max()


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_the_nano_file_reproduces_the_published_code(variant, tmp_path):
    result = run_export(ExportRequest(variant, fp16=True, weights=checkpoint(variant, tmp_path), output=str(tmp_path)))
    assert relative_error(run_onnx(result.onnx_path, 256), f"{variant}_256x256") < TOLERANCE
    model = onnx.load(result.onnx_path)
    assert model.opset_import[0].version == 13 and model.ir_version <= 7
    assert not {node.op_type for node in model.graph.node} & FORBIDDEN
    assert all(node.name for node in model.graph.node)
    manifest = manifests.read_for(result.onnx_path)
    assert manifest.verdicts["8.2"]["supported"]
    assert manifest.precision.mode == "flag"
    assert not manifest.weights.random


@pytest.mark.parametrize("variant, layout, target, size", [
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
])
def test_other_layouts_targets_and_sizes(variant, layout, target, size, tmp_path):
    result = run_export(ExportRequest(
        variant, target=target, weights=checkpoint(variant, tmp_path, layout), height=size, width=size,
        output=str(tmp_path)))
    assert relative_error(run_onnx(result.onnx_path, size), f"{variant}_{size}x{size}") < TOLERANCE
