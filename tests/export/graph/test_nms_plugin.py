"""The graph that ends in TensorRT's NMS plugin. The plugin itself is a double in numpy: no TensorRT has run it here."""
import dataclasses

import numpy as np
import onnx
import pytest
from onnx import helper

from edgenext_deploy import Detector
from edgenext_deploy.artifacts.engine_file import open_engine_file
from edgenext_deploy.data import path_of
from edgenext_deploy.engines.selftest.golden_test import compare
from edgenext_deploy.errors import IncompatibleError, UsageError, VerificationError
from edgenext_deploy.export.checks.rtx import build_with_rtx
from edgenext_deploy.export.commands.report import as_data, next_commands
from edgenext_deploy.export.request import ExportRequest
from edgenext_deploy.export.verdict import judge
from edgenext_deploy.export.verdict.reading import load_model
from edgenext_deploy.networks.nms import suppress
from edgenext_deploy.runtime.open import open_session
from edgenext_deploy.runtime.session import Session
from edgenext_deploy.targets import TARGETS

PHOTO = path_of("photos", "cat.jpg")


class PluginSession(Session):
    """What an engine with the plugin gives, out of the graph without it; `change` spoils the outputs by name."""

    def __init__(self, exported, change=lambda outputs: None):
        self.manifest, self.plain, self.change = exported.nms.manifest, open_session(exported.onnx_path), change
        self.inputs, self.outputs, self.timings = self.plain.inputs, self.manifest.outputs[::-1], self.plain.timings

    def infer_all(self, image):
        boxes, scores = self.plain.infer_all(image)
        self.timings = self.plain.timings
        kept = suppress(boxes[0], scores[0], self.manifest.detection)
        # In an order of its own, and with leftovers behind the last detection.
        order = np.random.RandomState(0).permutation(len(kept.scores))
        found = {spec.name: np.full(spec.shape, 77, spec.dtype) for spec in self.outputs}
        found["num_detections"][0, 0] = len(order)
        for name, values in (("boxes", kept.boxes), ("scores", kept.scores), ("classes", kept.classes)):
            found["detection_" + name][0, :len(order)] = values[order]
        self.change(found)
        return tuple(found[spec.name] for spec in self.outputs)

    def close(self):
        self.plain.close()

    def submit(self, image):
        raise NotImplementedError

    collect = describe = submit


@pytest.fixture
def exported(nano_head):
    return nano_head("xxs_ssdlite")


def test_the_node_is_nvidias(exported):
    model, plain = load_model(exported.nms.onnx_path), onnx.load(exported.onnx_path)
    node = model.graph.node[-1]
    assert list(model.graph.node[:-1]) == list(plain.graph.node)
    assert (node.op_type, list(node.input)) == ("EfficientNMS_TRT", ["boxes", "scores"])
    assert {item.name: helper.get_attribute_value(item) for item in node.attribute} == {
        "plugin_version": b"1", "background_class": -1, "max_output_boxes": 200,
        "score_threshold": pytest.approx(0.01), "iou_threshold": 0.5, "score_activation": 0, "box_coding": 0}
    names = ["num_detections", "detection_boxes", "detection_scores", "detection_classes"]
    assert list(node.output) == [output.name for output in model.graph.output] == names
    sizes = [[dim.dim_value for dim in output.type.tensor_type.shape.dim] for output in model.graph.output]
    assert sizes == [[1, 1], [1, 200, 4], [1, 200], [1, 200]]
    kinds = [output.type.tensor_type.elem_type for output in model.graph.output]
    assert kinds == [onnx.TensorProto.INT32, onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT, onnx.TensorProto.INT32]


def test_what_goes_into_the_plugin_is_computed_in_fp32(exported):
    model = onnx.load(exported.nms.onnx_path)
    pinned = {name for names in exported.nms.manifest.precision.fp32_pins.values() for name in names}
    producers = {value: node for node in model.graph.node for value in node.output}
    for value in ("boxes", "scores"):
        node = producers[value]
        while node.op_type in ("Reshape", "Transpose", "Concat", "Slice", "Identity"):
            node = producers[node.input[0]]
        assert node.name in pinned, (value, node.op_type)


def test_both_files_have_their_manifests(exported):
    manifest = open_engine_file(exported.nms.onnx_path).manifest()
    assert manifest == exported.nms.manifest and manifest.graph.file == "xxs_ssdlite.nms.onnx"
    plain = open_engine_file(exported.onnx_path).manifest()
    assert (manifest.golden, manifest.detection, manifest.precision) == (plain.golden, plain.detection, plain.precision)
    assert [spec.name for spec in plain.outputs] == ["boxes", "scores"]
    assert exported.engine_path == exported.nms.onnx_path
    assert as_data(exported)["nms_plugin"]["onnx"] == exported.nms.onnx_path
    assert [warning for warning in exported.warnings if "not to work on a Jetson Nano" in warning]
    commands = next_commands(exported)
    assert commands[0].startswith("edgenext-run " + exported.onnx_path)
    assert commands[-1].startswith("edgenext-build xxs_ssdlite.nms.onnx")


