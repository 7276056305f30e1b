"""edgenext-run: an exported network's answers to photos or to a camera's frames."""
import os
import time
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

import click

from edgenext_deploy.camera.open import forms
from edgenext_deploy.commands.entry import INPUT, common_options, entry_point
from edgenext_deploy.commands.options import Command, examples, json_options, write_result
from edgenext_deploy.commands.runtime_options import runtime_options
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import require_writable
from edgenext_deploy.preprocess.photo_files import photos_in
from edgenext_deploy.run.live import LiveOptions, chosen_stream, live_options, run_live
from edgenext_deploy.runtime.options import RuntimeOptions

if TYPE_CHECKING:
    from edgenext_deploy.run.picture_files import PictureFiles
    from edgenext_deploy.run.views import View


class _Command(Command):
    """The command; its help lists the kinds of sources as they are registered."""

    def format_help_text(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the text under the usage line."""
        self.help = _HELP.format(forms=forms())
        super().format_help_text(context, formatter)


_HELP = """Run a classifier, detector or segmenter on photos or on the frames of a camera.

IMAGE is a photo or a folder of photos, which are taken in the order of their names. A photo that cannot be read is
reported, the others go on, and the exit code is 3.

STREAM is {forms}; a folder needs --stream. The command runs on the newest frame, again and again, until the stream
ends or Ctrl-C. `docs/camera.md` has the rules.

With --json and --json-file a stream gives one JSON object per line."""


@click.command(cls=_Command, epilog=examples(
    "edgenext-run --engine xxs.onnx photo.jpg",
    "edgenext-run --engine s_ssdlite.plan photos/ --save seen/",
    "edgenext-run --engine xxs.plan csi://0 --fps 30 --json"))
@click.option("--engine", required=True, type=INPUT, help="ONNX file or plan, with its .json manifest next to it.")
@click.argument("sources", nargs=-1, required=True, type=INPUT, metavar="IMAGE...|STREAM")
@click.option("--top-k", type=click.IntRange(1), metavar="N",
              help="Classifier: number of predictions per image.  [default: 5]")
@click.option("--threshold", type=click.FloatRange(0, 1), metavar="SCORE",
              help="Detector: report objects with a higher score.  [default: 0.3]")
@click.option("--labels", type=INPUT, metavar="FILE",
              help="Class names, as lines, JSON or simple YAML; or 'imagenet1k'.  [default: the manifest's]")
@click.option("--anyway", is_flag=True, help="Show answers of random weights too; they mean nothing.")
@runtime_options()
@live_options
@json_options
@common_options
def command(engine: str, sources: Tuple[str, ...], top_k: Optional[int], threshold: Optional[float],
            labels: Optional[str], anyway: bool, runtime: RuntimeOptions, as_json: bool, json_file: Optional[str],
            **live: Any) -> int:
    """Run a network on photos or on a stream; `_HELP` is what the user reads."""
    from edgenext_deploy.run.views import open_view

    options = LiveOptions(**live)
    stream = chosen_stream(sources, options)
    if json_file is not None:
        require_writable(json_file, "give another file with --json-file")
    view = open_view(engine, labels=labels, top_k=top_k, threshold=threshold, anyway=anyway,
                     runtime=runtime)
    with view.network:
        _warm_up(view)
        if stream is not None:
            return run_live(engine, stream, view, options, as_json, json_file)
        return _run_photos(engine, sources, view, options.save, as_json, json_file)


def _run_photos(engine: str, images: Tuple[str, ...], view: "View", save: Optional[str], as_json: bool,
                json_file: Optional[str]) -> int:
    results: List[Dict[str, Any]] = []
    photos, missing = _expand(images)
    pictures = _pictures(save, photos)
    if not as_json:
        _print_header(engine, view)
    for path in photos:
        try:
            if path in missing:
                raise missing[path]
            result, answer = _look_at(view, path, pictures)
        except BadInputError as error:
            results.append({"image": path, "error": str(error)})
            click.echo("error: " + _printable(str(error)), err=True)
            continue
        results.append(result)
        if not as_json:
            _print_table(result, view, answer)
    write_result(_document(engine, view, results), as_json, json_file, lambda: None)
    return BadInputError.exit_code if any("error" in result for result in results) else 0


def _expand(images: Tuple[str, ...]) -> Tuple[List[str], Dict[str, BadInputError]]:
    """Return the photos that the arguments stand for, and for folders without any what is wrong with them."""
    photos: List[str] = []
    missing: Dict[str, BadInputError] = {}
    for argument in images:
        try:
            photos += photos_in(argument) if os.path.isdir(argument) else [argument]
        except BadInputError as error:
            photos.append(argument)
            missing[argument] = error
    return photos, missing


def _pictures(save: Optional[str], photos: List[str]) -> "Optional[PictureFiles]":
    from edgenext_deploy.run.picture_files import PictureFiles

    return None if save is None else PictureFiles(save, photos)


def _look_at(view: "View", path: str, pictures: "Optional[PictureFiles]") -> Tuple[Dict[str, Any], Any]:
    """Return what is in one photo, as fields of a JSON object and as the network's own answer."""
    from edgenext_deploy.preprocess.photo import read_photo

    start = time.perf_counter()
    image, orientation = read_photo(path)
    decoded_ms = (time.perf_counter() - start) * 1e3
    answer = view.network(image)
    timings = view.network.timings
    assert timings is not None
    result: Dict[str, Any] = {"image": path}
    result.update(view.document(answer))
    if orientation != 1:
        result["turned_upright_from"] = orientation
    timings = timings._replace(preprocess_ms=timings.preprocess_ms + decoded_ms)
    result.update((name, round(value, 3)) for name, value in timings._asdict().items())
    if pictures is not None:
        result["saved"] = pictures.write(path, view.picture(image, answer))
    return result, answer


def _warm_up(view: "View") -> None:
    """Run once on zeros, so that the first photo's time is not the cost of the first run."""
    import numpy as np

    taken = view.network.session.inputs[0]
    view.network.session.infer_all(np.zeros(taken.shape, taken.dtype))


def _document(engine: str, view: "View", results: List[Dict[str, Any]]) -> Dict[str, Any]:
    from edgenext_deploy.run.views import RANDOM

    manifest = view.network.manifest
    document = {
        "engine": engine,
        "task": manifest.task,
        "variant": manifest.variant,
        "weights": manifest.weights._asdict(),
        "random_weights": view.network.random_weights,
        "session": view.network.session.describe(),
        "images": results,
    }
    if view.network.random_weights:
        document["warning"] = RANDOM
    return document


def _print_header(engine: str, view: "View") -> None:
    from edgenext_deploy.run.views import RANDOM

    session = view.network.session.describe()
    where = session.get("device") or "threads: {}".format(session["threads"])
    click.echo("{}: {}, {} {}, {}, {}".format(
        _printable(engine), view.network.manifest.variant, session["runtime"], session["version"],
        session["provider"], where))
    if view.network.random_weights:
        parity = view.network.manifest.parity
        click.echo(RANDOM)
        click.echo("parity with PyTorch: largest difference {:.2g}, {:.2g} of the largest output, on {} inputs".format(
            parity.max_absolute_error, parity.max_relative_error, parity.inputs))


def _print_table(result: Dict[str, Any], view: "View", answer: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    click.echo("\n{}{}".format(_printable(result["image"]),
                              " (random weights)" if view.network.random_weights else ""))
    table = Table()
    for column in view.columns:
        table.add_column(column.strip(), justify="right" if column.startswith(" ") else "left")
    for row in view.rows(answer):
        table.add_row(*row)
    # Markup off: a label such as "[red]" is printed as it is.
    console = Console(markup=False, highlight=False, emoji=False)
    with console.capture() as capture:
        console.print(table)
    click.echo(capture.get() if table.row_count else view.headline(answer) + "\n", nl=False)
    click.echo("preprocess {:.1f} ms, inference {:.1f} ms, postprocess {:.1f} ms{}{}".format(
        result["preprocess_ms"], result["inference_ms"], result["postprocess_ms"],
        ", turned upright (EXIF orientation {turned_upright_from})".format(**result)
        if "turned_upright_from" in result else "",
        ", saved as " + _printable(result["saved"]) if "saved" in result else ""))


def _printable(text: str) -> str:
    """Replace what cannot be written as UTF-8: the bytes of a file name in another encoding."""
    return text.encode("utf-8", "replace").decode("utf-8")


main = entry_point(command)

if __name__ == "__main__":
    main()
