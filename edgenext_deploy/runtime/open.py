"""Open an engine file, whatever runtime it is for."""
import os
from typing import Optional, Union

from edgenext_deploy.artifacts.engine_file import EngineFile, open_engine_file
from edgenext_deploy.deprecated import warn_old_call
from edgenext_deploy.runtime.options import RuntimeOptions, check_options
from edgenext_deploy.runtime.session import Session
from edgenext_deploy.runtime.table import choose_runtime, require_engine

EngineSource = Union[str, "os.PathLike[str]", EngineFile]


def read_engine(engine: EngineSource, options: RuntimeOptions) -> EngineFile:
    """Read an engine file once, for all that comes after; its name and the options are checked first.

    Args:
        engine: path of the file, or of a folder of plans, see `engine_path`; what was read already is returned as it
            is.
        options: how the engine will be run.

    Raises:
        BadInputError: no such file, not an engine, or a plan that is not its sidecar's; see `open_engine_file`.
        UsageError: an option that no runtime could take, or a runtime that does not open such files.
    """
    check_options(options)
    if isinstance(engine, EngineFile):
        return engine
    path = engine_path(os.fspath(engine))
    require_engine(path)
    choose_runtime(path, options.runtime)
    return open_engine_file(path, trust=options.trust)


def engine_path(path: str) -> str:
    """Return the path of an engine file; of a folder of plans for several GPUs, the one that fits this machine.

    Raises:
        IncompatibleError: no plan of the folder fits; `plan_folder.fitting_plan` lists what else is raised.
    """
    if not os.path.isdir(path):
        return path
    from edgenext_deploy.artifacts.plan_folder import fitting_plan, plans_in
    from edgenext_deploy.machine.environment import present_environment

    return fitting_plan(path, present_environment()) if plans_in(path) else path


def open_session(engine: EngineSource, *,
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
    file = read_engine(engine, options)
    return choose_runtime(file.path, options.runtime).session_class()(file, options=options)


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