@pytest.mark.parametrize("release, severity", [
    ("8.0", "warning"), ("8.2", "warning"), ("8.5", "note"), ("10.3", "note"), ("10.11", "note"),
    ("10.13", "warning"), ("11.x", "warning"), ("rtx-1.7", "error")])
def test_the_verdict_knows_the_plugin(exported, release, severity):
    judged = judge.judge(onnx.load(exported.nms.onnx_path), release)
    (finding,) = [finding for finding in judged.findings if finding.op == "EfficientNMS_TRT"]
    assert finding.severity == severity and judged.supported is (severity != "error")


def test_targets_without_the_plugin_refuse_it(exported):
    analysis = judge.analyse(onnx.load(exported.nms.onnx_path))
    refused = [name for name, target in TARGETS.items() if judge.target_problems(analysis, target)]
    assert refused == ["rtx", "onnxruntime"]


def test_onnx_runtime_and_tensorrt_rtx_themselves_refuse_it(exported):
    with pytest.raises(IncompatibleError, match="plugin EfficientNMS_TRT, which ONNX Runtime does not have") as caught:
        open_session(exported.nms.onnx_path)
    assert caught.value.fix.endswith("without the plugin: " + exported.onnx_path)
    report = build_with_rtx(exported.nms.onnx_path)
    assert report.available and not report.ok and "EfficientNMS_TRT" in report.reason


@pytest.mark.parametrize("changes, message", [
    ({"model_or_variant": "xxs"}, "xxs is for classification"),
    ({"target": "onnxruntime"}, "onnxruntime"), ({"target": "rtx"}, "rtx"),
    ({"target": "a100", "fp16": True, "io": "fp16"}, "FP32")])
def test_where_there_is_no_plugin_it_is_refused(tmp_path, changes, message):
    request = ExportRequest("xxs_ssdlite", nms="plugin", output=str(tmp_path))
    with pytest.raises(UsageError, match=message):
        dataclasses.replace(request, **changes).resolve()


def test_the_self_test_takes_what_was_chosen_from_the_reference(exported):
    with open_session(exported.onnx_path) as session:
        plain = compare(session, exported.manifest)
    result = compare(PluginSession(exported), exported.nms.manifest)
    assert result.ok and result.top1_equal and 0 < result.max_relative_error <= plain.max_relative_error * 1.01


def set_item(name, place, value):
    def change(outputs):
        outputs[name][place] = value
    return change


def lose_the_best(outputs):
    outputs["detection_scores"][0, outputs["detection_scores"][0, :outputs["num_detections"][0, 0]].argmax()] = 0.011


def nothing(outputs):
    outputs["num_detections"][:] = 0


def move(outputs):
    outputs["detection_boxes"][0, 0] += 0.5


@pytest.mark.parametrize("change", [
    lose_the_best, nothing, move, set_item("detection_scores", (0, 1), 0.9),
    set_item("detection_scores", (0, 1), np.nan)])
def test_the_self_test_notices_wrong_numbers(exported, change):
    assert not compare(PluginSession(exported, change), exported.nms.manifest).ok


def twice(outputs):
    for name in ("boxes", "scores", "classes"):
        outputs["detection_" + name][0, 1] = outputs["detection_" + name][0, 0]


@pytest.mark.parametrize("change, message", [
    (twice, "overlap by 1.00"), (set_item("num_detections", (0, 0), 201), "201 detections"),
    (set_item("num_detections", (0, 0), -1), "-1 detections"), (set_item("detection_classes", (0, 0), 80), "class 80")])
def test_the_self_test_notices_what_no_suppression_gives(exported, change, message):
    with pytest.raises(VerificationError, match=message):
        compare(PluginSession(exported, change), exported.nms.manifest)


@pytest.fixture
def plugin_engine(exported, monkeypatch):
    """Return the path of the graph with the plugin, which opens as its double; `change` is an attribute of it."""
    session = PluginSession(exported)
    monkeypatch.setattr("edgenext_deploy.networks.base.open_session", lambda *arguments, **named: session)
    return exported.nms.onnx_path, session


@pytest.mark.parametrize("options", [{}, {"score_threshold": 0.013, "keep": 5}])
def test_a_detector_gives_the_same_either_way(exported, plugin_engine, monkeypatch, options):
    with Detector(plugin_engine[0], **options) as detect:
        monkeypatch.undo()
        with Detector(exported.onnx_path, **options) as plain:
            expected = plain(PHOTO)
            assert expected and detect(PHOTO) == expected
    assert len(expected) <= options.get("keep", 200)


def test_a_detector_refuses_settings_that_the_plugin_cannot_follow(plugin_engine):
    for options in ({"score_threshold": 0.001}, {"iou_threshold": 0.6}, {"keep": 201}):
        with pytest.raises(UsageError, match="suppresses boxes itself"):
            Detector(plugin_engine[0], **options)


def test_a_detector_refuses_impossible_answers(plugin_engine):
    path, session = plugin_engine
    with Detector(path) as detect:
        for name, value, message in (("detection_classes", 80, "class 80"), ("detection_boxes", np.inf, "not finite")):
            session.change = set_item(name, (0, 0), value)
            with pytest.raises(VerificationError, match=message):
                detect(PHOTO)
