"""edgenext-run on photos: answers as tables, as JSON and in pictures, one batch of the engine after the other."""
import os
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

import click

from edgenext_deploy.commands.options import write_result
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.preprocess.photo_files import photos_in

if TYPE_CHECKING:
    from edgenext_deploy.preprocess.photo_batches import ReadPhoto
    from edgenext_deploy.run.picture_files import PictureFiles
    from edgenext_deploy.run.views import View


def run_photos(engine: str, images: Tuple[str, ...], view: "View", save: Optional[str], as_json: bool,
               json_file: Optional[str]) -> int:
    """Run a network on photos, and show its answers.

    Args:
        engine: path of the engine, for the report.
        images: photos and folders of photos.
        view: the open network, and how its answers are shown.
        save: file or folder for pictures with the answers drawn in; None for none.
        as_json: print JSON in place of text.
        json_file: write JSON there.

    Returns:
        The exit code: 0, or that of a photo that cannot be read.
    """
    from edgenext_deploy.preprocess.photo_batches import read_batches

    results: List[Dict[str, Any]] = []
    photos, missing = _expand(images)
    pictures = _pictures(save, photos)
    network = view.network
    if not as_json:
        _print_header(engine, view)
    for batch in read_batches(photos, network.batch, [network.manifest.preprocessing], missing):
        usable = [photo for photo in batch if photo.image is not None]
        answers = iter(network([photo.image for photo in usable]))
        for photo in batch:
            if photo.error is not None:
                results.append({"image": photo.path, "error": str(photo.error)})
                click.echo("error: " + _printable(str(photo.error)), err=True)
                continue
            answer = next(answers)
            results.append(_result(view, photo, usable, answer, pictures))
            if not as_json:
                _print_table(results[-1], view, answer)
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


def _result(view: "View", photo: "ReadPhoto", inferred: "List[ReadPhoto]", answer: Any,
            pictures: "Optional[PictureFiles]") -> Dict[str, Any]:
    """Return what is in one photo as fields of a JSON object; times are those of all that were `inferred` with it."""
    timings = view.network.timings
    assert timings is not None and photo.image is not None
    result: Dict[str, Any] = {"image": photo.path}
    result.update(view.document(answer))
    if photo.orientation != 1:
        result["turned_upright_from"] = photo.orientation
    decoded_ms = sum(other.decoded_ms for other in inferred)
    timings = timings._replace(preprocess_ms=timings.preprocess_ms + decoded_ms)
    result.update((name, round(value, 3)) for name, value in timings._asdict().items())
    if view.network.batch > 1:
        result["photos_in_batch"] = len(inferred)
    if pictures is not None:
        result["saved"] = pictures.write(photo.path, view.picture(photo.image, answer))
    return result


def _document(engine: str, view: "View", results: List[Dict[str, Any]]) -> Dict[str, Any]:
    from edgenext_deploy.run.views import RANDOM

    manifest = view.network.manifest
    document = {
        "engine": engine,
        "task": manifest.task,
        "variant": manifest.variant,
        "weights": manifest.weights._asdict(),
        "random_weights": view.network.random_weights,
        "batch": view.network.batch,
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
    from rich.table import Table

    from edgenext_deploy.commands.screen import make_console

    click.echo("\n{}{}".format(_printable(result["image"]), view.mark))
    table = Table()
    for column in view.columns:
        table.add_column(column.strip(), justify="right" if column.startswith(" ") else "left")
    for row in view.rows(answer):
        table.add_row(*row)
    # Markup off: a label such as "[red]" is printed as it is.
    console = make_console(markup=False, highlight=False, emoji=False)
    with console.capture() as capture:
        console.print(table)
    click.echo(capture.get() if table.row_count else view.headline(answer) + "\n", nl=False)
    batch = view.network.batch
    click.echo("preprocess {:.1f} ms, inference {:.1f} ms, postprocess {:.1f} ms{}{}{}".format(
        result["preprocess_ms"], result["inference_ms"], result["postprocess_ms"],
        " for a batch of {}, {} of it photos".format(batch, result["photos_in_batch"]) if batch > 1 else "",
        ", turned upright (EXIF orientation {turned_upright_from})".format(**result)
        if "turned_upright_from" in result else "",
        ", saved as " + _printable(result["saved"]) if "saved" in result else ""))


def _printable(text: str) -> str:
    """Replace what cannot be written as UTF-8: the bytes of a file name in another encoding."""
    return text.encode("utf-8", "replace").decode("utf-8")
