"""The public function ``adopt``. Importing this loads no torch."""
import gc

from edgenext_deploy.export.adoption.request import AdoptRequest
from edgenext_deploy.export.api import uncollected, with_arguments_of
from edgenext_deploy.export.result import ExportResult


@with_arguments_of(AdoptRequest)
def adopt(request: AdoptRequest) -> ExportResult:
    """Export a network of anybody's from an ONNX file, as `export_onnx` does one of ours.

    ``adopt("net.onnx", "out", fp16=True, image_size=224)`` writes ``out/net_nano.onnx`` and its manifest; engines of
    it open and run like any other. The arguments are the fields of `AdoptRequest`, which explains them. The file is
    the reference: every step is compared with it in ONNX Runtime.

    Raises:
        UsageError: options that cannot be done, sizes that the file leaves open, or files that need `force`.
        BadInputError: no ONNX file, or one that ONNX Runtime cannot run.
        IncompatibleError: control flow, shapes that depend on the image, an operator that the target lacks.
        VerificationError: the written graph does not compute what the file computes.
    """
    with uncollected():
        from edgenext_deploy.export.adoption.adopt import adopt_file
    try:
        return adopt_file(request)
    finally:
        gc.unfreeze()
