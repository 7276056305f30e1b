"""What a file may be like: its input, its outputs, where its weights are, and what no engine can have."""
import time
from unittest import mock

import numpy as np
import onnx
import pytest
from adoption_files import FOLDER, adopted, adopted_network, classifier, graph
from command_lines import run_here
from onnx import TensorProto, helper, numpy_helper

from edgenext_deploy import open_session
from edgenext_deploy.errors import BadInputError, IncompatibleError, UsageError, VerificationError
from edgenext_deploy.export.adoption import normal_form, source_session
from edgenext_deploy.export.adoption.normal_form import prepare
from edgenext_deploy.export.adoption.source_file import read_source
from edgenext_deploy.export.commands.cli import export_command
from edgenext_deploy.run.cli import command as run_command


def infer(result, image):
    with open_session(result.onnx_path) as session:
        return session.infer(image)


def test_an_open_size_must_be_given(tmp_path):
    path = classifier(tmp_path, shape=("n", 3, "h", "w"))
    with pytest.raises(UsageError, match="open sizes"):
        adopted(path, tmp_path)
    assert adopted(path, tmp_path, image_size=32).manifest.inputs[0].shape == (1, 3, 32, 32)
    assert adopted(path, tmp_path, input="x=2x3x16x24", name="two").manifest.inputs[0].shape == (2, 3, 16, 24)
    with pytest.raises(UsageError, match="is \\[1, 3, 8, 8\\] in the file"):
        adopted(classifier(tmp_path), tmp_path, image_size=64)


def test_channels_last_get_a_transpose(tmp_path):
    turn = helper.make_node("Transpose", ["x"], ["turned"], perm=[0, 3, 1, 2])
    path = classifier(tmp_path, before=[turn], source="turned", shape=(1, 8, 16, 3))
    result = adopted(path, tmp_path)
    assert result.manifest.inputs[0].shape == (1, 3, 8, 16)
    image = np.random.default_rng(0).standard_normal((1, 3, 8, 16), dtype=np.float32)
    weight = np.arange(12, dtype=np.float32).reshape(3, 4) / 10 - 0.5
    np.testing.assert_allclose(infer(result, image), image.mean((2, 3)) @ weight, atol=1e-6)


@pytest.mark.parametrize(("op", "activation"), [("Softmax", "softmax"), ("Sigmoid", "sigmoid")])
def test_an_activation_at_the_end_is_told(op, activation, tmp_path):
    path = classifier(tmp_path, after=[helper.make_node(op, ["raw"], ["y"])])
    manifest = adopted(path, tmp_path).manifest
    assert manifest.outputs[0].name == "probabilities"
    assert manifest.scores.activation == activation and manifest.scores.in_graph
    other = {"softmax": "sigmoid", "sigmoid": "softmax"}[activation]
    with pytest.raises(UsageError, match="the file itself ends in"):
        adopted(path, tmp_path, activation=other, force=True)


def test_names_of_the_ends_may_be_taken_inside(tmp_path):
    clash = [helper.make_node("Relu", ["x"], ["logits"], name="image"),
             helper.make_node("Neg", ["logits"], ["image"], name="logits")]
    result = adopted(classifier(tmp_path, before=clash, source="image"), tmp_path)
    image = np.random.default_rng(0).standard_normal((1, 3, 8, 8), dtype=np.float32)
    weight = np.arange(12, dtype=np.float32).reshape(3, 4) / 10 - 0.5
    np.testing.assert_allclose(infer(result, image), -np.maximum(image, 0).mean((2, 3)) @ weight, atol=1e-6)


