"""What is read from a list of engine layers, in each of TensorRT's spellings, and what is concluded."""
import json

import pytest

from edgenext_deploy.engines.precision import proof
from edgenext_deploy.engines.precision.layer_work import Work
from edgenext_deploy.errors import VerificationError
from edgenext_deploy.tensorrt_api import engine_layers
from edgenext_deploy.tensorrt_api.engine_layers import EngineLayer

PINS = {"norm/mean": "LayerNorm", "norm": "LayerNorm"}
# Two lines of the log of TensorRT-RTX 1.7.1.116, shortened: a kernel that fuses a LayerNorm, and a convolution.
RTX_LOG = "\n".join(["Layers:", (
    "Name: __myl_CastMeanSub_myl0_2, LayerType: kgen, Inputs: [ { Name: a, Dimensions: [1,24,64,64], Strides: "
    "[98304,1,1536,24], StrideOrder: [3,0,2,1], Datatype: Half, Format: (NHWC) Channel major format }], Constants: [ { "
    "Name: c, Dimensions: [1,24,1,1], Strides: [24,1,24,24], StrideOrder: [3,0,2,1], Datatype: Float, Format: (NHWC) "
    "Channel major format }], Outputs: [ { Name: b, Dimensions: [1,24,64,64], Datatype: Half, Format: (NHWC) Channel "
    "major format }], TacticName: __myl_Cast_0x07, StreamId: 0, "
    "Metadata: [ONNX Layer: conv/to_fp32][ONNX Layer: norm/mean][ONNX Layer: norm]"), (
    "Name: conv_U21_myl0_3, LayerType: correlation, Inputs: [ { Name: b, Dimensions: [1,24,64,64], Datatype: Half, "
    "Format: x }], Constants: [ { Name: w, Dimensions: [24,1,3,3], Strides: [9,1,3,1], Datatype: Half, Format: y }, { "
    "Name: s, Dimensions: [1], Datatype: Float, Format: z }], Outputs: [ { Name: d, Dimensions: [1,24,64,64], "
    "Datatype: Half, Format: y }], TacticName: __myelin_CASK_STUB, StreamId: 0, Metadata: [ONNX Layer: conv]"), ""])
# The form of 8.0, as users post it.
OLD_LOG = """Engine Layer Information:
Layer(Scale): data_bn + data_scale, Tactic: 0, data[Float(-2,3,300,300)] -> data_bn[Float(-2,3,300,300)]
Layer(CaskConvolution): conv2 + sum, Tactic: 4772821744921, a[Half(-2,32,75,75)], b[Half(-2,32,75,75)] -> c[Half(-2,32)]
Layer(Reformat): Reformatting CopyNode for Output Tensor 0 to pool, Tactic: 0, x[Float(-2,32,75)] -> y[Half(-2,32,75)]
"""


def layer(name="a", inputs=("fp16",), outputs=("fp16",), weights="", nodes=None, kind="CaskConvolution"):
    return EngineLayer(name, kind, (name,) if nodes is None else nodes, inputs, outputs, weights)


@pytest.mark.parametrize("text, expected", [
    ("Row major linear FP16 format", "fp16"), ("Half", "fp16"), ("DataType.HALF", "fp16"),
    ("Two wide channel vectorized row major FP16 format", "fp16"), ("Row major linear FP32", "fp32"), ("Float", "fp32"),
    ("Channel major FP32 format", "fp32"), ("DataType.FLOAT", "fp32"), ("BFloat16", "other"), ("BF16", "other"),
    ("Int8", "other"), ("Row major linear INT32", "other"), ("Float8", "other"), ("FP8", "other"), ("", "other"),
    ("Unknown format", "other"), ("N/A due to dynamic shapes", "other")])
def test_types(text, expected):
    assert engine_layers.element_type(text) == expected


