"""Open an engine file, whatever runtime it is for."""
import os
from typing import Optional, Union

from edgenext_deploy.artifacts.engine_file import EngineFile, open_engine_file
from edgenext_deploy.deprecated import warn_old_call
from edgenext_deploy.runtime.options import RuntimeOptions, check_options
from edgenext_deploy.runtime.session import Session
from edgenext_deploy.runtime.table import choose_runtime, require_engine


def open_session(engine: "Union[str, os.PathLike[str], EngineFile]", *,
                 options: RuntimeOptions = RuntimeOptions()) -> Session:  # noqa: B008 - immutable
    """Open an engine file with the runtime that takes its name's ending.

    Args:
        engine: path of an ``.onnx`` file for ONNX Runtime, or of a ``.plan``, ``.engine`` or ``.trt`` for TensorRT;
            or what `open_engine_file` made of it.
        options: how to run it.

    Raises:
        BadInputError: no such file, empty, broken, neither an ONNX file nor a plan, or a plan without a sidecar.
        IncompatibleError: the installed runtime is too old for the file, or the plan was built for another machine.
        MissingRuntimeError: the runtime is not installed, or there is no GPU for a plan.
        UsageError: an option that no runtime could take, or a runtime that does not open such files.
    """
    check_options(options)
    if not isinstance(engine, EngineFile):
        require_engine(os.fspath(engine))
        choose_runtime(os.fspath(engine), options.runtime)  # before the file is read
        engine = open_engine_file(engine, trust=options.trust)
    return choose_runtime(engine.path, options.runtime).session_class()(engine, options=options)


def load_session(path: "Union[str, os.PathLike[str]]", threads: Optional[int] = None, trust: bool = False,
                 zero_copy: Optional[bool] = None, cuda_graph: Optional[bool] = None) -> Session:
    """Open an engine file; deprecated, and replaced by `open_session`, which says what is raised.

    Args:
        path: the engine file.
        threads: see `RuntimeOptions`.
        trust: see `RuntimeOptions`.
        zero_copy: see `RuntimeOptions`.
        cuda_graph: see `RuntimeOptions`.
    """
    options = RuntimeOptions(threads=threads, trust=trust, zero_copy=zero_copy, cuda_graph=cuda_graph)
    warn_old_call("open_session({!r}{})".format(
        path, "" if options == RuntimeOptions() else ", options={!r}".format(options)))
    return open_session(path, options=options)
