"""The narrow networks of other people's definitions, and graphs of a few nodes, for the tests of adoption."""
import os
from pathlib import Path
from unittest import mock

import numpy as np
import onnx
import paths
from exports import build_nothing, simplify_here
from onnx import TensorProto, helper, numpy_helper

from edgenext_deploy.export.adoption import network
from edgenext_deploy.export.adoption.adopt import adopt_file
from edgenext_deploy.export.adoption.request import AdoptRequest

FOLDER = Path(paths.ROOT, "tests", "data", "adoption")
TASKS = {"deeplabv3_mobilenet_v3": "segmentation", "ssdlite_mobilenet_v3": "detection"}
NETWORKS = sorted(path.stem for path in FOLDER.glob("*.npz"))


def adopted(path, folder, **options):
    """Adopt without TensorRT-RTX, and with the simplifier in this process; test_onward has both in their children."""
    with mock.patch.object(network, "simplify", lambda model, may_add: simplify_here(model)):
        return adopt_file(AdoptRequest(path, str(folder), **options), build=build_nothing)


def adopted_network(file, folder, **options):
    """Adopt one of the narrow networks, such as ``vit_20``; the older exporter's have an open batch."""
    task = TASKS.get(file.rpartition("_")[0], "classification")
    return adopted(FOLDER / f"{file}.onnx", folder, task=task, **options)


def answers(name):
    """Return the image of make.py, and what PyTorch answered, by output."""
    with np.load(FOLDER / f"{name}.npz") as held:
        size = int(held["size"])
        image = np.random.default_rng(0).standard_normal((1, 3, size, size), dtype=np.float32)
        return image, {output: held[output] for output in held.files if output != "size"}


def graph(nodes, folder, shape=(1, 3, 8, 8), outputs=("y",), constants=(), opset=17, name="net.onnx", inputs=(),
          kind=TensorProto.FLOAT, result=None):
    """Write a model of these nodes from the input ``x``; return its path."""
    made = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", kind, shape), *inputs],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, result) for output in outputs],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in dict(constants).items()])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    path = os.path.join(str(folder), name)
    onnx.save(model, path)
    return path


def classifier(folder, before=(), after=(), source="x", constants=(), **options):
    """Write pooling and a linear layer of four classes behind `before`, which ends in `source`; see `graph`."""
    weight = np.arange(12, dtype=np.float32).reshape(3, 4) / 10 - 0.5
    nodes = [*before, helper.make_node("GlobalAveragePool", [source], ["pooled"]),
             helper.make_node("Flatten", ["pooled"], ["row"]),
             helper.make_node("MatMul", ["row", "w"], ["y" if not after else "raw"]), *after]
    return graph(nodes, folder, constants={"w": weight, **dict(constants)}, **options)
