"""Networks that have learned something: what they answer survives the export, in FP32 and in FP16.

Random parameters give activations of one size everywhere; those of a trained network are uneven, and its accuracy
is a measure that nobody chose for the toolkit's convenience.
"""
import functools

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from exports import quick_export
from trained import CLASSES, PREPROCESSING, SIZE, TRAINED, digits, network_inputs, registered, weights_file

from edgenext_deploy import Classifier
from edgenext_deploy.artifacts.engine_file import open_engine_file
from edgenext_deploy.artifacts.manifest import TensorSpec
from edgenext_deploy.export.checks.torch_settings import quiet_torch
from edgenext_deploy.export.lowering.context import LoweringContext
from edgenext_deploy.export.lowering.lower import lower
from edgenext_deploy.export.lowering.trace import emit
from edgenext_deploy.export.precision.emulate import Emulator
from edgenext_deploy.export.precision.fp32_pins import pins_of, require_typed_fp16
from edgenext_deploy.export.precision.typed import to_typed
from edgenext_deploy.export.request import ExportRequest
from edgenext_deploy.formulations import parse_formulation
from edgenext_deploy.models.checkpoints.checkpoint import apply, load_checkpoint
from edgenext_deploy.models.factory import create_model
from edgenext_deploy.runtime.options import RuntimeOptions

BATCH = 128
LEAST_ACCURACY = 0.95
LOST_TO_FP16 = 0.005  # accuracy
TOLERANCE = 0.01  # of FP16 logits, relative to the largest
FORMS = [("nchw", 13), ("nchw", 20), ("tokens", 20)]
HELD_OUT_IMAGES, LABELS = digits()[1]
HELD_OUT = len(LABELS)


@pytest.fixture(autouse=True)
def _registered():
    with registered():
        yield


@functools.lru_cache(maxsize=None)
def held_out():
    return network_inputs(HELD_OUT_IMAGES)


def load(name):
    loaded = load_checkpoint(weights_file(name), variant=TRAINED[name], num_classes=CLASSES)
    assert loaded.layout == "official"
    model = create_model(name, num_classes=CLASSES)
    apply(model, loaded)
    return model.requires_grad_(False)


def reference(model, count=None):
    with quiet_torch():
        return model(torch.from_numpy(held_out()[:count])).numpy()


@functools.lru_cache(maxsize=None)
def expected_logits(name):
    return reference(load(name))


def lowered(model, layout, opset):
    graph, islands = emit(
        lower(model, LoweringContext(BATCH, SIZE, SIZE, parse_formulation(layout))),
        (TensorSpec("image", (BATCH, 3, SIZE, SIZE), "float32"),),
        (TensorSpec("logits", (BATCH, CLASSES), "float32"),), opset, {13: 7, 20: 9}[opset], "digits")
    return graph, pins_of(graph, islands)


def in_batches(run, count=HELD_OUT):
    return np.concatenate([run(held_out()[i:i + BATCH]) for i in range(0, count, BATCH)])


def run_ort(model):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return in_batches(lambda images: session.run(None, {"image": images})[0])


def run_fp16(graph, pins, accumulate="fp32", count=HELD_OUT):
    """Run with every FP16 value rounded. ONNX Runtime's CPU kernels keep FP32 between neighbouring FP16 nodes."""
    emulator = Emulator(graph)
    return in_batches(lambda images: emulator.run(images, pins, accumulate)["logits"], count)


def accuracy(logits):
    """Return the share of right answers for the first of the held-out images."""
    return (logits.argmax(1) == LABELS[:len(logits)]).mean()


