"""How an engine is run: one record, from a command line or an application down to the session."""
import numbers
import os
from typing import Any, Callable, Dict, NamedTuple, Optional

from edgenext_deploy.errors import UsageError

AUTO = "auto"
# Where camera frames are prepared.
PREPARED_ON = (AUTO, "cpu", "gpu")
# How far ONNX Runtime may rewrite a graph, from all it can to nothing.
OPTIMIZATIONS = ("all", "extended", "basic", "none")


class RuntimeOptions(NamedTuple):
    """How an engine is run. A runtime ignores the options of another one, so the same record does for any engine.

    Attributes:
        runtime: ``auto`` for the first runtime that takes the file's ending, or a name in `runtime.table.RUNTIMES`,
            such as ``tensorrt`` or ``onnxruntime``.
        provider: ONNX Runtime's execution provider, such as ``CUDAExecutionProvider``; None for the processor's.
        device: index of the GPU, for TensorRT and for ONNX Runtime's GPU providers.
        threads: CPU threads of one inference; None for all available ones. TensorRT needs none.
        cuda_graph: TensorRT: start inferences by replaying a CUDA graph, if one can be recorded and gives the same
            answer. None to do so unless it is slower, which is measured when the plan is opened.
        zero_copy: TensorRT: have the GPU read the input and write the outputs in the processor's memory. None to
            measure it on boards whose GPU shares that memory, and to copy on others; see docs/runtime.md.
        preprocess_on: where camera frames are prepared: ``auto``, ``cpu`` or ``gpu``; see
            `preprocess.prepare.FramePreparer`.
        trust: accept a plan without a sidecar. A plan is executable content: only if you know who built it.
        optimization: ONNX Runtime: how far it may rewrite the graph: ``all``, ``extended`` (not the layout of tensors),
            ``basic`` or ``none``. None for all.
        spinning: ONNX Runtime: its threads wait for work without giving the processor away, which is faster as long as
            nothing else needs it. None for yes, but not where many photos are read meanwhile, see `for_many_photos`.
    """

    runtime: str = AUTO
    provider: Optional[str] = None
    device: int = 0
    threads: Optional[int] = None
    cuda_graph: Optional[bool] = None
    zero_copy: Optional[bool] = None
    preprocess_on: str = AUTO
    trust: bool = False
    optimization: Optional[str] = None
    spinning: Optional[bool] = None

    def __repr__(self) -> str:
        """Return the call that makes this record, with only what differs from the defaults."""
        defaults = RuntimeOptions._field_defaults
        return "RuntimeOptions({})".format(", ".join(
            "{}={!r}".format(name, value) for name, value in zip(self._fields, self) if value != defaults[name]))


def check_options(options: Any) -> RuntimeOptions:
    """Return the options; whether the runtime exists is for `runtime.table` to say.

    Raises:
        UsageError: not a RuntimeOptions, or a value that no runtime could take.
    """
    if not isinstance(options, RuntimeOptions):
        raise UsageError("runtime options must be a RuntimeOptions, found {!r}".format(options),
                         "pass one, such as RuntimeOptions(threads=2)")
    if options.threads is not None and (not isinstance(options.threads, numbers.Integral) or options.threads < 1):
        raise UsageError("threads must be at least 1, found {!r}".format(options.threads))
    if not isinstance(options.device, numbers.Integral) or options.device < 0:
        raise UsageError("device must be the index of a GPU, 0 or more, found {!r}".format(options.device),
                         "ONNX Runtime runs on a GPU with RuntimeOptions(provider='CUDAExecutionProvider')")
    if options.preprocess_on not in PREPARED_ON:
        raise UsageError("frames are prepared on one of {}, found {!r}".format(
            ", ".join(PREPARED_ON), options.preprocess_on))
    if options.optimization not in (None, *OPTIMIZATIONS):
        raise UsageError("ONNX Runtime's optimization is one of {}, found {!r}".format(
            ", ".join(OPTIMIZATIONS), options.optimization))
    return options


def for_many_photos(options: RuntimeOptions) -> RuntimeOptions:
    """Return the options for an engine that runs while other threads read photos: they need the processor.

    Threads that spin took a fifth of it from readers of 12-megapixel photos, and 40 % from those of small ones. The
    answers are the same.
    """
    return options._replace(spinning=False) if options.spinning is None else options


def available_threads() -> int:
    """Return the number of CPU cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def runtime_from_keywords(name: str) -> Callable[[Dict[str, Any]], Dict[str, Any]]:
    """Return an `adapt` for `deprecated.old_call` that folds ``threads=``, ``trust=`` and the like into one argument.

    Args:
        name: the argument that takes the RuntimeOptions.
    """
    def adapt(keywords: Dict[str, Any]) -> Dict[str, Any]:
        old = {field: keywords[field] for field in RuntimeOptions._fields if field in keywords and field != name}
        if not old:
            return keywords
        options = check_options(keywords.get(name, RuntimeOptions()))
        for field, value in old.items():
            present = getattr(options, field)
            if present not in (value, RuntimeOptions._field_defaults[field]):
                raise UsageError("{0}={1!r} and {2}=RuntimeOptions({0}={3!r}) contradict each other".format(
                    field, value, name, present), "pass {} in RuntimeOptions only".format(field))
        others = {field: value for field, value in keywords.items() if field not in old}
        return {**others, name: options._replace(**old)}

    return adapt
