"""``edgenext-eval``: how accurate engines are on labelled images."""
import os
import shlex
import sys
from typing import TYPE_CHECKING, Optional, Tuple

import click

from edgenext_deploy.benchmarks.accuracy.class_names import CLASS_ORDERS
from edgenext_deploy.benchmarks.commands.options import engine_arguments
from edgenext_deploy.benchmarks.commands.outputs import hand_over, say
from edgenext_deploy.commands.entry import common_options, entry_point
from edgenext_deploy.commands.options import Command, OutputFile, check_outputs, examples, json_options
from edgenext_deploy.commands.process import interrupted_code
from edgenext_deploy.commands.progress import show_progress
from edgenext_deploy.commands.runtime_options import runtime_options, say_what_is_unused
from edgenext_deploy.errors import UsageError
from edgenext_deploy.runtime.options import RuntimeOptions

if TYPE_CHECKING:
    from edgenext_deploy.benchmarks.accuracy.evaluate import Evaluation

_NAMED = 5


@click.command("edgenext-eval", cls=Command, epilog=examples(
    "edgenext-eval xxs.onnx imagenet/val",
    "edgenext-eval xxs.onnx xxs.plan --data imagenet/val --resume rows.jsonl --json-file result.json",
    "edgenext-eval s_ssdlite.onnx --data coco/val2017 --labels coco/annotations/instances_val2017.json"))
@engine_arguments()
@click.option("--data", metavar="DIR",
              help="Images; the folder may also stand behind the engines. "
                   "Classifier: a folder for each class, or with --labels a flat folder. Detector: the folder "
                   "of COCO's images. Segmenter: a folder in VOC's layout.")
@click.option("--labels", metavar="FILE",
              help="Truth. Classifier: lines 'name class'. Detector: COCO's instances file [default: instances.json in "
                   "DIR]. Segmenter: the list of names [default: VOC's val.txt, or every mask].")
@click.option("--class-order", type=click.Choice(list(CLASS_ORDERS)),
              help="What the names of a classifier's folders mean: class indices, text order (torchvision's), or "
                   "natural order (timm's).  [default: the labels they match, or the one reading that is possible]")
@click.option("--limit", type=click.IntRange(min=1), metavar="N",
              help="Number of images to evaluate, spread evenly over all.  [default: all]")
@click.option("--resume", type=OutputFile(), metavar="FILE",
              help="Keep the results of each image in FILE, and go on from there if the run was interrupted.")
@click.option("--ray", metavar="ADDRESS",
              help="Evaluate on the nodes of a Ray cluster: auto for the one that this machine belongs to, local for "
                   "one of its own, or HOST:PORT. Engines and images lie in a folder that all nodes share.")
@runtime_options(without=("preprocess_on",))
@json_options
@common_options
@click.pass_context
def eval_command(context: click.Context, engines: Tuple[str, ...], data: Optional[str], labels: Optional[str],
                 class_order: Optional[str], limit: Optional[int], resume: Optional[str], ray: Optional[str],
                 runtime: RuntimeOptions, as_json: bool, json_file: Optional[str]) -> None:
    """Measure the accuracy of engines on labelled images.

    Several engines are compared with the first, on the same images. Classifiers: top-1 and top-5. Detectors: COCO's
    mAP. Segmenters: mIoU. Images are prepared as each engine's manifest says. An image that cannot be read is left
    out and named; the exit code is still 0. docs/evaluation.md has the layouts.
    """
    engines, data = _split_data(engines, data)
    say_what_is_unused(runtime, engines)
    check_outputs([("--json-file", json_file), ("--resume", resume)], [*engines, *([labels] if labels else [])])
    from edgenext_deploy.benchmarks.accuracy.evaluate import evaluate
    from edgenext_deploy.benchmarks.accuracy.report import dump, print_report

    try:
        with show_progress() as show:
            evaluation = evaluate(
                *engines, data=data, labels=labels, class_order=class_order, limit=limit, resume=resume,
                runtime=runtime, ray=ray, note=lambda text: say("note: " + text),
                progress=None if show is None else lambda done, total, _: show(
                    done / total, "{} of {} images".format(done, total)))
    except KeyboardInterrupt:
        say("interrupted" if resume is None else "interrupted; the same command goes on from here")
        context.exit(interrupted_code())
    _say_what_was_left_out(evaluation)
    hand_over(lambda: dump(evaluation), as_json, json_file, lambda: print_report(evaluation, sys.stdout))


def _split_data(words: Tuple[str, ...], data: Optional[str]) -> Tuple[Tuple[str, ...], str]:
    """Return the engines and the folder of images, which may be the last of the words."""
    if data is None and len(words) > 1 and os.path.isdir(words[-1]):
        return words[:-1], words[-1]
    if data is None:
        raise UsageError("no folder of images given", "edgenext-eval {} --data DIR".format(
            " ".join(map(shlex.quote, words))))
    return words, data


def _say_what_was_left_out(evaluation: "Evaluation") -> None:
    from edgenext_deploy.files import shown

    total = len(evaluation.data.items)
    if evaluation.resumed:
        say("{} of {} images were evaluated before".format(evaluation.resumed, total))
    if evaluation.turned:
        say("note: {} of {} images have an EXIF orientation and were turned upright".format(evaluation.turned, total))
    if evaluation.repeated:
        say("note: {} parts of the images were evaluated again, as a worker or node of the cluster died".format(
            evaluation.repeated))
    unreadable = evaluation.unreadable
    for image in unreadable[:_NAMED]:
        say("warning: left out {}: {}".format(shown(image["image"]), shown(image["error"], 400)))
    if unreadable:
        more = "" if len(unreadable) <= _NAMED else "; --json names them all"
        say("warning: {} of {} images were left out{}".format(len(unreadable), total, more))


main = entry_point(eval_command)
if __name__ == "__main__":
    main()