def test_weights_in_a_second_file(tmp_path):
    model = onnx.load(FOLDER / "mobilenet_v3_17.onnx")
    onnx.save(model, str(tmp_path / "two.onnx"), save_as_external_data=True, location="two.bin", size_threshold=16)
    whole = adopted_network("mobilenet_v3_17", tmp_path, name="whole")
    split = adopted(tmp_path / "two.onnx", tmp_path, name="split")
    assert split.manifest.golden == whole.manifest.golden
    (tmp_path / "two.bin").unlink()
    with pytest.raises(BadInputError, match="no file beside it"):
        adopted(tmp_path / "two.onnx", tmp_path, name="gone")


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "link.bin", ""])
def test_weights_are_read_from_beside_the_file_only(location, tmp_path):
    (tmp_path / "secret.bin").write_bytes(bytes(4096))
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "link.bin").symlink_to(tmp_path / "secret.bin")
    path = classifier(inner)
    model = onnx.load(path)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("length", "48")):
        tensor.external_data.add(key=key, value=value)
    (inner / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(BadInputError, match="no file beside it"):
        read_source(path)


def branch(folder):
    inner = helper.make_graph([helper.make_node("Identity", ["x"], ["inner"])], "then", [],
                              [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)])
    nodes = [helper.make_node("ReduceMax", ["x"], ["largest"], keepdims=0),
             helper.make_node("Greater", ["largest", "zero"], ["yes"]),
             helper.make_node("If", ["yes"], ["chosen"], then_branch=inner, else_branch=inner)]
    return classifier(folder, before=nodes, source="chosen", constants={"zero": np.float32(0)})


def of_data(folder):
    return graph([helper.make_node("NonZero", ["x"], ["found"]),
                  helper.make_node("Cast", ["found"], ["y"], to=TensorProto.FLOAT)], folder)


def sequence(folder):
    nodes = [helper.make_node("SplitToSequence", ["x"], ["s"], axis=1),
             helper.make_node("ConcatFromSequence", ["s"], ["joined"], axis=1)]
    return classifier(folder, before=nodes, source="joined")


def two_inputs(folder):
    return graph([helper.make_node("Add", ["x", "z"], ["y"])], folder,
                 inputs=[helper.make_tensor_value_info("z", TensorProto.FLOAT, (1, 3, 8, 8))])


def bytes_in(folder):
    cast = helper.make_node("Cast", ["x"], ["c"], to=TensorProto.FLOAT)
    return classifier(folder, before=[cast], source="c", kind=TensorProto.UINT8)


def in_training(folder):
    return classifier(folder, before=[helper.make_node("Dropout", ["x", "share", "yes"], ["d"])], source="d",
                      constants={"share": np.float32(0.5), "yes": np.array(True)})


def by_chance(folder):
    return classifier(folder, before=[helper.make_node("RandomNormalLike", ["x"], ["noise"]),
                                      helper.make_node("Add", ["x", "noise"], ["n"])], source="n")


def foreign(folder):
    model = onnx.load(classifier(folder, before=[helper.make_node("Gelu", ["x"], ["g"], domain="com.microsoft")],
                                 source="g"))
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, str(folder / "net.onnx"))
    return str(folder / "net.onnx")


@pytest.mark.parametrize(("make", "words"), [
    (branch, "branch"), (of_data, "as many values as it finds"), (sequence, "sequences"),
    (in_training, "is in training"), (by_chance, "other values each time"),
    (two_inputs, "takes 2 inputs"), (bytes_in, "float32"), (foreign, "domain com.microsoft")])
def test_what_no_engine_can_have(make, words, tmp_path):
    with pytest.raises(IncompatibleError, match=words) as caught:
        adopted(make(tmp_path), tmp_path, name="out")
    assert caught.value.exit_code == 4 and caught.value.fix
    assert not (tmp_path / "out.onnx").exists()


def test_an_old_file_lists_its_constants_as_inputs(tmp_path):
    norm = helper.make_node("BatchNormalization", ["x", "s", "s", "s", "s"], ["z"])
    path = classifier(tmp_path, before=[norm], source="z", constants={"s": np.array([1, 2, 3], np.float32)}, opset=9)
    model = onnx.load(path)
    model.ir_version = 3
    model.graph.input.extend(helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, tensor.dims)
                             for tensor in model.graph.initializer)
    onnx.save(model, path)
    result = adopted(path, tmp_path)
    assert [value.name for value in result.manifest.inputs] == ["image"]
    assert result.manifest.parity.max_relative_error < 1e-5


def test_fp16_has_nothing_to_do_without_products(tmp_path):
    path = graph([helper.make_node("GlobalAveragePool", ["x"], ["y"])], tmp_path)
    with pytest.raises(IncompatibleError, match="no Conv, ConvTranspose"):
        adopted(path, tmp_path, name="out", fp16=True)
    assert adopted(path, tmp_path, name="out").manifest.outputs[0].shape == (1, 3)