@pytest.mark.parametrize("name, expected", [
    ("conv1 + relu1", ("conv1", "relu1")), ("PWN(PWN(act/erf), act/mul)", ("PWN", "PWN", "act/erf", "act/mul")),
    ("{ForeignNode[stages.0.norm/mean...stages.0.norm]}", ("ForeignNode", "stages.0.norm/mean", "stages.0.norm")),
    ("", ())])
def test_nodes_in_names(name, expected):
    assert engine_layers.nodes_in_name(name) == expected


def test_the_inspector_of_8_and_of_11():
    old = {"Layers": [{
        "Name": "conv + act", "LayerType": "CaskConvolution",
        "Inputs": [{"Name": "x", "Dimensions": [1, 3, 8, 8], "Format/Datatype": "Row major linear FP32"}],
        "Outputs": [{"Name": "y", "Dimensions": [1, 8, 8, 8], "Format/Datatype": "Row major linear FP16 format"}],
        "Weights": {"Type": "Half", "Count": 216}}], "Bindings": ["x", "y"]}
    assert engine_layers.from_inspector(json.dumps(old)) == [EngineLayer(
        "conv + act", "CaskConvolution", ("conv", "act"), ("fp32",), ("fp16",), "fp16")]
    new = {"Layers": [{
        "Name": "__myl_Conv_0", "LayerType": "kgen", "Metadata": "[ONNX Layer: conv]\u001e[ONNX Layer: act]",
        "Inputs": [{"Name": "x", "Datatype": "Half", "Format": "Row major linear"}],
        "Outputs": [{"Name": "y", "Datatype": "Half", "Format": "Row major linear"}],
        "Constants": [{"Name": "w", "Dimensions": [8, 3, 3, 3], "Datatype": "Half"},
                      {"Name": "b", "Dimensions": [1, 8, 1, 1], "Datatype": "Float"}]}], "I/O Tensors": []}
    assert engine_layers.from_inspector(json.dumps(new)) == [EngineLayer(
        "__myl_Conv_0", "kgen", ("__myl_Conv_0", "conv", "act"), ("fp16",), ("fp16",), "fp16")]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", "{}", '{"Layers": ["conv", "act"]}', '{"Layers": 3}'])
def test_an_answer_without_layers_proves_nothing(text):
    with pytest.raises(VerificationError):
        engine_layers.from_inspector(text)


@pytest.mark.parametrize("fields", [
    {}, {"Name": None}, {"Inputs": None, "Outputs": []}, {"Inputs": ["x"], "Outputs": [3]}, {"Weights": "none"},
    {"Constants": [{"Dimensions": [3, 4]}]}, {"Metadata": "[ONNX Layer: cut"}])
def test_layers_with_less_in_them(fields):
    (found,) = engine_layers.from_inspector(json.dumps({"Layers": [fields]}))
    assert proof.classify(found, {}) == "other"


def test_the_log_of_rtx():
    fused, convolution = engine_layers.from_builder_log(RTX_LOG)
    assert fused == EngineLayer("__myl_CastMeanSub_myl0_2", "kgen", (
        "__myl_CastMeanSub_myl0_2", "conv/to_fp32", "norm/mean", "norm"), ("fp16",), ("fp16",), "")
    assert convolution == EngineLayer(
        "conv_U21_myl0_3", "correlation", ("conv_U21_myl0_3", "conv"), ("fp16",), ("fp16",), "fp16")


def test_the_log_of_8_0():
    found = engine_layers.from_builder_log(OLD_LOG)
    assert [(item.kind, item.nodes[:2], item.inputs, item.outputs) for item in found] == [
        ("Scale", ("data_bn", "data_scale"), ("fp32",), ("fp32",)),
        ("CaskConvolution", ("conv2", "sum"), ("fp16", "fp16"), ("fp16",)),
        ("Reformat", ("Reformatting", "CopyNode"), ("fp32",), ("fp16",))]
    assert [item.is_reformat for item in found] == [False, False, True]


