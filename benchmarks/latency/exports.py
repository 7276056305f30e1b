"""Exports for a measurement: the export runs in a child process, for this stage imports neither it nor torch."""
import os

from edgenext_deploy.commands.child import run_module

# One export of the largest variant takes well below a minute on two cores.
_TIME_LIMIT_S = 600


def export_variant(variant: str, folder: str, target: str) -> str:
    """Export a variant as ``edgenext-export`` does.

    Args:
        variant: a name in the registry.
        folder: where the graph and its manifest are written.
        target: a name in `targets.TARGETS`.

    Returns:
        The path of the ONNX file.

    Raises:
        MissingRuntimeError: torch, or another library of the export, is not installed.
        VerificationError: the export took longer than ten minutes.
        EdgeNextError: the export failed; the class is that of its exit code.
    """
    run_module("edgenext_deploy.export.commands.cli", ["--variant", variant, "--target", target, "--output", folder],
               _TIME_LIMIT_S)
    return os.path.join(folder, variant + ".onnx")


def export_plain(variant: str, path: str) -> None:
    """Export a variant by torch.onnx.export and onnx-simplifier alone; raises as `export_variant` does."""
    run_module("edgenext_deploy.export.plain", ["--variant", variant, "--output", path], _TIME_LIMIT_S)
