"""Exports for a measurement: the export runs in a child process, for this stage imports neither it nor torch."""
import os
from typing import Optional

from edgenext_deploy.commands.child import run_module

# One export of the largest variant takes well below a minute on two cores.
_TIME_LIMIT_S = 600


def export_variant(variant: str, folder: str, target: str, image_size: Optional[int] = None,
                   name: Optional[str] = None, formulation: Optional[str] = None) -> str:
    """Export a variant as ``edgenext-export`` does.

    Args:
        variant: a name in the registry.
        folder: where the graph and its manifest are written.
        target: a name in `targets.TARGETS`.
        image_size: side of the input in pixels; None for the variant's usual one.
        name: stem of the files' names; None for the variant's.
        formulation: name of the form in which the network is written; None for the target's.

    Returns:
        The path of the ONNX file.

    Raises:
        MissingRuntimeError: torch, or another library of the export, is not installed.
        VerificationError: the export took longer than ten minutes.
        EdgeNextError: the export failed; the class is that of its exit code.
    """
    name = name or variant
    words = ["--variant", variant, "--target", target, "--output", folder]
    words += ["--image-size", str(image_size)] if image_size is not None else []
    words += ["--name", name] if name != variant else []
    words += ["--formulation", formulation] if formulation is not None else []
    run_module("edgenext_deploy.export.commands.cli", words, _TIME_LIMIT_S)
    return os.path.join(folder, name + ".onnx")


def export_plain(variant: str, path: str, opset: Optional[int] = None) -> None:
    """Export a variant by torch.onnx.export and onnx-simplifier alone; raises as `export_variant` does.

    Args:
        variant: a name in the registry.
        path: of the file.
        opset: of the graph; None for the exporter's default.
    """
    words = ["--variant", variant, "--output", path] + ([] if opset is None else ["--opset", str(opset)])
    run_module("edgenext_deploy.export.plain", words, _TIME_LIMIT_S)