def test_a_network_without_an_input(tmp_path):
    path = classifier(tmp_path)
    model = onnx.load(path)
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 3, 8, 8), np.float32), "x"))
    onnx.save(model, path)
    with pytest.raises(IncompatibleError, match="takes no input") as caught:
        adopted(path, tmp_path, name="out")
    assert "others" not in caught.value.fix


@pytest.mark.parametrize(("content", "words"), [(b"no onnx", "not an ONNX file"), (b"", "empty")])
def test_what_is_no_onnx_file(content, words, tmp_path):
    (tmp_path / "bad.onnx").write_bytes(content)
    with pytest.raises(BadInputError, match=words):
        adopted(tmp_path / "bad.onnx", tmp_path)


def test_the_file_itself_and_names_of_ours_are_not_taken(tmp_path):
    path = classifier(tmp_path)
    with pytest.raises(UsageError, match="stays as it is"):
        adopted(path, tmp_path / "net.onnx")
    with pytest.raises(UsageError, match="network of ours"):
        adopted(path, tmp_path, name="xxs")


def test_several_outputs_need_a_name(tmp_path):
    path = classifier(tmp_path, after=[helper.make_node("Neg", ["raw"], ["y"])], outputs=("raw", "y"))
    with pytest.raises(UsageError, match="raw, y"):
        adopted(path, tmp_path)
    assert adopted(path, tmp_path, logits="raw").manifest.outputs[0].shape == (1, 4)


def test_a_detector_with_centres_pixels_and_a_background(tmp_path):
    rng = np.random.default_rng(0)
    boxes = rng.uniform(1, 6, (1, 5, 4)).astype(np.float32)
    scores = rng.uniform(0, 1, (1, 5, 3)).astype(np.float32)
    nodes = [helper.make_node("ReduceMean", ["x"], ["m"], keepdims=0), helper.make_node("Mul", ["m", "zero"], ["n"]),
             helper.make_node("Add", ["n", "b"], ["where"]), helper.make_node("Add", ["n", "s"], ["what"])]
    path = graph(nodes, tmp_path, shape=(1, 3, 8, 16), outputs=("where", "what"),
                 constants={"zero": np.float32(0), "b": boxes, "s": scores}, result=(1, 5, None))
    options = {"task": "detection", "boxes": "where", "scores": "what", "box_format": "cxcywh", "box_unit": "pixel",
               "background": True}
    result = adopted(path, tmp_path, **options)
    with open_session(result.onnx_path) as session:
        found, likely = session.infer_all(np.zeros((1, 3, 8, 16), np.float32))
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    corners = np.concatenate([centre - half, centre + half], -1) / np.array([16, 8, 16, 8], np.float32)
    np.testing.assert_allclose(found, corners, atol=1e-6)
    np.testing.assert_allclose(likely, scores[..., 1:])


def test_the_command_adopts_and_the_others_run_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, out, err = run_here(capsys, export_command, "adopt", FOLDER / "mobilenet_v3_17.onnx", "--target",
                              "onnxruntime")
    assert code == 0, err
    assert "mobilenet_v3_17_onnxruntime.onnx" in out and "--mean" in out
    code, out, err = run_here(capsys, run_command, "mobilenet_v3_17_onnxruntime.onnx", "synthetic://", "--frames", "2")
    assert code == 0, err


def test_thousands_of_nodes_without_names_or_with_one_name(tmp_path):
    chain = [helper.make_node("Relu", [f"v{index}"], [f"v{index + 1}"], name="again" * (index % 2))
             for index in range(4000)]
    model = onnx.load(graph([helper.make_node("Relu", ["x"], ["v0"]), *chain], tmp_path, outputs=("v4000",)))
    started = time.process_time()
    names = [node.name for node in prepare(model).graph.node]
    assert len(set(names)) == 4001 and all(names)
    assert time.process_time() - started < 2


