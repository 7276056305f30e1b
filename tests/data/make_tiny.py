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
from edgenext_deploy.preprocess.photo import normalise

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
FORMS = {"tiny_classifier": {}, "tiny_batch": {"batch": 3}}


def parameters():
    """Return the weight `[10, 3]` and bias `[10]`, float32."""
    colors = np.array(list(COLORS.values()), dtype=np.uint8).reshape(-1, 3, 1, 1)
    centers = normalise(colors, PREPROCESSING)[:, :, 0, 0]
    return 2 * SHARPNESS * centers, -SHARPNESS * (centers * centers).sum(axis=1)


def build_onnx(name, batch=1):
    """Return the ONNX file of a form, opset 13 and IR version 7, as bytes."""
    from onnx import TensorProto, helper, numpy_helper

    weight, bias = parameters()
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["image"], ["pooled"], name="pool"),
            helper.make_node("Conv", ["pooled", "weight", "bias"], ["scores"], name="head"),
            helper.make_node("Flatten", ["scores"], ["logits"], name="flatten", axis=1),
        ],
        name,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, len(COLORS)])],
        [numpy_helper.from_array(weight[:, :, None, None], "weight"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    return model.SerializeToString()


def build_manifest(name, onnx_bytes, batch=1):
    """Return the manifest of these bytes."""
    weight, bias = parameters()
    image = normalise(golden.golden_batch(0, (batch, 3, SIZE, SIZE)), PREPROCESSING)
    output = (image.mean(axis=(2, 3), dtype=np.float64) @ weight.T.astype(np.float64) + bias).astype("<f4")
    return manifest.Manifest(
        schema=1,
        toolkit_version="0.1.0",
        task="classification",
        variant="tiny",
        weights=manifest.Weights("tests/data/make_tiny.py", False, sha256_of_bytes(
            weight.astype("<f4").tobytes() + bias.astype("<f4").tobytes())),
        target="nano",
        graph=manifest.GraphFile(name + ".onnx", sha256_of_bytes(onnx_bytes), len(onnx_bytes), 13, 7),
        inputs=(manifest.TensorSpec("image", (batch, 3, SIZE, SIZE), "float32"),),
        outputs=(manifest.TensorSpec("logits", (batch, len(COLORS)), "float32"),),
        preprocessing=PREPROCESSING,
        labels=tuple(COLORS),
        labels_source="tests/data/make_tiny.py",
        precision=manifest.Precision("fp32", "none"),
        lowering={},
        verdicts={},
        parity=manifest.Parity(0, 0.0, 0.0, 1.0, 1.0, 1e-4),
        golden=manifest.Golden(0, golden.digest(image), tuple(output.shape),
                               base64.b64encode(output.tobytes()).decode("ascii"), {"fp32": 1e-4}),
    )


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
