"""Models of other people: the test cases in the onnx package, and variants of them."""
import copy
import functools
import warnings
from pathlib import Path

import onnx
from onnx import numpy_helper

FOLDERS = ("simple", "pytorch-operator", "pytorch-converted", "light")


@functools.lru_cache(maxsize=1)
def node_cases():
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return collect_testcases(None)


def published():
    """Return the models by name, as bytes: each node test of onnx, and the files that lie in the package."""
    found = {"node/" + case.name: case.model.SerializeToString() for case in node_cases()}
    data = Path(onnx.__file__).parent / "backend" / "test" / "data"
    for folder in FOLDERS:
        for path in sorted((data / folder).rglob("*.onnx")):
            found[str(path.relative_to(data))] = path.read_bytes()
    return found


def variants():
    """Return the node tests with constants for all inputs but the first, and with symbolic sizes."""
    found = {}
    for case in node_cases():
        found["constants/" + case.name] = with_constants(case)
        found["symbolic/" + case.name] = with_symbols(case.model)
    return {name: model.SerializeToString() for name, model in found.items() if model is not None}


def with_constants(case):
    """Return a case's model with its data for every input but the first; None without a second input, or data."""
    names = [info.name for info in case.model.graph.input]
    if len(names) < 2 or not case.data_sets:
        return None
    model = copy.deepcopy(case.model)
    for name, value in list(zip(names, case.data_sets[0][0]))[1:]:
        if isinstance(value, onnx.TensorProto):
            tensor = copy.deepcopy(value)
            tensor.name = name
        elif hasattr(value, "dtype") and value.dtype.kind in "biuf":
            tensor = numpy_helper.from_array(value, name)
        else:
            return None
        model.graph.initializer.append(tensor)
    del model.graph.input[1:]
    return model


def with_symbols(original):
    """Return a model with a name for every size of its inputs and no size of its outputs; None without sizes.

    What the size was stands at the end of its name: there the builder is asked.
    """
    model = copy.deepcopy(original)
    count = 0
    for info in model.graph.input:
        for size in info.type.tensor_type.shape.dim:
            size.dim_param = "size{}_{}".format(count, size.dim_value)
            count += 1
    for info in model.graph.output:
        for size in info.type.tensor_type.shape.dim:
            size.Clear()
    return model if count else None
