"""The plain route, for comparison: reference module, torch's exporter, onnx-simplifier.

This is what one gets without this toolkit: the exporter at its default opset, nothing rewritten. Run it as
``python -m edgenext_deploy.export.plain --variant xxs --output plain.onnx``; `edgenext-bench routes` does.
"""
import contextlib
import io
import warnings
from pathlib import Path
from typing import Any

import click

from edgenext_deploy.commands.entry import common_options, entry_point, require_libraries
from edgenext_deploy.errors import IncompatibleError
from edgenext_deploy.scratch import scratch_folder

# The lowest opset that torch's newer exporter writes itself.
_NEWER_EXPORTER = 18


def export_plain(variant: str, image_size: int = 256, opset: int | None = None) -> bytes:
    """Return the serialized ONNX model of the plain route, with seeded random weights.

    Args:
        variant: a name in the registry.
        image_size: side of the square input in pixels.
        opset: ai.onnx opset, None for the exporter's default. Below 18 the older of torch's exporters writes the file:
            the newer one would silently keep 18.

    Raises:
        IncompatibleError: torch wrote another opset.
    """
    import onnx
    import onnxsim
    import torch

    from edgenext_deploy.models.factory import create_model, randomise

    image = torch.zeros(1, 3, image_size, image_size)
    model = randomise(create_model(variant), seed=0).eval()
    names: dict[str, Any] = {"input_names": ["image"], "output_names": ["logits"], "opset_version": opset}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # they are about the exporter's own decompositions
        if opset is not None and opset < _NEWER_EXPORTER:
            with scratch_folder() as folder:
                path = str(Path(folder, "plain.onnx"))
                torch.onnx.export(model, (image,), path, dynamo=False, **names)
                exported = onnx.load(path)
        else:
            program = torch.onnx.export(model, (image,), dynamo=True, verbose=False, **names)
            if program is None:
                raise RuntimeError("torch.onnx.export returned no program")
            exported = program.model_proto
    written = next(entry.version for entry in exported.opset_import if not entry.domain)
    if opset not in (None, written):
        raise IncompatibleError(f"torch.onnx.export wrote opset {written}, {opset} was asked for",
                                f"compare with --opset {written}")
    simplified, _ = onnxsim.simplify(exported)
    content: bytes = simplified.SerializeToString(deterministic=True)
    return content


@click.command()
@click.option("--variant", required=True, help="Variant to export.")
@click.option("--image-size", default=256, show_default=True, help="Side of the input in pixels.")
@click.option("--opset", type=int, help="ai.onnx opset.  [default: the exporter's]")
@click.option("--output", required=True, type=click.Path(dir_okay=False), help="ONNX file to write.")
@common_options
def plain_command(variant: str, image_size: int, opset: int | None, output: str) -> None:
    """Export a variant the plain way, for comparison."""
    require_libraries("the plain route", ("torch", "onnx", "onnxsim", "onnxscript"))
    Path(output).write_bytes(export_plain(variant, image_size, opset))


main = entry_point(plain_command)
if __name__ == "__main__":
    main()
