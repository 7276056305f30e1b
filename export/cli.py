"""The command ``edgenext-export``.

Like every command module it also loads under Python 3.6, to say there what is missing; so no `X | None`.
"""
import json
from typing import Optional

import click

from edgenext_deploy.commands.entry import INPUT, common_options, entry_point, require_libraries
from edgenext_deploy.commands.name_options import target_option
from edgenext_deploy.errors import UsageError
from edgenext_deploy.export.verdict.cli import check_command


@click.group(invoke_without_command=True, context_settings={"max_content_width": 110})
@click.option("--variant", metavar="NAME", help="Variant to export; edgenext-models lists them.")
@click.option("--fp16", is_flag=True, help="Aim at an FP16 engine.")
@target_option("Where the engine will run: {names}.", default="nano", show_default=True)
@click.option("--weights", type=INPUT, metavar="FILE",
              help="Checkpoint, official, timm or one's own, .pth or .safetensors.")
@click.option("--pretrained", is_flag=True, help="Download the published weights (or take them from the cache).")
@click.option("--image-size", metavar="N|HxW", help="Input size in pixels.  [default: the variant's]")
@click.option("--batch", type=click.IntRange(1, 256), default=1, show_default=True, help="Images per inference.")
@click.option("--num-classes", type=click.IntRange(1, 100000),
              help="Number of classes.  [default: the checkpoint's, or the variant's]")
@click.option("--labels", type=INPUT, metavar="FILE",
              help="Class names, one a line.  [default: those of the published network]")
@click.option("--crop-pct", type=click.FloatRange(0.1, 1.0), help="Share of the resized photo that is cropped.")
@click.option("--output", default=".", show_default=True, metavar="DIR", help="Folder for the files.")
@click.option("--layout", type=click.Choice(["nchw", "tokens"]),
              help="Form of the linear layers.  [default: the target's]")
@click.option("--padding", type=click.Choice(["node", "attribute"]),
              help="Where the 9x9 convolution is padded.  [default: the target's]")
@click.option("--fold-normalization", is_flag=True,
              help="Fold mean and std into the stem: the engine takes pixels 0..255.")
@click.option("--seed", default=0, show_default=True, help="Of the random weights, without --weights.")
@click.option("--precision-mode", type=click.Choice(["flag", "typed"]),
              help="How --fp16 is meant: builder flag, or a graph typed in FP16.  [default: the target's]")
@click.option("--io", type=click.Choice(["fp32", "fp16"]), default="fp32", show_default=True,
              help="Type of inputs and outputs of a typed graph.")
@click.option("--nms", type=click.Choice(["host", "plugin"]), default="host", show_default=True,
              help="Where a detector's boxes are suppressed; plugin also writes NAME.nms.onnx, for TensorRT alone.")
@click.option("--drift", is_flag=True, help="Analyse on the CPU what FP16 does to every layer.")
@click.option("--samples", type=INPUT, metavar="DIR", help="Photos for --drift.  [default: bundled ones]")
@click.option("--auto-pin", is_flag=True, help="Pin to FP32 what --drift finds too inaccurate.")
@click.option("--tolerance", type=click.FloatRange(1e-5, 0.5), default=0.01, show_default=True,
              help="Error of the largest logit that --auto-pin allows.")
@click.option("--json", "as_data", is_flag=True, help="Print the result as JSON.")
@common_options
@click.pass_context
def export_command(
    context: click.Context, variant: Optional[str], fp16: bool, target: str, weights: Optional[str], pretrained: bool,
    image_size: Optional[str], batch: int, num_classes: Optional[int], labels: Optional[str], crop_pct: Optional[float],
    output: str, layout: Optional[str], padding: Optional[str], fold_normalization: bool, seed: int,
    precision_mode: Optional[str], io: str, nms: str, drift: bool, samples: Optional[str], auto_pin: bool,
    tolerance: float, as_data: bool,
) -> None:
    """Export a variant to a checked ONNX file with its manifest.

    Writes NAME.onnx and NAME.json. Without --weights or --pretrained the weights are random.
    """
    if context.invoked_subcommand is not None:
        return
    if variant is None:
        raise UsageError("--variant is missing", "try edgenext-export --variant xxs --fp16")
    require_libraries("exporting", ("torch", "onnx", "onnxsim", "onnxruntime", "safetensors"))
    from edgenext_deploy.export.request import ExportRequest, parse_image_size

    height, width = (None, None) if image_size is None else parse_image_size(image_size)
    request = ExportRequest(
        variant=variant, target=target, fp16=fp16, weights=weights, pretrained=pretrained, height=height, width=width,
        batch=batch, num_classes=num_classes, labels=labels, crop_pct=crop_pct, output=output, layout=layout,
        padding=padding, fold_normalization=fold_normalization, seed=seed,
        precision_mode=precision_mode, io=io, drift=drift, samples=samples, auto_pin=auto_pin, tolerance=tolerance,
        nms=nms)
    request.checked()  # before the seconds that importing torch takes
    from rich.console import Console

    from edgenext_deploy.export.device_build import build_if_here
    from edgenext_deploy.export.pipeline import run_export
    from edgenext_deploy.export.report import as_json, print_report
    from edgenext_deploy.targets import get_target

    with Console(stderr=True).status("starting") as status:
        result = run_export(request, progress=lambda step: status.update(step))
    plan = build_if_here(result.engine_path, get_target(target))
    if as_data:
        click.echo(json.dumps(as_json(result, plan), indent=2))
    else:
        print_report(result, Console(), plan)


export_command.add_command(check_command)

main = entry_point(export_command)
if __name__ == "__main__":
    main()
