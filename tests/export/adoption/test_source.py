"""What a file may be like: its input, its outputs, where its weights are, and what no engine can have."""
import numpy as np
import onnx
import pytest
from adoption_files import FOLDER, adopted, adopted_network, classifier, graph
from command_lines import run_here
from onnx import TensorProto, helper, numpy_helper

from edgenext_deploy import open_session
from edgenext_deploy.errors import BadInputError, IncompatibleError, UsageError
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


def foreign(folder):
    model = onnx.load(classifier(folder, before=[helper.make_node("Gelu", ["x"], ["g"], domain="com.microsoft")],
                                 source="g"))
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, str(folder / "net.onnx"))
    return str(folder / "net.onnx")


@pytest.mark.parametrize(("make", "words"), [
    (branch, "branch"), (of_data, "as many values as it finds"), (sequence, "sequences"),
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
    with pytest.raises(IncompatibleError, match="no Conv, Gemm, MatMul"):
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
