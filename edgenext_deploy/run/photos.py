"""edgenext-run on photos: answers as tables, as JSON and in pictures, one batch of the engine after the other."""
import contextlib
import os
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

import click

from edgenext_deploy.errors import BadInputError
from edgenext_deploy.preprocess.photo_files import photos_in
from edgenext_deploy.run.photo_document import PhotoDocument

if TYPE_CHECKING:
    from edgenext_deploy.networks.photo_answers import AnsweredBatch
    from edgenext_deploy.preprocess.photo_batches import ReadPhoto
    from edgenext_deploy.run.picture_files import PictureFiles
    from edgenext_deploy.run.views import View


def run_photos(engine: str, images: Tuple[str, ...], view: "View", save: Optional[str], as_json: bool,
               json_file: Optional[str], fast_decode: bool = False) -> int:
    """Run a network on photos, and show its answers.

    Args:
        engine: path of the engine, for the report.
        images: photos and folders of photos.
        view: the open network, and how its answers are shown.
        save: file or folder for pictures with the answers drawn in; None for none.
        as_json: print JSON in place of text.
        json_file: write JSON there.
        fast_decode: decode large JPEG photos smaller, see `preprocess.fast_decode`.

    Returns:
        The exit code: 0, or that of a photo that cannot be read.
    """
    from edgenext_deploy.networks.photo_answers import answer_photos

    photos, missing = _expand(images)
    pictures = _pictures(save, photos)
    if not as_json:
        _print_header(engine, view)
    code = 0
    with contextlib.ExitStack() as stack:
        document = stack.enter_context(PhotoDocument(as_json, json_file))
        batches = stack.enter_context(contextlib.closing(answer_photos(
            [view.network], photos, known=missing, keep_images=pictures is not None, fast_decode=fast_decode)))
        for batch in batches:
            answers = iter(batch.answers[0])
            for photo in batch.photos:
                if photo.error is not None:
                    code = BadInputError.exit_code
                    document.add({"image": photo.path, "error": str(photo.error)})
                    click.echo("error: " + _printable(str(photo.error)), err=True)
                    continue
                answer = next(answers)
                result = _result(view, photo, batch, answer, pictures)
                document.add(result)
                if not as_json:
                    _print_table(result, view, answer)
        document.finish(_head(engine, view, fast_decode))
    return code


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


def _result(view: "View", photo: "ReadPhoto", batch: "AnsweredBatch", answer: Any,
            pictures: "Optional[PictureFiles]") -> Dict[str, Any]:
    """Return what is in one photo as fields of a JSON object; times are those of its whole batch."""
    result: Dict[str, Any] = {"image": photo.path}
    result.update(view.document(answer))
    if photo.orientation != 1:
        result["turned_upright_from"] = photo.orientation
    if photo.divided_by != 1:
        result["decoded_at"] = "1/{}".format(photo.divided_by)
    result.update((name, round(value, 3)) for name, value in batch.timings[0]._asdict().items())
    if view.network.batch > 1:
        result["photos_in_batch"] = len(batch.answers[0])
    if pictures is not None:
        assert photo.image is not None
        result["saved"] = pictures.write(photo.path, view.picture(photo.image, answer))
    return result


def _head(engine: str, view: "View", fast_decode: bool) -> Dict[str, Any]:
    """Return the document around the results of the photos."""
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
        "images": [],
    }
    if fast_decode:
        document["fast_decode"] = True
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
    click.echo("preprocess {:.1f} ms, inference {:.1f} ms, postprocess {:.1f} ms{}{}{}{}".format(
        result["preprocess_ms"], result["inference_ms"], result["postprocess_ms"],
        " for a batch of {}, {} of it photos".format(batch, result["photos_in_batch"]) if batch > 1 else "",
        ", turned upright (EXIF orientation {turned_upright_from})".format(**result)
        if "turned_upright_from" in result else "",
        ", decoded at {decoded_at} of its size".format(**result) if "decoded_at" in result else "",
        ", saved as " + _printable(result["saved"]) if "saved" in result else ""))


def _printable(text: str) -> str:
    """Replace what cannot be written as UTF-8: the bytes of a file name in another encoding."""
    return text.encode("utf-8", "replace").decode("utf-8")
