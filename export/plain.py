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
from edgenext_deploy.errors import IncompatibleError, UsageError
from edgenext_deploy.export.image_size import require_size
from edgenext_deploy.export.request import no_progress
from edgenext_deploy.export.resolved import WeightsSource
from edgenext_deploy.files import shown, write_files_atomically
from edgenext_deploy.foreign_text import one_line
from edgenext_deploy.models.variants.registry import get_variant
from edgenext_deploy.scratch import scratch_folder

# The lowest opset that torch's newer exporter writes itself.
_NEWER_EXPORTER = 18


def export_plain(variant: str, image_size: int | None = None, opset: int | None = None) -> bytes:
    """Return the serialized ONNX model of the plain route, with the weights of an export that names none.

    Args:
        variant: a name in the registry, of a classifier.
        image_size: side of the square input in pixels; None for the variant's.
        opset: ai.onnx opset, None for the exporter's default. Below 18 the older of torch's exporters writes the file:
            the newer one would silently keep 18.

    Raises:
        IncompatibleError: torch cannot write the opset, or wrote another one.
        UsageError: no classifier, or an impossible size.
    """
    described = get_variant(variant)
    if described.task != "classification":
        raise UsageError(f"the plain route is for classifiers; {variant} is for {described.task}",
                         "name another variant")
    side = described.image_size if image_size is None else image_size
    require_size(side, side)
    import onnxsim
    import torch

    from edgenext_deploy.export.weights import load_reference

    image = torch.zeros(1, 3, side, side)
    model = load_reference(described, WeightsSource(None, None, False, 0), None, no_progress).module
    names: dict[str, Any] = {"input_names": ["image"], "output_names": ["logits"], "opset_version": opset}
    try:
        exported = _exported(model, image, opset, names)
    except (RuntimeError, ValueError) as error:  # what torch raises for an opset that it does not write
        if opset is None:
            raise
        raise IncompatibleError(f"torch.onnx.export does not write opset {opset}: {shown(one_line(error))}",
                                "compare with another --opset, such as 13 or 18") from error
    written = next(entry.version for entry in exported.opset_import if not entry.domain)
    if opset not in (None, written):
        raise IncompatibleError(f"torch.onnx.export wrote opset {written}, {opset} was asked for",
                                f"compare with --opset {written}")
    simplified, _ = onnxsim.simplify(exported)
    content: bytes = simplified.SerializeToString(deterministic=True)
    return content


def _exported(model: Any, image: Any, opset: int | None, names: dict[str, Any]) -> Any:
    import onnx
    import torch

    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # they are about the exporter's own decompositions
        if opset is not None and opset < _NEWER_EXPORTER:
            with scratch_folder() as folder:
                path = str(Path(folder, "plain.onnx"))
                torch.onnx.export(model, (image,), path, dynamo=False, **names)
                return onnx.load(path)
        program = torch.onnx.export(model, (image,), dynamo=True, verbose=False, **names)
        if program is None:
            raise RuntimeError("torch.onnx.export returned no program")
        return program.model_proto


@click.command()
@click.option("--variant", required=True, help="Variant to export.")
@click.option("--image-size", type=int, help="Side of the input in pixels.  [default: the variant's]")
@click.option("--opset", type=int, help="ai.onnx opset.  [default: the exporter's]")
@click.option("--output", required=True, type=click.Path(dir_okay=False), help="ONNX file to write.")
@common_options
def plain_command(variant: str, image_size: int | None, opset: int | None, output: str) -> None:
    """Export a variant the plain way, for comparison."""
    require_libraries("the plain route", ("torch", "onnx", "onnxsim", "onnxscript"))
    write_files_atomically({output: export_plain(variant, image_size, opset)})


main = entry_point(plain_command)
if __name__ == "__main__":
    main()