def relative_error(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


def assert_as_good(found, expected):
    assert accuracy(expected) > LEAST_ACCURACY
    assert accuracy(found) >= accuracy(expected) - LOST_TO_FP16
    assert relative_error(found, expected) < TOLERANCE


@pytest.mark.parametrize("name", sorted(TRAINED))
def test_the_network_has_learned_and_every_block_takes_part(name):
    assert accuracy(expected_logits(name)) > LEAST_ACCURACY
    model = load(name)
    scales = {key: value for key, value in model.named_parameters() if "gamma" in key}
    assert len(scales) == 9  # one for each of six blocks, and one for each of three attentions
    for key, scale in scales.items():
        learned = scale.clone()
        spread = learned.abs().std() / learned.abs().mean()
        assert spread > 0.1, key  # they all began equal
        scale.zero_()
        assert relative_error(reference(model, BATCH), expected_logits(name)[:BATCH]) > 5 * TOLERANCE, key
        scale.copy_(learned)


@pytest.mark.parametrize("layout, opset", FORMS)
@pytest.mark.parametrize("name", sorted(TRAINED))
def test_fp32_answers_as_pytorch_on_every_image(name, layout, opset):
    found = run_ort(lowered(load(name), layout, opset)[0].SerializeToString())
    expected = expected_logits(name)
    assert accuracy(found) > LEAST_ACCURACY
    assert (found.argmax(1) == expected.argmax(1)).all()
    assert relative_error(found, expected) < 1e-5


@pytest.mark.parametrize("layout, opset", FORMS)
@pytest.mark.parametrize("name", sorted(TRAINED))
def test_fp16_is_as_accurate(name, layout, opset):
    graph, pins = lowered(load(name), layout, opset)
    expected = expected_logits(name)
    typed = to_typed(graph, pins)
    require_typed_fp16(typed, pins)
    assert_as_good(run_ort(typed.SerializeToString()), expected)
    rounded = run_fp16(graph, pins)
    assert_as_good(rounded, expected)
    assert relative_error(rounded, expected) > 1e-5  # or nothing was rounded


def test_fp16_is_as_accurate_even_if_sums_are_fp16():
    graph, pins = lowered(load("digits"), "nchw", 13)
    count = 2 * BATCH
    found = run_fp16(graph, pins, "fp16", count)
    assert_as_good(found, expected_logits("digits")[:count])
    assert relative_error(found, run_fp16(graph, pins, count=count)) > 1e-4  # or the sums were not FP16


def enlarge(model):
    """Scale what the norms see in stage 0 and in the attentions, which changes no answer: norms scale it back."""
    first = model.downsample_layers[0][1]
    parameters = [first.weight, first.bias]
    for block in model.stages[0]:
        parameters += [block.dwconv.bias, block.gamma]
    for stage in model.stages[1:]:
        qkv = stage[-1].xca.qkv
        queries_and_keys = 2 * qkv.in_features
        parameters += [qkv.weight[:queries_and_keys], qkv.bias[:queries_and_keys]]
    for parameter in parameters:
        parameter.mul_(200)


@pytest.mark.parametrize("opset", [13, 20])
def test_large_activations_need_their_islands(opset):
    model = load("digits")
    enlarge(model)
    expected = reference(model)
    assert relative_error(expected, expected_logits("digits")) < 1e-3
    graph, pins = lowered(model, "nchw", opset)
    assert_as_good(run_fp16(graph, pins), expected)

    def without(island):
        left = {node: reason for node, reason in pins.items() if not reason.startswith(island)}
        assert len(left) < len(pins)
        return np.nan_to_num(run_fp16(graph, left, count=BATCH))

    assert accuracy(without("LayerNorm")) < 0.5
    assert relative_error(without("L2 norm"), expected[:BATCH]) > 5 * TOLERANCE


def export(name, folder, **options):
    result = quick_export(ExportRequest(
        name, fp16=True, weights=weights_file(name), num_classes=CLASSES, image_size=SIZE,
        output=str(folder), **options))
    manifest = open_engine_file(result.onnx_path).manifest()
    assert not manifest.weights.random
    assert manifest.weights.source == f"{name}.safetensors (bare, official layout)"
    assert manifest.preprocessing == PREPROCESSING
    return result.onnx_path, manifest


def test_a_typed_file_through_the_whole_export(tmp_path):
    path, manifest = export("digits", tmp_path, target="a100", batch=BATCH)
    assert (manifest.precision.requested, manifest.precision.mode) == ("fp16", "typed")
    assert_as_good(run_ort(path), expected_logits("digits"))


def test_a_nano_file_through_the_whole_export_and_the_classifier(tmp_path):
    names = [f"digit {digit}" for digit in range(CLASSES)]
    (tmp_path / "digits.txt").write_text("\n".join(names))
    path, manifest = export("digits_bn_hs", tmp_path, target="nano", labels=str(tmp_path / "digits.txt"))
    with Classifier(path, runtime=RuntimeOptions(threads=1), top_k=1) as classify:
        answers = [classify(image)[0].label for image in HELD_OUT_IMAGES]
    expected = expected_logits("digits_bn_hs")
    assert answers == [names[digit] for digit in expected.argmax(1)]
    # The file is FP32; the manifest says which nodes the builder must keep so.
    assert (manifest.precision.requested, manifest.precision.mode) == ("fp16", "flag")
    pins = {node: reason for reason, nodes in manifest.precision.fp32_pins.items() for node in nodes}
    emulator = Emulator(onnx.load(path))
    found = np.concatenate([emulator.run(image[None], pins)["logits"] for image in held_out()[:BATCH]])
    assert (found.argmax(1) == expected[:BATCH].argmax(1)).all()
    assert relative_error(found, expected[:BATCH]) < TOLERANCE
