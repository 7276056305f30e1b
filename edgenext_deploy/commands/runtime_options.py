"""The command-line options of `RuntimeOptions`: a command gets them as one record."""
import functools
from typing import Any, Callable, Dict, Optional, Sequence

import click

from edgenext_deploy.errors import UsageError
from edgenext_deploy.runtime.options import AUTO, OPTIMIZATIONS, PREPARED_ON, RuntimeOptions
from edgenext_deploy.runtime.table import RUNTIMES, choose_runtime, is_address, is_engine_name

Function = Callable[..., Any]
Decorator = Callable[[Function], Function]


class RuntimeName(click.ParamType):  # type: ignore[type-arg]  # not generic in click 8.0
    """The name of a runtime: looked up when it is used, so that registered ones count."""

    name = "runtime"

    def get_metavar(self, param: click.Parameter, ctx: Optional[click.Context] = None) -> str:
        """Return the names for ``--help``."""
        return "[{}]".format("|".join([AUTO, *RUNTIMES]))

    def convert(self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]) -> str:
        """Return the name, or raise UsageError."""
        if value != AUTO and value not in RUNTIMES:
            raise UsageError("unknown runtime {!r}".format(value), "choose one of: " + ", ".join([AUTO, *RUNTIMES]))
        return str(value)


# A field's option; ``--device`` names a board in the benchmarks, so the GPU's index is ``--gpu``.
_DECLARED: Dict[str, Dict[str, Any]] = {
    "runtime": {"option": "--runtime", "type": RuntimeName(),
                "help": "Runtime of the engine.  [default: by the file's ending]"},
    "provider": {"option": "--provider", "metavar": "NAME",
                 "help": "ONNX Runtime: execution provider, such as CUDAExecutionProvider.  [default: the CPU's]"},
    "device": {"option": "--gpu", "type": click.IntRange(0), "metavar": "INDEX",
               "help": "Index of the GPU.  [default: 0]"},
    "threads": {"option": "--threads", "type": click.IntRange(1),
                "help": "CPU threads of one inference.  [default: all available]"},
    "cuda_graph": {"option": "--cuda-graph/--no-cuda-graph",
                   "help": "TensorRT: replay a CUDA graph, or not.  [default: whichever is faster]"},
    "zero_copy": {"option": "--zero-copy/--no-zero-copy",
                  "help": "TensorRT: work in the processor's memory, or copy.  [default: whichever is faster]"},
    "preprocess_on": {"option": "--preprocess-on", "type": click.Choice(PREPARED_ON),
                      "help": "Where camera frames are prepared.  [default: auto]"},
    "trust": {"option": "--trust", "is_flag": True,
              "help": "Accept a plan without a sidecar. A plan can run code."},
    "optimization": {"option": "--optimization", "type": click.Choice(OPTIMIZATIONS),
                     "help": "ONNX Runtime: how far it may rewrite the graph.  [default: all]"},
    "spinning": {"option": "--spinning/--no-spinning",
                 "help": "ONNX Runtime: threads wait without giving the processor away, or not.  [default: yes, but "
                         "not while many photos are read]"},
}
# In front of a field's name, because a command may have an option of its own of that name.
_PREFIX = "runtime_option_"


def say_what_is_unused(runtime: RuntimeOptions, engines: Sequence[str]) -> None:
    """Print a note for each option that does nothing for any of the engines.

    Args:
        runtime: the options as given.
        engines: paths and addresses; what is neither, such as ``torch:xxs``, takes no part.
    """
    names = {choose_runtime(path, runtime.runtime).name for path in engines
             if is_engine_name(path) or is_address(path)}
    unused = [set(RUNTIMES[name].unused) for name in names]
    if "onnxruntime" in names and runtime.provider is None:
        unused = [fields | {"device"} if names == {"onnxruntime"} else fields for fields in unused]
    for field in RuntimeOptions._fields:
        if unused and all(field in fields for fields in unused) and (
                getattr(runtime, field) != RuntimeOptions._field_defaults[field]):
            click.echo("note: {} does nothing for {}".format(
                _DECLARED[field]["option"].split("/")[0], ", ".join(sorted(RUNTIMES[name].title for name in names))),
                err=True)


def runtime_options(*, without: Sequence[str] = ()) -> Decorator:
    """Return a decorator: the command has the options of `RuntimeOptions` and gets ``runtime``, one record.

    Args:
        without: fields that the command cannot honour.
    """
    fields = [field for field in RuntimeOptions._fields if field not in without]

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def call(*arguments: Any, **keywords: Any) -> Any:
            values = {field: keywords.pop(_PREFIX + field) for field in fields}
            return function(*arguments, runtime=RuntimeOptions(**values), **keywords)

        decorated: Function = call
        for field in reversed(fields):
            settings = dict(_DECLARED[field])
            option = settings.pop("option")
            decorated = click.option(option, _PREFIX + field, default=RuntimeOptions._field_defaults[field],
                                     **settings)(decorated)
        return decorated

    return decorate
