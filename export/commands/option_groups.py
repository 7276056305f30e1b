"""Options that every command has that writes an export. Loads under Python 3.6, as the commands do."""
from typing import Any, Callable

import click

from edgenext_deploy.commands.entry import INPUT
from edgenext_deploy.commands.options import FiniteRange
from edgenext_deploy.export.limits import CHOICES, FRACTIONS, TOLERANCE, WHOLE_NUMBERS

Function = Callable[..., Any]


def _group(*options: Callable[[Function], Function]) -> Callable[[Function], Function]:
    """Return a decorator that adds options, in the order in which they are given."""
    def decorate(function: Function) -> Function:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


graph_options = _group(
    click.option("--labels", type=INPUT, metavar="FILE",
                 help="Class names, as lines, JSON or simple YAML.  [default: those of the published network]"),
    click.option("--activation", type=click.Choice(CHOICES["activation"]),
                 help="What makes probabilities of a classifier's logits: softmax, or sigmoid for classes that do not "
                      "exclude each other.  [default: softmax; of one class, sigmoid]"),
    click.option("--threshold", type=FiniteRange(*FRACTIONS["threshold"]), metavar="P",
                 help="Of --activation sigmoid and of one class: probability from which a class is present. "
                      " [default: 0.5]"))

photo_options = _group(
    click.option("--mean", metavar="R,G,B", help="Mean of the input, for pixels in 0..1.  [default: the network's]"),
    click.option("--std", metavar="R,G,B",
                 help="Standard deviation, for pixels in 0..1.  [default: the network's]"),
    click.option("--interpolation", type=click.Choice(CHOICES["interpolation"]),
                 help="Filter that resizes a photo.  [default: the network's, mostly bicubic]"),
    click.option("--fit", type=click.Choice(CHOICES["fit"]),
                 help="How a photo fits the input: its centre, the whole of it stretched, or the whole of it in a "
                      "border.  [default: the published evaluation's]"),
    click.option("--pad-color", metavar="R,G,B",
                 help="The border of --fit letterbox, 0..255.  [default: 114,114,114]"),
    click.option("--crop-pct", type=FiniteRange(*FRACTIONS["crop_pct"]),
                 help="Share of the resized photo that is cropped.  [default: the published evaluation's]"),
    click.option("--resize-size", type=click.IntRange(*WHOLE_NUMBERS["resize_size"]),
                 help="In place of --crop-pct: shorter side of the resized photo before the crop, in pixels."),
    click.option("--channel-order", type=click.Choice(CHOICES["channel_order"]),
                 help="Order of the input's channels; --mean, --std and --pad-color stay R,G,B.  [default: rgb]"))

precision_options = _group(
    click.option("--fp16", is_flag=True, help="Aim at an FP16 engine."),
    click.option("--precision-mode", type=click.Choice(CHOICES["precision_mode"]),
                 help="How --fp16 is asked for: an FP32 graph that the builder turns into FP16 (flag), or a graph "
                      "whose own types are FP16 (typed).  [default: the target's]"),
    click.option("--io", type=click.Choice(CHOICES["io"]), default="fp32", show_default=True,
                 help="Type of the inputs and outputs of a typed graph."),
    click.option("--drift", is_flag=True, help="Analyse on the CPU what FP16 does to every layer."),
    click.option("--samples", type=INPUT, metavar="DIR",
                 help="Folder with photos for --drift and --auto-pin.  [default: bundled ones]"),
    click.option("--auto-pin", is_flag=True, help="Pin to FP32 the layers that --drift finds too inaccurate."),
    click.option("--tolerance", type=FiniteRange(*FRACTIONS["tolerance"]), default=TOLERANCE, show_default=True,
                 help="Relative error of the largest value of an output that --auto-pin allows."))


def place_options(default_name: str) -> Callable[[Function], Function]:
    """Return a decorator that adds where the files go; `default_name` says their name in words."""
    return _group(
        click.option("--output", "-o", default=".", show_default=True, metavar="DIR|FILE.onnx",
                     help="Folder for the files, or the ONNX file itself."),
        click.option("--name", metavar="NAME",
                     help="Name of the files, without an ending.  [default: {}]".format(default_name)),
        click.option("--force", is_flag=True,
                     help="Replace an export of other weights, or with another target, input or precision, and what "
                          "--serve and --deepstream find there."))
