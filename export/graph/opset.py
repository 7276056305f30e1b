"""The opset of ONNX's own operators that a model imports; the domain has two spellings."""
import onnx
from onnx import helper


def opset_of(model: onnx.ModelProto) -> int:
    """Return the imported ai.onnx opset, 0 if there is none."""
    return max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)


def set_opset(model: onnx.ModelProto, opset: int) -> None:
    """Have a model import this opset alone."""
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", opset))
