"""The public functions of this package. Importing this loads no torch."""
import contextlib
import functools
import gc
import inspect
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

from edgenext_deploy.export.request import ExportRequest
from edgenext_deploy.export.result import ExportResult

_P = ParamSpec("_P")
_Request = TypeVar("_Request")


def with_arguments_of(
    record: Callable[_P, _Request]
) -> Callable[[Callable[[_Request], ExportResult]], Callable[_P, ExportResult]]:
    """Return a decorator that makes a function take a record's fields as its arguments."""

    def decorate(function: Callable[[_Request], ExportResult]) -> Callable[_P, ExportResult]:
        @functools.wraps(function)
        def call(*args: _P.args, **kwargs: _P.kwargs) -> ExportResult:
            return function(record(*args, **kwargs))

        signature = inspect.signature(record).replace(return_annotation=ExportResult)
        call.__signature__ = signature  # type: ignore[attr-defined]
        return call

    return decorate


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Hide the objects made inside from the garbage collector, until `gc.unfreeze`."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collecting:
            gc.enable()


@with_arguments_of(ExportRequest)
def export_onnx(request: ExportRequest) -> ExportResult:
    """Export a variant, or a module of a known family, to a checked ONNX file with its manifest.

    ``export_onnx("xxs", "out", fp16=True)`` writes ``out/xxs.onnx`` and ``out/xxs.json``; with ``"out/mine.onnx"`` it
    writes that file and ``out/mine.json``. The arguments are the fields of `ExportRequest`, which explains them; after
    `output` they are keyword-only. A module is copied, not changed.

    Before anything is written the graph has been judged for the target's TensorRT releases, compared with the module
    in ONNX Runtime (largest difference 1e-4 of the largest logit in FP32), and, where TensorRT-RTX is installed, built.

    Raises:
        UsageError: options that cannot be done, a module of no known family, or files that need `force`.
        BadInputError: a weights or labels file, or a module's weights, that do not fit.
        IncompatibleError: the target cannot run the graph.
        VerificationError: the graph does not compute what the reference module computes.
        MissingRuntimeError: ``pretrained`` without a network.
    """
    resolved = request.resolve()  # before the seconds that importing torch takes
    with uncollected():  # torch's million objects, none of them garbage: to look at them takes a fifth of the export
        from edgenext_deploy.export.pipeline import Export
    try:
        return Export(resolved, request.progress).run()
    finally:
        gc.unfreeze()