def test_a_log_without_layers():
    assert engine_layers.from_builder_log("") == []
    assert engine_layers.from_builder_log("Engine generation completed.\n") == []


@pytest.mark.parametrize("given, expected", [
    (layer(), "fp16"), (layer(inputs=("fp32",), outputs=("fp32",)), "fp32"),
    (layer(inputs=("fp32",), weights="fp16"), "fp16"), (layer(inputs=("fp32",), weights="fp32"), "fp32"),
    (layer(inputs=("fp32",)), "mixed"), (layer(nodes=("conv", "norm/mean")), "mixed"),
    (layer(inputs=("fp32",), outputs=("fp32",), nodes=("norm",)), "fp32"),
    (layer(inputs=("other",), outputs=("other",)), "other"), (layer(inputs=("other", "fp16")), "fp16"),
    (layer(nodes=("norm/mean_extra",)), "fp16")])
def test_classes(given, expected):
    assert proof.classify(given, PINS) == expected


def test_a_proof_counts_and_names():
    made = proof.prove([
        layer("conv", weights="fp16"), layer("norm", ("fp32",), ("fp32",)), layer("soft", ("fp32",), ("fp32",)),
        layer("Reformatting CopyNode for Input Tensor 0 to conv", ("fp32",), ("fp16",), kind="Reformat"),
        layer("shape", ("other",), ("other",)), layer("edge", ("fp32",), ("fp16",))],
        PINS, [], proof.INSPECTOR)
    assert (made.layers, made.reformats, made.fp16_layers, made.mixed_layers, made.fp32_layers, made.other_layers) == (
        6, 1, 1, 1, 2, 1)
    assert made.fp16_layer_share == 0.25
    assert [(item.name, item.pinned, item.reason) for item in made.fp32] == [
        ("norm", True, "LayerNorm"), ("soft", False, "")]
    assert made.fp16_compute_share is None and made.compute_basis.startswith("layers only")


def test_compute_goes_to_the_kernel_that_does_it():
    # The kernel that pads and casts the image carries the convolution's name too.
    found = [layer("__myl_CastPad", ("fp32",), ("fp32",), nodes=("conv",), kind="kgen"),
             layer("conv_U1", weights="fp16", nodes=("conv",), kind="correlation"),
             layer("head", ("fp32",), ("fp32",), weights="fp32")]
    made = proof.prove(found, {}, [Work(("conv",), 300), Work(("head",), 100)], proof.BUILDER_LOG)
    assert made.fp16_compute_share == 0.75 and made.compute_basis == (
        "multiply-adds of convolutions and matrix products")


def test_compute_that_cannot_be_traced_is_said():
    work = [Work(("conv",), 300), Work(("lost",), 100)]
    made = proof.prove([layer("conv", weights="fp16")], {}, work, proof.INSPECTOR)
    assert made.fp16_compute_share == 1.0 and "75%" in made.compute_basis


def test_a_product_of_two_tensors_goes_by_its_inputs():
    made = proof.prove([layer("scores", ("fp16", "fp16"), ("fp32",), kind="gemm")], {}, [Work(("scores",), 1)],
                       proof.INSPECTOR)
    assert made.fp16_compute_share == 1.0


def test_fp16_is_required_of_the_compute():
    half = proof.prove([layer("conv")], {}, [Work(("conv",), 1)], proof.INSPECTOR)
    proof.require_fp16(half)
    # An FP16 copy beside an FP32 convolution is no FP16 engine.
    copy = proof.prove([layer("act"), layer("conv", ("fp32",), ("fp32",))], {}, [Work(("conv",), 1)], proof.INSPECTOR)
    assert copy.fp16_layers == 1
    with pytest.raises(VerificationError) as caught:
        proof.require_fp16(copy)
    assert caught.value.exit_code == 5
    with pytest.raises(VerificationError):
        proof.require_fp16(proof.prove([], {}, [], proof.INSPECTOR))
