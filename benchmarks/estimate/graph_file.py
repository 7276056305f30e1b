"""An ONNX file, read for the work that it asks of a device."""
from typing import Tuple

from edgenext_deploy.artifacts.engine_file import open_graph
from edgenext_deploy.errors import BadInputError, MissingRuntimeError
from edgenext_deploy.graph_work import StageWork, work_of

_FIX = "give an .onnx file of edgenext-export"


def read_work(path: str) -> Tuple[StageWork, ...]:
    """Return the work of an ONNX file by stage, in the order of the graph.

    Raises:
        BadInputError: no such file, not ONNX, shapes that are not fixed, control flow, or an operator whose work is
            not known here; the message names the node.
        MissingRuntimeError: the library ``onnx`` is not installed.
    """
    content = open_graph(path).take_data()
    try:
        import onnx
    except ImportError as error:
        raise MissingRuntimeError("reading a graph needs the library onnx: {}".format(error),
                                  "on a workstation: python3 -m pip install onnx") from error
    try:
        # Shapes alone are wanted, so one that contradicts itself is found below as one that is missing.
        model = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(content), data_prop=True)
    except Exception as error:  # protobuf's and onnx's exceptions have no common base below Exception
        # protobuf's words are about its own format.
        why = "" if type(error).__name__ == "DecodeError" else ": " + " ".join(str(error).split())[:200]
        raise BadInputError("{} is not a valid ONNX file{}".format(path, why), _FIX) from error
    return work_of(model.graph, path)
