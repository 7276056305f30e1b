"""The runtimes: which session class opens a file, by the file's ending or by the runtime's name."""
import importlib
import importlib.util
import os
from typing import TYPE_CHECKING, Callable, Dict, NamedTuple, Optional, Sequence, Tuple, Union, cast

from edgenext_deploy.artifacts.manifest import ONNX_SUFFIX, PLAN_SUFFIXES
from edgenext_deploy.artifacts.missing_engine import engine_fix
from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.files import require_file
from edgenext_deploy.runtime.options import AUTO, RuntimeOptions

if TYPE_CHECKING:
    from edgenext_deploy.runtime.session import Session

    # Called as ``(engine_file, options=RuntimeOptions())``.
    SessionMaker = Callable[..., Session]


class Runtime(NamedTuple):
    """A runtime.

    Attributes:
        name: such as ``tensorrt``; what `RuntimeOptions.runtime` takes and what reports show.
        title: for people.
        endings: of the files it opens, in lower case, such as ``.onnx``.
        session: its `Session` class, or ``module:Class`` to import it only when a file is opened. It is called with
            an `artifacts.engine_file.EngineFile` and ``options``, the `RuntimeOptions`.
        unused: fields of `RuntimeOptions` that mean nothing to it; a command says so where one is given.
        module: Python module that it needs; None for none.
        scheme: how the addresses begin that it opens in place of files, such as ``triton://``; empty for none.
            `session` is then called with the address.
        on_gpu: whether it always needs a GPU: a cluster gives each of its engines one.
    """

    name: str
    title: str
    endings: Tuple[str, ...]
    session: "Union[str, SessionMaker]"
    unused: Tuple[str, ...] = ()
    module: Optional[str] = None
    scheme: str = ""
    on_gpu: bool = False

    @property
    def is_installed(self) -> bool:
        """Whether the module that it needs can be found; nothing is loaded."""
        return self.module is None or importlib.util.find_spec(self.module) is not None

    def session_class(self) -> "SessionMaker":
        """Return the class, imported if need be."""
        if not isinstance(self.session, str):
            return self.session
        module, _, name = self.session.partition(":")
        return cast("SessionMaker", getattr(importlib.import_module(module), name))


# By name, in the order in which ``auto`` looks for one that takes a file's ending.
RUNTIMES: Dict[str, Runtime] = {}


def register_runtime(name: str, *, endings: Sequence[str] = (), session: "Union[str, SessionMaker]",
                     title: Optional[str] = None, unused: Sequence[str] = (),
                     module: Optional[str] = None, scheme: str = "", on_gpu: bool = False) -> None:
    """Add a runtime: `open_session`, the networks and every command then take files of these endings.

    Args:
        name: short, in lower case.
        endings: of its files, such as ``.onnx``. Where an earlier runtime has the ending already, ``auto`` stays with
            that one, and this one is chosen by name.
        session: see `Runtime`.
        title: for people; `name` by default.
        unused: see `Runtime`.
        module: see `Runtime`.
        scheme: see `Runtime`.
        on_gpu: see `Runtime`.

    Raises:
        UsageError: the name is taken, there is neither ending nor scheme, or an ending has no dot or is not in lower
            case.
    """
    if name == AUTO or name in RUNTIMES:
        raise UsageError("a runtime {!r} is registered already".format(name), "choose another name")
    wrong = [ending for ending in endings if not ending.startswith(".") or ending != ending.lower()]
    if wrong or not (endings or scheme):
        raise UsageError("{!r} is not the ending of a file".format(wrong[0] if wrong else ""),
                         "write it in lower case with its dot, such as '.onnx'")
    RUNTIMES[name] = Runtime(name, title or name, tuple(endings), session, tuple(unused), module, scheme, on_gpu)


def engine_endings() -> Tuple[str, ...]:
    """Return the endings of all files that some runtime opens."""
    return tuple(dict.fromkeys(ending for runtime in RUNTIMES.values() for ending in runtime.endings))


def is_engine_name(path: str) -> bool:
    """Return whether a file's name is that of an engine; the file need not exist."""
    return _ending(path) in engine_endings()


def is_address(engine: str) -> bool:
    """Return whether an engine is the address of a served model, and no file."""
    return any(runtime.scheme and engine.startswith(runtime.scheme) for runtime in RUNTIMES.values())


def require_engine(path: str) -> None:
    """Raise BadInputError unless `path` is a readable file with the name of an engine; UsageError for an address.

    Call it before the manifest is looked for: a photo's missing manifest is not what is wrong.
    """
    if is_address(path):
        raise UsageError("{} is the address of a served model, and a file is expected here".format(path),
                         "measure it with edgenext-bench, or ask it from Python, see docs/serving.md")
    require_file(path, "engine", lambda: engine_fix(path))
    if not is_engine_name(path):
        raise BadInputError(
            "{} is not an engine: a name ending in .onnx or .plan expected, {!r} found".format(path, _ending(path)),
            "pass the .onnx file that edgenext-export wrote, or the .plan file that edgenext-build wrote")


def choose_runtime(path: str, name: str = AUTO) -> Runtime:
    """Return the runtime for a file.

    Args:
        path: a file that `require_engine` accepts, or an address.
        name: of the runtime; ``auto`` for the first that takes the file's ending, or the address.

    Raises:
        UsageError: no such runtime, or one that does not open such files.
    """
    if name != AUTO and name not in RUNTIMES:
        raise UsageError("unknown runtime {!r}".format(name), "choose one of: " + ", ".join([AUTO, *RUNTIMES]))
    candidates = RUNTIMES.values() if name == AUTO else [RUNTIMES[name]]
    served = is_address(path)  # the name of a served model may have the ending of a file
    for runtime in candidates:
        if path.startswith(runtime.scheme) if runtime.scheme else not served and _ending(path) in runtime.endings:
            return runtime
    opens = ", ".join(RUNTIMES[name].endings) + " files" if RUNTIMES[name].endings else RUNTIMES[name].scheme + "…"
    raise UsageError("{} does not run {}: it opens {}".format(RUNTIMES[name].title, path, opens),
                     "leave the runtime to 'auto'")


def _ending(path: str) -> str:
    return os.path.splitext(path)[1].lower()


register_runtime("onnxruntime", title="ONNX Runtime", endings=(ONNX_SUFFIX,),
                 session="edgenext_deploy.runtime.ort:OnnxRuntimeSession", unused=("cuda_graph", "zero_copy"),
                 module="onnxruntime")
register_runtime("tensorrt", title="TensorRT", endings=PLAN_SUFFIXES,
                 session="edgenext_deploy.runtime.trt:TensorRTSession",
                 unused=("provider", "threads", "optimization", "spinning"),
                 module="tensorrt", on_gpu=True)
register_runtime("openvino", title="OpenVINO", endings=(ONNX_SUFFIX,),
                 session="edgenext_deploy.runtime.ov:OpenVINOSession",
                 unused=("provider", "device", "cuda_graph", "zero_copy", "optimization", "spinning"),
                 module="openvino")
register_runtime("triton", title="a server of KServe's protocol", scheme="triton://",
                 session="edgenext_deploy.runtime.kserve:KServeSession",
                 unused=[field for field in RuntimeOptions._fields if field != "runtime"])
register_runtime("triton-grpc", title="a server of KServe's protocol over gRPC", scheme="triton+grpc://",
                 session="edgenext_deploy.runtime.kserve_grpc:GrpcSession",
                 unused=[field for field in RuntimeOptions._fields if field != "runtime"], module="tritonclient")
