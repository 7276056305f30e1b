"""``edgenext-eval``: how accurate engines are on labelled images."""
import contextlib
import sys
from typing import TYPE_CHECKING, Iterator, Optional, Tuple

import click

from edgenext_deploy.commands.entry import common_options, entry_point
from edgenext_deploy.errors import UsageError

if TYPE_CHECKING:
    from edgenext_deploy.benchmarks.accuracy.evaluate import Evaluation, Progress

_NAMED = 5
# The shell's code for a process that Ctrl-C ended.
_INTERRUPTED = 130


@click.command()
@click.option("--engine", "engines", multiple=True, required=True, metavar="FILE",
              help="Engine file to evaluate. Repeat the option to compare several with the first, on the same images.")
@click.option("--data", required=True, metavar="DIR",
              help="Images. Classifier: a folder for each class, or with --labels a flat folder. Detector: the folder "
                   "of COCO's images. Segmenter: a folder in VOC's layout.")
@click.option("--labels", metavar="FILE",
              help="Truth. Classifier: lines 'name class'. Detector: COCO's instances file [default: instances.json in "
                   "DIR]. Segmenter: the list of names [default: VOC's val.txt, or every mask].")
@click.option("--limit", type=click.IntRange(min=1), help="Evaluate so many images, spread evenly over all.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of ONNX Runtime.  [default: all available]")
@click.option("--resume", metavar="FILE",
              help="Keep the results of each image in FILE, and go on from there if the run was interrupted.")
@click.option("--trust", is_flag=True, help="Accept plans without a sidecar; they can run code.")
@click.option("--json", "json_file", metavar="[FILE]", is_flag=False, flag_value="-", type=str,
              help="Write the result as JSON to FILE as well; without FILE (or with -) to standard output, in place of "
                   "the table.")
@common_options
@click.pass_context
def eval_command(context: click.Context, engines: Tuple[str, ...], data: str, labels: Optional[str],
                 limit: Optional[int], threads: Optional[int], resume: Optional[str], trust: bool,
                 json_file: Optional[str]) -> None:
    """Measure the accuracy of engines on labelled images.

    Classifiers: top-1 and top-5. Detectors: COCO's mAP. Segmenters: mIoU. Images are prepared as each engine's manifest
    says. One that cannot be read is left out and named; the exit code is still 0. docs/evaluation.md has the layouts.
    """
    from edgenext_deploy.benchmarks.accuracy.evaluate import Options, evaluate

    try:
        with _progress() as progress:
            evaluation = evaluate(Options(engines, data, labels, limit, threads, resume, trust), progress)
    except KeyboardInterrupt:
        _say("interrupted" if resume is None else "interrupted; the same command goes on from here")
        context.exit(_INTERRUPTED)
    _finish(evaluation, json_file)


def _finish(evaluation: "Evaluation", json_file: Optional[str]) -> None:
    from edgenext_deploy.benchmarks.accuracy.report import dump, print_report
    from edgenext_deploy.files import shown, write_files_atomically

    if evaluation.resumed:
        _say("{} of {} images were evaluated before".format(evaluation.resumed, len(evaluation.data.items)))
    unreadable = evaluation.unreadable
    for image in unreadable[:_NAMED]:
        _say("warning: left out {}: {}".format(shown(image["image"]), shown(image["error"], 400)))
    if unreadable:
        more = "" if len(unreadable) <= _NAMED else "; --json names them all"
        _say("warning: {} of {} images were left out{}".format(len(unreadable), len(evaluation.data.items), more))
    content = dump(evaluation)
    if json_file == "-":
        click.echo(content, nl=False)
        return
    print_report(evaluation, sys.stdout)
    if json_file is not None:
        try:
            write_files_atomically({json_file: content})
        except UsageError as error:
            raise UsageError(error.message, "give another file with --json") from error
        _say("wrote {}".format(json_file))


@contextlib.contextmanager
def _progress() -> "Iterator[Optional[Progress]]":
    """Show a bar on standard error when that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), TextColumn("{task.completed}/{task.total}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("images", total=None)

        def show(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total)

        yield show


def _say(line: str) -> None:
    click.echo(line, err=True)


main = entry_point(eval_command)
if __name__ == "__main__":
    main()
