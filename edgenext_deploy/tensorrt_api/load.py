"""What building and running share of TensorRT: its import, its version, its logger, its plugins."""
import collections
import contextlib
import importlib
import importlib.util
import threading
import weakref
from typing import Any, Deque, Dict, List, Optional, Tuple

from edgenext_deploy.errors import MissingRuntimeError
from edgenext_deploy.install import install_command
from edgenext_deploy.machine.versions import plain_version
from edgenext_deploy.targets import TENSORRT, TENSORRT_RTX

_INSTALL = {
    TENSORRT: "on a Jetson it comes with JetPack (apt package python3-libnvinfer) for the system's Python, and a "
              "virtual environment needs --system-site-packages; on a server: python3 -m pip install tensorrt",
    TENSORRT_RTX: install_command("rtx"),
}
# A Python thread, or None for one of TensorRT's own.
_Thread = Optional["weakref.ReferenceType[threading.Thread]"]
# Of all threads together.
_MESSAGES_KEPT = 100

_lock = threading.Lock()
_loggers: Dict[Any, Any] = {}


def is_installed(name: str) -> bool:
    """Return whether the Python module of a runtime (`TENSORRT` or `TENSORRT_RTX`) can be found; nothing is loaded."""
    return importlib.util.find_spec(name) is not None


def load_tensorrt(name: str = TENSORRT, otherwise: str = "") -> Any:
    """Import a runtime.

    Args:
        name: `TENSORRT` or `TENSORRT_RTX`.
        otherwise: what the user can do without it, added to the advice on installing it.

    Raises:
        MissingRuntimeError: it is not installed, or its libraries cannot be loaded.
    """
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise MissingRuntimeError(
            "the Python module {} cannot be loaded: {}".format(name, error),
            _INSTALL[name] + ("; " + otherwise if otherwise else "")) from error


def version_of(trt: Any) -> str:
    """Return a runtime's version, such as ``8.2.1.8``, without a suffix such as ``.post1``."""
    text = str(trt.__version__)
    return plain_version(text) or text


def make_logger(trt: Any) -> Any:
    """Return a new logger, which prints nothing.

    Its attributes: ``errors``, each with the thread that it came from, see `last_errors`; ``warnings``;
    ``layer_list``, the builder's own list of the engine's layers, empty until it writes one.
    """

    class Logger(trt.ILogger):  # type: ignore[misc, name-defined]  # the base exists only once tensorrt is imported
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: Deque[Tuple[_Thread, str]] = collections.deque(maxlen=_MESSAGES_KEPT)
            self.warnings: Deque[str] = collections.deque(maxlen=_MESSAGES_KEPT)
            self.layer_list = ""

        def log(self, severity: Any, message: str) -> None:
            if severity.name in ("INTERNAL_ERROR", "ERROR"):
                self.errors.append((_present_thread(), " ".join(message.split())))
            elif severity.name == "WARNING":
                self.warnings.append(" ".join(message.split()))
            elif message.startswith("Layers:") or "\nLayer(" in message:
                self.layer_list = message

    return Logger()


def shared_logger(trt: Any) -> Any:
    """Return the process's one logger for all sessions of a module.

    One, and for good: TensorRT holds bare pointers to loggers, and not only as long as a runtime lives. Its plugin
    library keeps that of the last `register_plugins`, up to 8.0 all runtimes use the first one's, and a process with
    several has crashed on 8.6 (NVIDIA/TensorRT#4134).
    """
    with _lock:
        if trt not in _loggers:
            _loggers[trt] = make_logger(trt)
        return _loggers[trt]


def all_errors(logger: Any) -> List[str]:
    """Return the errors of a logger, the newest last, each once."""
    return list(dict.fromkeys(text for _, text in logger.errors))


def _present_thread() -> _Thread:
    # Not current_thread, which would take a thread of TensorRT's for one of Python's from then on.
    number = threading.get_ident()
    return next((weakref.ref(thread) for thread in threading.enumerate() if thread.ident == number), None)


def last_errors(logger: Any, otherwise: str = "") -> str:
    """Return the three newest errors that TensorRT logged in this thread since the last call, and forget them.

    TensorRT's own threads count too. Errors of other Python threads belong to those threads' calls, also when such a
    thread has ended.

    Args:
        logger: the `shared_logger`.
        otherwise: what to say if there was no error.
    """
    ours = (None, _present_thread())  # weak references are equal while their thread is the same
    found = [error for error in list(logger.errors) if error[0] in ours]
    for error in found:
        with contextlib.suppress(ValueError):  # it has made room for a newer one
            logger.errors.remove(error)
    text = "; ".join(text for _, text in found[-3:])
    return text[:600] or otherwise or "TensorRT gives no reason"


def register_plugins(trt: Any) -> None:
    """Make the plugins of NVIDIA's library known to the parser and to the runtimes of this process."""
    trt.init_libnvinfer_plugins(shared_logger(trt), "")


def is_null_pointer(error: TypeError) -> bool:
    """Return whether an error of a constructor means that TensorRT returned no object.

    pybind11 turns the null pointer of createInferBuilder and createInferRuntime into a TypeError.
    """
    return "nullptr" in str(error)


def why_no_object(logger: Any) -> str:
    """Return why TensorRT made no builder or runtime; some releases say a missing driver as a warning only."""
    return last_errors(logger, logger.warnings[-1] if logger.warnings else "no reason was given")
