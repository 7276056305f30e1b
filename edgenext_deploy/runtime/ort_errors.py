"""What ONNX Runtime says when it refuses a graph, as one of the toolkit's errors. Its reasons exist only as text."""
import re

from edgenext_deploy.artifacts.nms_plugin import OP, SUFFIX
from edgenext_deploy.errors import BadInputError, EdgeNextError, IncompatibleError, MissingRuntimeError
from edgenext_deploy.runtime.ort_memory import MOST_BYTES

_FIX_FILE = "export again with edgenext-export, or copy the file again"
# The file of its allocator, which every version names in its message.
_NO_MEMORY = "bfc_arena"
# Of the C++ library and of ONNX Runtime's thread pool.
_REFUSED = re.compile("bad_alloc|pthread_create failed")


def load_error(path: str, version: str, error: Exception) -> EdgeNextError:
    """Return the error to raise when onnxruntime refuses a file; its reasons exist only as text."""
    text = str(error)
    newer = "install a newer onnxruntime, or export for this one with edgenext-export --target nano"
    for what, pattern in (("IR version", r"model IR version: (\d+), max supported IR version: (\d+)"),
                          ("opset", r"Opset (\d+) is under development.* till opset (\d+)")):
        found = re.search(pattern, text, re.DOTALL)
        if found:
            return IncompatibleError("{}: {} {} found, onnxruntime {} supports up to {}".format(
                path, what, found.group(1), version, found.group(2)), newer)
    if OP in text:
        plain = path.replace(SUFFIX + ".onnx", ".onnx")
        return IncompatibleError(
            "{} ends in TensorRT's plugin {}, which ONNX Runtime does not have".format(path, OP),
            "build it where TensorRT is (edgenext-build), or run the graph without the plugin{}".format(
                ": " + plain if plain != path else ""))
    if "xternal data" in text:
        return BadInputError(
            "{} keeps weights in a second file (external data), which nothing vouches for".format(path),
            "export it with edgenext-export, which writes one file")
    if _NO_MEMORY in text or _REFUSED.search(text):
        return run_error(path, version, error)
    if re.search(r"No Op registered|not a registered function|NOT_IMPLEMENTED", text):
        return IncompatibleError("{} has an operator that onnxruntime {} cannot run: {}".format(
            path, version, _reason(error)), newer)
    return BadInputError("{} is not a valid ONNX file: {}".format(path, _reason(error)), _FIX_FILE)


def run_error(path: str, version: str, error: Exception) -> EdgeNextError:
    """Return the error to raise when a graph fails while it runs, or while its constants are computed."""
    if _REFUSED.search(str(error)):
        return MissingRuntimeError(
            "the system gives no more memory or threads to onnxruntime {}: {}".format(version, _reason(error)),
            "free some, or raise the limit that `ulimit -a` shows")
    if _NO_MEMORY in str(error):
        return BadInputError(
            "{} asks for more memory than there is, or than the {} MiB that ONNX Runtime may take".format(
                path, MOST_BYTES >> 20),
            "export with a smaller --image-size or --batch; do not run a graph whose origin you do not know")
    return BadInputError("{} fails while it runs in onnxruntime {}: {}".format(path, version, _reason(error)),
                         _FIX_FILE)


def _reason(error: Exception) -> str:
    """Return onnxruntime's message on one line, without the status code and path in front of it."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from .*? failed:)?", "",
                  str(error))
    return " ".join(text.split())[:300] or type(error).__name__
