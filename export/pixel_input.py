"""Which targets take a graph whose input is pixels as bytes."""
from edgenext_deploy.errors import IncompatibleError
from edgenext_deploy.targets import TARGETS, Target

# The node that makes numbers of them; TensorRT takes a uint8 input for nothing else.
CAST = "input.cast"


def require_pixels(target: Target) -> None:
    """Raise IncompatibleError where a TensorRT release of the target does not take a uint8 input, by the verdict."""
    problems = _problems(target)
    if problems:
        able = ", ".join(name for name, other in TARGETS.items() if not _problems(other))
        raise IncompatibleError(f"target {target.name} ({target.title}) does not take pixels as uint8: {problems[0]}",
                                f"leave --input out: frames are prepared in front of the graph; targets that take them "
                                f"are {able}")


def _problems(target: Target) -> tuple[str, ...]:
    """Return why the target cannot run a graph that begins with the bytes' Cast; empty if it can."""
    from onnx import TensorProto, helper

    from edgenext_deploy.export.verdict.judge import analyse, target_problems

    shape = [1, 3, 32, 32]
    graph = helper.make_graph(
        [helper.make_node("Cast", ["image"], ["numbers"], name=CAST, to=TensorProto.FLOAT)], "pixels",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("numbers", TensorProto.FLOAT, shape)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", target.opset)],
                              ir_version=target.ir_version)
    return target_problems(analyse(model), target)