def test_the_reference_is_the_file_and_not_what_a_converter_makes_of_it(tmp_path):
    path = classifier(tmp_path, opset=11)

    def wrong(model, opset):
        for tensor in model.graph.initializer:
            if tensor.name == "w":
                tensor.CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(tensor), "w"))
        return model

    converter = mock.patch.object(normal_form.version_converter, "convert_version", wrong)
    with converter, pytest.raises(VerificationError, match="differs") as caught:
        adopted(path, tmp_path, name="out")
    assert "report the file" in caught.value.fix


def test_a_file_too_old_for_onnx_runtime_is_compared_with_its_conversion(tmp_path):
    path = classifier(tmp_path, opset=11)
    real = source_session.runtime_session

    def refuses_old(model, severity):
        if model.opset_import[0].version < 13:
            raise RuntimeError("too old")
        return real(model, severity)

    with mock.patch.object(source_session, "runtime_session", refuses_old):
        result = adopted(path, tmp_path, name="out")
    assert any("opset 11" in note for note in result.notes)


def test_what_onnx_cannot_convert_is_told_without_its_source(tmp_path):
    nodes = [helper.make_node("Greater", ["x", "x"], ["g"]), helper.make_node("Cast", ["g"], ["f"], to=1)]
    path = classifier(tmp_path, before=nodes, source="f", opset=6)
    with pytest.raises(BadInputError, match="at opset 13: No Adapter From Version"):
        adopted(path, tmp_path, name="out")


def test_a_softmax_along_another_axis_is_no_activation(tmp_path):
    """Along an axis of size 1 it gives ones, whatever the network says."""
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["pooled"]),
             helper.make_node("Softmax", ["pooled"], ["y"], axis=-1)]
    manifest = adopted(graph(nodes, tmp_path, result=(1, 3, 1, 1)), tmp_path, name="out").manifest
    assert manifest.outputs[0].name == "logits" and manifest.scores is None


@pytest.mark.parametrize("shape", [(1, 8, 16, 5), (1, 5, 8, 16), (1, 4, 8, 5), (1, 5, 4, 8)])
@pytest.mark.parametrize("ends_in", ["logits", "classes"])
def test_a_segmenter_with_its_classes_first_or_last(ends_in, shape, tmp_path):
    values = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
    axis = shape.index(5)
    nodes = [helper.make_node("ReduceMean", ["x"], ["m"], keepdims=0), helper.make_node("Mul", ["m", "zero"], ["n"]),
             helper.make_node("Add", ["n", "values"], ["y" if ends_in == "logits" else "raw"])]
    if ends_in == "classes":
        nodes += [helper.make_node("ArgMax", ["raw"], ["map"], axis=axis, keepdims=0),
                  helper.make_node("Cast", ["map"], ["y"], to=TensorProto.FLOAT)]
    path = graph(nodes, tmp_path, shape=(1, 3, 8, 16), constants={"zero": np.float32(0), "values": values})
    result = adopted(path, tmp_path, name="out", task="segmentation")
    assert result.manifest.outputs[0].shape == (1, 8, 16) and len(result.manifest.labels) in (0, 5)
    found = infer(result, np.zeros((1, 3, 8, 16), np.float32))
    expected = values.argmax(axis)
    if expected.shape[1:] == (8, 16):
        np.testing.assert_array_equal(found, expected)
    assert found.max() < 5


def test_a_class_map_of_something_else_is_refused(tmp_path):
    nodes = [helper.make_node("Relu", ["x"], ["raw"]), helper.make_node("Neg", ["raw"], ["other"]),
             helper.make_node("ArgMax", ["other"], ["map"], axis=2, keepdims=0),
             helper.make_node("Cast", ["map"], ["y"], to=TensorProto.FLOAT)]
    with pytest.raises(IncompatibleError, match="no ArgMax over the classes"):
        adopted(graph(nodes, tmp_path), tmp_path, name="out", task="segmentation")


def test_an_argmax_inside_a_classifier_is_not_its_end(tmp_path):
    nodes = [helper.make_node("ArgMax", ["x"], ["place"], axis=1, keepdims=1),
             helper.make_node("Cast", ["place"], ["number"], to=TensorProto.FLOAT),
             helper.make_node("Mul", ["x", "number"], ["z"])]
    result = adopted(classifier(tmp_path, before=nodes, source="z"), tmp_path, name="out", fp16=True, drift=True)
    assert result.manifest.outputs[0].name == "logits" and "place" not in result.manifest.precision.fp32_pins


