"""Write tiny_classifier.onnx with its manifest, and further forms of it: a real network, small enough to commit.

It names the colour nearest to the mean colour of the picture: average pool, then one 1x1 convolution that
computes minus the squared distance to ten colours (up to a term common to all). Every number is given
here; nothing is random. Needs `onnx`; the tests that use the files do not, so they run on Python 3.6.

    python tests/data/make_tiny.py [FOLDER]
"""
import base64
import os
import sys

import numpy as np

from edgenext_deploy.artifacts import golden, manifest
from edgenext_deploy.files import sha256_of_bytes, write_files_atomically
from edgenext_deploy.preprocess.photo import normalise, scale_and_offset

SIZE = 32
SHARPNESS = 2.0
COLORS = {
    "black": (0, 0, 0), "white": (255, 255, 255), "grey": (128, 128, 128), "red": (255, 0, 0),
    "green": (0, 255, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0), "cyan": (0, 255, 255),
    "magenta": (255, 0, 255), "brown": (128, 80, 40),
}
PREPROCESSING = manifest.Preprocessing(
    SIZE, SIZE, 0.875, "bicubic", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), False)
# By the files' name, what differs from the plain network.
FORMS = {
    "tiny_classifier": {}, "tiny_batch": {"batch": 3}, "tiny_probabilities": {"outputs": "probabilities"},
    "tiny_features": {"outputs": "features", "batch": 2}, "tiny_pixels": {"pixels": True, "batch": 2},
    "tiny_one": {"one": True}}


def parameters(one=False):
    """Return the weight `[10, 3]` and bias `[10]`, float32; or of the one class red `[1, 3]` and `[1]`: red or grey?"""
    colors = np.array(list(COLORS.values()), dtype=np.uint8).reshape(-1, 3, 1, 1)
    centers = normalise(colors, PREPROCESSING)[:, :, 0, 0]
    weight, bias = 2 * SHARPNESS * centers, -SHARPNESS * (centers * centers).sum(axis=1)
    if one:
        red, grey = (list(COLORS).index(name) for name in ("red", "grey"))
        return weight[red:red + 1] - weight[grey:grey + 1], bias[red:red + 1] - bias[grey:grey + 1]
    return weight, bias


def build_onnx(name, batch=1, outputs="logits", pixels=False, one=False):
    """Return the ONNX file of a form, opset 13 and IR version 7, as bytes."""
    from onnx import TensorProto, helper, numpy_helper

    weight, bias = parameters(one)
    shape, taken = [batch, 3, SIZE, SIZE], "image"
    nodes, initializers = [], [
        numpy_helper.from_array(weight[:, :, None, None], "weight"), numpy_helper.from_array(bias, "bias")]
    if pixels:
        shape, taken = [batch, SIZE, SIZE, 3], "prepared"
        scale, shift = (np.array(values, np.float32).reshape(1, 3, 1, 1) for values in zip(
            *scale_and_offset(PREPROCESSING)))
        initializers += [numpy_helper.from_array(scale, "scale"), numpy_helper.from_array(shift, "shift")]
        nodes += [
            helper.make_node("Cast", ["image"], ["numbers"], name="cast", to=TensorProto.FLOAT),
            helper.make_node("Transpose", ["numbers"], ["planes"], name="planes", perm=[0, 3, 1, 2]),
            helper.make_node("Mul", ["planes", "scale"], ["scaled"], name="scale"),
            helper.make_node("Add", ["scaled", "shift"], ["prepared"], name="shift")]
    nodes.append(helper.make_node("GlobalAveragePool", [taken], ["pooled"], name="pool"))
    if outputs == "features":
        nodes.append(helper.make_node("Flatten", ["pooled"], ["features"], name="flatten", axis=1))
        del initializers[:2]
    else:
        nodes += [helper.make_node("Conv", ["pooled", "weight", "bias"], ["scores"], name="head"),
                  helper.make_node("Flatten", ["scores"], ["logits"], name="flatten", axis=1)]
    if outputs == "probabilities":
        nodes.append(helper.make_node("Softmax", ["logits"], ["probabilities"], name="softmax", axis=1))
    given = 3 if outputs == "features" else len(bias)
    graph = helper.make_graph(
        nodes, name,
        [helper.make_tensor_value_info("image", TensorProto.UINT8 if pixels else TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(outputs, TensorProto.FLOAT, [batch, given])], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    return model.SerializeToString()


def build_manifest(name, onnx_bytes, batch=1, outputs="logits", pixels=False, one=False):
    """Return the manifest of these bytes."""
    weight, bias = parameters(one)
    preprocessing = PREPROCESSING._replace(folded=pixels)
    batch_of_pixels = golden.golden_batch(0, (batch, 3, SIZE, SIZE))
    mean = normalise(batch_of_pixels, PREPROCESSING).mean(axis=(2, 3), dtype=np.float64)
    answer = mean @ weight.T.astype(np.float64) + bias
    if outputs == "probabilities":
        answer = np.exp(answer - answer.max(axis=1, keepdims=True))
        answer /= answer.sum(axis=1, keepdims=True)
    output = (mean if outputs == "features" else answer).astype("<f4")
    described = manifest.Manifest(
        schema=1,
        toolkit_version="0.1.0",
        task="features" if outputs == "features" else "classification",
        variant="tiny",
        weights=manifest.Weights("tests/data/make_tiny.py", False, sha256_of_bytes(
            weight.astype("<f4").tobytes() + bias.astype("<f4").tobytes())),
        target="nano",
        graph=manifest.GraphFile(name + ".onnx", sha256_of_bytes(onnx_bytes), len(onnx_bytes), 13, 7),
        inputs=(manifest.TensorSpec("image", (batch, SIZE, SIZE, 3), "uint8") if pixels else
                manifest.TensorSpec("image", (batch, 3, SIZE, SIZE), "float32"),),
        outputs=(manifest.TensorSpec(outputs, tuple(output.shape), "float32"),),
        preprocessing=preprocessing,
        labels=() if outputs == "features" else ("red",) if one else tuple(COLORS),
        labels_source="tests/data/make_tiny.py",
        precision=manifest.Precision("fp32", "none"),
        lowering={},
        verdicts={},
        parity=manifest.Parity(0, 0.0, 0.0, 1.0, 1.0, 1e-4),
        golden=manifest.Golden(0, golden.digest(normalise(batch_of_pixels, preprocessing)), tuple(output.shape),
                               base64.b64encode(output.tobytes()).decode("ascii"), {"fp32": 1e-4}),
        scores=(manifest.Scores("softmax", in_graph=True) if outputs == "probabilities" else
                manifest.Scores("sigmoid", threshold=0.75) if one else None),
    )
    return described._replace(schema=manifest.schema_needed(described))


def main(folder):
    """Write the files of every form into `folder`."""
    files = {}
    for name, form in FORMS.items():
        onnx_bytes = build_onnx(name, **form)
        files[os.path.join(folder, name + ".onnx")] = onnx_bytes
        files[os.path.join(folder, name + ".json")] = manifest.dump(build_manifest(name, onnx_bytes, **form))
    write_files_atomically(files)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__)))
