"""A graph whose batch is open gives each image what the graph for one image gives it, or it is refused."""
import dataclasses
import os

import exports
import numpy as np
import onnx
import onnxruntime
import pytest
from adoption_files import NETWORKS, adopted_network
from onnx import TensorProto, helper, numpy_helper
from paths import DATA, TINY
from sweeps import sweep

from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.errors import IncompatibleError
from edgenext_deploy.export import open_batch as rules
from edgenext_deploy.export import open_batch_step
from edgenext_deploy.export.checks.rtx import RtxBuild, RtxReport, build_with_rtx
from edgenext_deploy.export.open_batch import open_batch
from edgenext_deploy.export.open_batch_step import checked_open_batch
from edgenext_deploy.formulations import candidates_for
from edgenext_deploy.preprocess.input_form import image_shape


@pytest.fixture(autouse=True)
def no_rtx(monkeypatch):
    monkeypatch.setattr(open_batch_step, "build_with_rtx", exports.build_nothing)


def checked(path, most=3):
    with open(path, "rb") as stream:
        return checked_open_batch(stream.read(), manifests.read(manifests.manifest_path(path)), most)


def require_image_by_image(path, most=3):
    """Check the open graph of an export with more images than it was checked with, by ONNX Runtime alone."""
    opened = checked(path, most)
    assert opened.batches == tuple(sorted({1, most // 2 + 1, most})) and opened.refused == ()
    fixed, several = onnxruntime.InferenceSession(path), onnxruntime.InferenceSession(opened.content)
    assert [value.shape[0] for value in (*several.get_inputs(), *several.get_outputs())] == ["batch"] * (
        1 + len(several.get_outputs()))
    taken = fixed.get_inputs()[0]
    kind = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}[taken.type]
    images = (np.random.RandomState(0).normal(size=(most + 2, *taken.shape[1:])) * 50).astype(kind)
    found = several.run(None, {taken.name: images})
    for index, image in enumerate(images):
        for left, right in zip(fixed.run(None, {taken.name: image[None]}), found):
            if left.dtype.kind == "f":
                assert np.abs(left[0] - right[index]).max() <= 1e-4 * np.abs(left).max()
            else:
                assert (left[0] == right[index]).mean() > 0.999
    return opened


@pytest.mark.parametrize("name", ["tiny_classifier", "tiny_one", "tiny_probabilities"])
def test_forms_of_the_graph(name):
    require_image_by_image(os.path.join(DATA, name + ".onnx"))


@pytest.mark.parametrize("variant", sweep(["xxs_ssdlite", "xxs_deeplabv3"], always=["xxs_deeplabv3"]))
def test_a_detector_and_a_segmenter(variant, nano_head):
    require_image_by_image(nano_head(variant).onnx_path)


FORMULATIONS = sorted({*candidates_for(True, "nchw"), *candidates_for(False, "nchw")})
FORMS = [{"formulation": name} for name in FORMULATIONS] + [
    {"fp16": True}, {"target": "a100", "fp16": True, "precision_mode": "typed"}, {"fold_normalization": True},
    {"input": "uint8-nhwc", "target": "a100"}]


@pytest.mark.parametrize("options", sweep(FORMS, always=[]), ids=str)
def test_forms_of_a_network(options, tmp_path):
    require_image_by_image(exports.export("xxs", tmp_path, image_size=64, **options).onnx_path, most=2)


@pytest.mark.parametrize("variant", sweep(["xxs", "s", "xxs_bn_hs", "mobilevit_xxs", "mobilevitv2_050"], always=[]))
def test_families(variant, tmp_path):
    require_image_by_image(exports.export(variant, tmp_path, image_size=96).onnx_path)


# torchvision's detector takes the boxes of the first image only.
ONE_IMAGE = "ssdlite_mobilenet_v3"


@pytest.mark.parametrize("name", sweep([name for name in NETWORKS if name != ONE_IMAGE], always=["vit"]))
def test_adopted_networks(name, tmp_path):
    require_image_by_image(adopted_network(name + "_17", tmp_path).onnx_path)


@pytest.mark.sweep
def test_an_adopted_detector_of_one_image_is_refused(tmp_path):
    with pytest.raises(IncompatibleError, match=r"node .*Squeeze.* does not take two images"):
        checked(adopted_network(ONE_IMAGE + "_17", tmp_path).onnx_path)


def model_of(nodes, constants=(), shape=(1, 3, 4, 4), output=(1, 3, 4, 4)):
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


# What a first size can be beside a batch, and what a constant can fix.
MIXED = [
    ("one mean for all images", model_of([helper.make_node("ReduceMean", ["image"], ["mean"], "mean", axes=[0]),
                                          helper.make_node("Sub", ["image", "mean"], ["out"], "out")])),
    ("boxes of the first image", model_of(
        [helper.make_node("Reshape", ["image", "rows"], ["all"], "all"),
         helper.make_node("Squeeze", ["all", "first"], ["boxes"], "boxes"),
         helper.make_node("Unsqueeze", ["boxes", "first"], ["out"], "out")],
        [("rows", [1, 12, 4]), ("first", [0])], output=(1, 12, 4))),
    ("rows of all images in one order", model_of(
        [helper.make_node("Reshape", ["image", "rows"], ["all"], "all"),
         helper.make_node("Transpose", ["all"], ["turned"], "turned", perm=[1, 0]),
         helper.make_node("Reshape", ["turned", "back"], ["out"], "out")],
        [("rows", [12, 4]), ("back", [1, 3, 4, 4])]))]


@pytest.mark.parametrize("why, model", MIXED, ids=[why for why, _ in MIXED])
def test_images_that_would_not_stay_apart_are_refused(why, model):
    manifest = manifests.read(manifests.manifest_path(TINY))
    with pytest.raises(IncompatibleError, match=r"batch cannot be open: (several images do|node)") as caught:
        checked_open_batch(model.SerializeToString(), manifest, 3)
    assert "--max-batch" in caught.value.fix


def test_a_constant_beside_each_image_is_repeated():
    token = np.arange(3, dtype=np.float32).reshape(1, 1, 3)
    model = model_of([helper.make_node("Reshape", ["image", "rows"], ["all"], "all"),
                      helper.make_node("Concat", ["token", "all"], ["out"], "out", axis=1)],
                     [("rows", [1, 16, 3]), ("token", token)], output=(1, 17, 3))
    opened = onnxruntime.InferenceSession(open_batch(model).SerializeToString())
    images = np.random.RandomState(0).normal(size=(5, 3, 4, 4)).astype(np.float32)
    found = opened.run(None, {"image": images})[0]
    assert (found[:, :1] == token).all() and (found[:, 1:] == images.reshape(5, 16, 3)).all()


def test_the_batch_need_not_be_the_first_size():
    """As in attention of PyTorch's own, whose tokens come before the batch."""
    model = model_of([helper.make_node("Transpose", ["image"], ["turned"], "turned", perm=[1, 2, 0, 3]),
                      helper.make_node("Reshape", ["turned", "tokens"], ["flat"], "flat"),
                      helper.make_node("Reshape", ["flat", "again"], ["wide"], "wide"),
                      helper.make_node("Transpose", ["wide"], ["out"], "out", perm=[2, 0, 1, 3])],
                     [("tokens", [12, 1, 4]), ("again", [3, 4, 1, 4])])
    opened = onnxruntime.InferenceSession(open_batch(model).SerializeToString())
    images = np.random.RandomState(0).normal(size=(5, 3, 4, 4)).astype(np.float32)
    assert (opened.run(None, {"image": images})[0] == images).all()


@pytest.mark.parametrize("answer, words", [
    ({"parsed": True, "ok": True}, "TensorRT-RTX 1.7 parses it"),
    ({"parsed": True, "ok": True, "builds": (RtxBuild("86", True, 1.0, 9, ()),)},
     "TensorRT-RTX 1.7 parses it and builds it for 1 to 3"),
    ({"parsed": True, "reason": "no engine for SM86"}, "TensorRT-RTX 1.7 does not build it: no engine for SM86"),
    ({"errors": ("node 'a'",), "reason": "node 'a'"}, "TensorRT-RTX 1.7 does not parse it: node 'a'"),
    ({"available": False, "reason": "it is not installed"}, "TensorRT-RTX said nothing: it is not installed")])
def test_the_words_say_what_each_judge_said(answer, words, monkeypatch):
    report = RtxReport(**{"available": True, "ok": False, "version": "1.7", **answer})
    monkeypatch.setattr(open_batch_step, "build_with_rtx", lambda *arguments, **options: report)
    opened = checked(TINY)
    assert opened.words().endswith("; TensorRT's table has nothing more against it; " + words)
    assert "TensorRT 8.0, 8.2 would not take it" in dataclasses.replace(opened, refused=("8.0", "8.2")).words()


@pytest.mark.real
def test_nvidias_builder_takes_the_whole_range(monkeypatch, tmp_path):
    monkeypatch.setattr(open_batch_step, "build_with_rtx", build_with_rtx)
    opened = checked(TINY, most=5)
    assert opened.rtx.ok and opened.words().endswith("parses it and builds it for 1 to 5")
    # A range is asked for: beyond it, the same builder has a fixed size.
    model = model_of([helper.make_node("Reshape", ["image", "two"], ["out"], "out")], [("two", [2, 24])],
                     ("batch", 3, 4, 4), ("batch", 24))
    path = tmp_path / "two.onnx"
    path.write_bytes(model.SerializeToString())
    assert not build_with_rtx(str(path), ("86",), largest=5).ok


def test_what_has_no_batch_of_one_is_refused():
    model = model_of([helper.make_node("Squeeze", ["image"], ["out"], "out")], output=(3, 4, 4))
    with pytest.raises(IncompatibleError, match=r"out is \[3, 4, 4\]"):
        open_batch(model)
    with pytest.raises(IncompatibleError, match="this one is for 2"):
        checked(os.path.join(DATA, "tiny_features.onnx"))


def test_a_resize_to_a_size_becomes_one_by_a_scale():
    model = model_of([helper.make_node("Resize", ["image", "", "", "sizes"], ["out"], "out", mode="linear")],
                     [("sizes", [1, 3, 33, 7])], output=(1, 3, 33, 7))
    opened = onnxruntime.InferenceSession(open_batch(model).SerializeToString())
    assert opened.run(None, {"image": np.zeros((5, 3, 4, 4), np.float32)})[0].shape == (5, 3, 33, 7)
    for before in range(1, 70):
        for after in range(before, 520, 3):
            scale = rules._scale(before, after)
            assert int(scale * np.float32(before)) == after and abs(scale * before - after) < 1e-4


def test_the_graph_itself_stays_and_nothing_is_left_over():
    model = onnx.load(TINY)
    before = model.SerializeToString()
    opened = open_batch(model)
    assert model.SerializeToString() == before
    used = {name for node in opened.graph.node for name in node.input}
    assert {tensor.name for tensor in opened.graph.initializer} <= used and not opened.graph.value_info
    assert image_shape(manifests.read(manifests.manifest_path(TINY)).inputs[0])[0] == 1