@pytest.mark.parametrize(("after", "shape", "words"), [
    ([helper.make_node("ReduceSum", ["raw"], ["y"], keepdims=0)], (), "its first axis"),
    ([helper.make_node("Cast", ["raw"], ["y"], to=TensorProto.INT64)], (1, 4), "holds int64"),
    ([helper.make_node("SplitToSequence", ["raw"], ["y"], axis=1)], None, "no tensor of numbers"),
    ([helper.make_node("Concat", ["raw", "raw"], ["y"], axis=0)], (2, 4), "for 1 images")])
def test_outputs_that_are_no_row_for_each_image(after, shape, words, tmp_path):
    path = classifier(tmp_path, after=after, result=shape)
    model = onnx.load(path)
    value = model.graph.output[0]
    if shape is None:
        value.CopyFrom(helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None))
    elif "int64" in words:
        value.type.tensor_type.elem_type = TensorProto.INT64
    onnx.save(model, path)
    with pytest.raises(IncompatibleError, match=words):
        adopted(path, tmp_path, name="out")


def test_a_row_without_a_batch_axis(tmp_path):
    path = classifier(tmp_path, after=[helper.make_node("Squeeze", ["raw"], ["y"])], result=(4,))
    assert adopted(path, tmp_path, name="out").manifest.outputs[0].shape == (1, 4)


def test_logits_of_another_floating_type(tmp_path):
    path = classifier(tmp_path, after=[helper.make_node("Cast", ["raw"], ["y"], to=TensorProto.FLOAT16)])
    model = onnx.load(path)
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    onnx.save(model, path)
    manifest = adopted(path, tmp_path, name="out").manifest
    assert manifest.outputs[0].dtype == "float32" and manifest.parity.max_relative_error < 1e-3


def test_networks_of_recurrent_and_transposed_layers_alone_compute_in_fp16(tmp_path):
    rng = np.random.default_rng(0)
    nodes = [helper.make_node("ConvTranspose", ["x", "up"], ["large"], strides=[2, 2]),
             helper.make_node("ReduceMean", ["large"], ["lines"], axes=[1], keepdims=0),
             helper.make_node("Transpose", ["lines"], ["steps"], perm=[1, 0, 2]),
             helper.make_node("LSTM", ["steps", "w", "r"], ["", "last"], hidden_size=4),
             helper.make_node("Squeeze", ["last", "first"], ["row"]),
             helper.make_node("Einsum", ["row", "head"], ["y"], equation="bi,ij->bj")]
    constants = {name: rng.standard_normal(shape).astype(np.float32) / 4 for name, shape in (
        ("up", (3, 2, 2, 2)), ("w", (1, 16, 16)), ("r", (1, 16, 4)), ("head", (4, 5)))}
    path = graph(nodes, tmp_path, constants={**constants, "first": np.array([0])})
    for target in ("nano", "a100"):
        result = adopted(path, tmp_path, name=target, fp16=True, target=target)
        assert result.manifest.precision.fp16_share == 1
        assert result.manifest.outputs[0].shape == (1, 5)


def test_inputs_that_are_fp32_always_stay_so_in_a_typed_graph(tmp_path):
    """A Resize by scales that no whole size comes of; quantisation, whose older form has FP32 alone."""
    nodes = [helper.make_node("Conv", ["x", "k"], ["c"]),
             helper.make_node("Resize", ["c", "", "scales"], ["r"], mode="linear"),
             helper.make_node("QuantizeLinear", ["r", "scale", "zero"], ["q"]),
             helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["z"])]
    constants = {"k": np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1), "scale": np.float32(0.05), "zero": np.int8(0),
                 "scales": np.array([1, 1, 1.3, 1.3], np.float32)}
    path = classifier(tmp_path, before=nodes, source="z", constants=constants)
    result = adopted(path, tmp_path, name="out", fp16=True, target="a100")
    kinds = {tensor.name: tensor.data_type for tensor in onnx.load(result.onnx_path).graph.initializer}
    assert kinds["scales"] == kinds["scale"] == TensorProto.FLOAT
    with pytest.raises(IncompatibleError, match="computes in INT8"):
        adopted(path, tmp_path, name="nano", fp16=True)


