"""The public functions of this package. Importing this loads no torch."""
import contextlib
import dataclasses
import functools
import gc
import inspect
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from edgenext_deploy.export.request import ExportRequest
from edgenext_deploy.export.result import ExportResult

if TYPE_CHECKING:
    from torch import nn

    from edgenext_deploy.export.race_export import RaceExport
    from edgenext_deploy.models.variants.registry import Variant

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


def export_race(
    model_or_variant: "str | Variant | nn.Module", output: "str | os.PathLike[str]" = ".", *,
    formulations: Sequence[str] | None = None, **options: Any,
) -> "RaceExport":
    """Export several formulations of one network to a bundle, from which a device finds the fastest.

    Every formulation is exported and checked as `export_onnx` does it. One that the target cannot run, or that fails a
    check, is left out, and the bundle says why. ``edgenext-build BUNDLE`` and `edgenext_deploy.benchmarks.race` race
    what is in it.

    Args:
        model_or_variant: as for `ExportRequest`.
        output: folder for the bundle, or its path with the ending ``.onnx`` in place of ``.race``.
        formulations: their names, the most promising first; None for those worth trying on the target.
        options: the other fields of `ExportRequest` but `formulation`, `layout`, `padding`, `drift` and `auto_pin`.

    Raises:
        UsageError: options that cannot be done, or a file that needs `force`.
        BadInputError: a weights or labels file, or a module's weights, that do not fit.
        IncompatibleError: the target can run none of the graphs.
        MissingRuntimeError: ``pretrained`` without a network.
    """
    from edgenext_deploy.export.race_export import run_race_export

    request = ExportRequest(model_or_variant, output, **options)
    return run_race_export(request, formulations, _export)


def _export(request: ExportRequest) -> ExportResult:
    return export_onnx(**{field.name: getattr(request, field.name) for field in dataclasses.fields(request)
                          if field.name != "_"})