def test_a_reference_that_is_not_finite_is_no_fault_of_the_export(tmp_path):
    path = classifier(tmp_path, before=[helper.make_node("Log", ["x"], ["z"])], source="z")
    with pytest.raises(VerificationError, match="the reference itself") as caught:
        adopted(path, tmp_path, name="out")
    assert "defect" not in str(caught.value)


@pytest.mark.parametrize("target", ["nano", "a100"])
def test_what_the_target_lacks_is_told_with_a_way_out_for_a_file(target, tmp_path):
    path = classifier(tmp_path, before=[helper.make_node("Det", ["x"], ["d"]),
                                        helper.make_node("Reshape", ["d", "four"], ["z"])], source="z",
                      constants={"four": np.array([1, 3, 1, 1])})
    with pytest.raises(IncompatibleError, match="Det") as caught:
        adopted(path, tmp_path, name="out", target=target)
    assert "without these operators" in caught.value.fix and "variant" not in str(caught.value)


def test_the_same_tolerance_rule_as_of_an_export(tmp_path):
    with pytest.raises(UsageError, match="--auto-pin is missing"):
        adopted(classifier(tmp_path), tmp_path, fp16=True, tolerance=0.2)


def test_constants_of_nodes_lie_beside_the_file_too(tmp_path):
    secret = onnx.TensorProto(name="c", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    secret.external_data.add(key="location", value="../secret.bin")
    (tmp_path / "secret.bin").write_bytes(bytes(4))
    (tmp_path / "inner").mkdir()
    constant = helper.make_node("Constant", [], ["c"], value=secret)
    inside = helper.make_graph([constant], "then", [], [helper.make_tensor_value_info("c", TensorProto.FLOAT, None)])
    for nodes in ([constant, helper.make_node("Add", ["x", "c"], ["z"])],
                  [helper.make_node("If", ["yes"], ["z"], then_branch=inside, else_branch=inside)]):
        path = classifier(tmp_path / "inner", before=nodes, source="z", constants={"yes": np.array(True)})
        with pytest.raises(BadInputError, match="no file beside it"):
            read_source(path)


@pytest.mark.parametrize("mask", ["where", "added", "computed"])
def test_a_mask_of_infinities_before_a_softmax(mask, tmp_path):
    """PyTorch writes scaled_dot_product_attention with either; ONNX's own Attention computes its mask."""
    low = np.where(np.tril(np.ones((8, 8), bool)), 0, -np.inf).astype(np.float32)
    masked = {"where": [helper.make_node("Where", ["seen", "scores", "never"], ["masked"])],
              "added": [helper.make_node("Add", ["scores", "low"], ["masked"])],
              "computed": [helper.make_node("Greater", ["x", "limit"], ["bright"]),
                           helper.make_node("Or", ["bright", "seen"], ["kept"]),
                           helper.make_node("Where", ["bright", "zero", "never"], ["always"]),  # infinite everywhere
                           helper.make_node("Where", ["kept", "zero", "always"], ["bias"]),
                           helper.make_node("Add", ["scores", "bias"], ["masked"])]}
    nodes = [helper.make_node("MatMul", ["x", "k"], ["scores"]), *masked[mask],
             helper.make_node("Softmax", ["masked"], ["weights"]), helper.make_node("MatMul", ["weights", "x"], ["z"])]
    constants = {"k": np.eye(8, dtype=np.float32), "seen": low == 0, "low": low, "never": np.float32(-np.inf),
                 "zero": np.float32(0), "limit": np.float32(9)}
    path = classifier(tmp_path, before=nodes, source="z", constants=constants, shape=(1, 3, 8, 8))
    for options in ({"target": "nano", "drift": True}, {"target": "a100"}, {"target": "orin", "auto_pin": True}):
        result = adopted(path, tmp_path, name=options["target"], fp16=True, **options)
        assert result.manifest.parity.max_relative_error < 5e-3
        assert result.precision.drift is None or result.precision.drift.effect.non_finite == 0
