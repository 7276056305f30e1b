"""edgenext-run on photos: answers as tables, as JSON and in pictures, one batch of the engine after the other."""
import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import click

from edgenext_deploy.commands.process import interrupted_code, print_to_nowhere
from edgenext_deploy.commands.progress import show_progress
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.foreign_text import visible
from edgenext_deploy.preprocess.photo_files import photos_in
from edgenext_deploy.run.photo_document import PhotoDocument
from edgenext_deploy.run.photo_rows import (
    Photos,
    ViewOptions,
    answered,
    document_head,
    open_rows,
    row_of,
    rows_depend_on,
    without_times,
)

if TYPE_CHECKING:
    from edgenext_deploy.artifacts.row_file import Row, RowFile
    from edgenext_deploy.networks.photo_answers import AnsweredBatch
    from edgenext_deploy.run.picture_files import PictureFiles
    from edgenext_deploy.run.views import View


class PhotoOptions(NamedTuple):
    """How edgenext-run runs on photos.

    Attributes:
        as_json: print JSON in place of text.
        json_file: write JSON there; None for no file.
        save: file or folder for pictures with the answers drawn in; None for none.
        fast_decode: decode large JPEG photos smaller, see `preprocess.fast_decode`.
        resume: file that keeps the row of each photo; what it holds already is not done again. None for none.
        ray: address of a Ray cluster whose nodes do it; None for this process.
        readers: number of threads that read photos; None for one for each processor.
    """

    as_json: bool = False
    json_file: Optional[str] = None
    save: Optional[str] = None
    fast_decode: bool = False
    resume: Optional[str] = None
    ray: Optional[str] = None
    readers: Optional[int] = None


def run_photos(engine: str, images: Tuple[str, ...], view: "View", options: PhotoOptions,
               opened_with: ViewOptions) -> int:
    """Run a network on photos, and show its answers.

    Args:
        engine: path of the engine, for the report.
        images: photos and folders of photos.
        view: the open network, and how its answers are shown.
        options: see `PhotoOptions`; of `ray` nothing.
        opened_with: what the view was opened with.

    Returns:
        The exit code: 0, or that of a photo that cannot be read, or of Ctrl-C.
    """
    photos = expand(images, options)
    pictures = _pictures(options.save, photos.paths)
    if not options.as_json:
        with _reader_may_go(options):
            _print_header(engine, view)
    with contextlib.ExitStack() as stack:
        results = stack.enter_context(PhotoResults(options, photos.paths, rows_depend_on(
            view, opened_with, engine, options.fast_decode) if options.resume is not None else {}))
        try:
            for batch, photo, answer in stack.enter_context(contextlib.closing(answered(
                    view, photos, first=results.resumed, keep_images=pictures is not None,
                    fast_decode=options.fast_decode, threads=options.readers))):
                row = row_of(view, photo, answer)
                if photo.error is None:
                    row.update(_of_this_run(view, batch))
                    if pictures is not None:
                        assert photo.image is not None
                        row["saved"] = pictures.write(photo.path, view.picture(photo.image, answer))
                results.add(row)
                if photo.error is None and not options.as_json:
                    with _reader_may_go(options):
                        _print_table(row, view, answer)
            results.finish(document_head(engine, view, options.fast_decode))
        except KeyboardInterrupt:
            if options.resume is None:
                raise
            return results.interrupted()
    return results.code


class PhotoResults:
    """The rows of photos as they come, in their order: into the document, and into a file of rows where one is kept.

    Use it as a context manager. It prints the errors of photos, and shows how far the run is where no text does.

    Attributes:
        resumed: number of photos that the file had already.
        code: exit code: 0, or that of a photo that cannot be read.

    Args:
        options: see `PhotoOptions`.
        photos: paths of all photos.
        depend_on: see `photo_rows.open_rows`; empty where no rows are kept.
    """

    def __init__(self, options: PhotoOptions, photos: Sequence[str], depend_on: Dict[str, Any]) -> None:
        self.resumed = self.code = 0
        self._stack = contextlib.ExitStack()
        self._rows: "Optional[RowFile]" = None
        errors = 0
        if options.resume is not None:
            # Of a photo that is not answered again, no picture would be saved.
            self._rows, self.resumed, errors = open_rows(options.resume, dict(depend_on, save=options.save), photos)
            self._stack.callback(self._rows.close)
        if self.resumed:
            click.echo("{} of {} photos were answered before".format(self.resumed, len(photos)), err=True)
        if errors:
            self.code = BadInputError.exit_code
            click.echo("error: {} of those cannot be used; the file of rows says why".format(errors), err=True)
        self._comparable = options.resume is not None or options.ray is not None
        self._document = self._stack.enter_context(PhotoDocument(options.as_json, options.json_file, self._rows))
        quiet = options.as_json or options.ray is not None
        self._bar = contextlib.ExitStack()
        self._show = self._bar.enter_context(show_progress()) if quiet else None
        self._count, self._all = self.resumed, len(photos)

    def add(self, row: "Row") -> None:
        """Take the row of the next photo."""
        if "error" in row:
            self.code = BadInputError.exit_code
            self._say("error: " + visible(row["error"]))
        kept = without_times(row) if self._comparable else row
        if self._rows is not None:
            self._rows.add(kept)
        self._document.add(kept)
        self._count += 1
        if self._show is not None:
            self._show(self._count / self._all, "{:,} of {:,} photos".format(self._count, self._all))

    def interrupted(self) -> int:
        """Say how to go on after Ctrl-C; return the exit code."""
        self._bar.close()
        click.echo("interrupted; the same command goes on from here", err=True)
        return interrupted_code()

    def finish(self, head: Dict[str, Any]) -> None:
        """Hand the document over; see `PhotoDocument.finish`."""
        self._bar.close()  # as long as it is shown, rich takes what goes to standard output
        self._document.finish(head)

    def _say(self, line: str) -> None:
        if self._show is None:
            click.echo(line, err=True)
        else:
            sys.stderr.write(line + "\n")  # rich puts it above the bar

    def __enter__(self) -> "PhotoResults":
        return self

    def __exit__(self, *exception: Any) -> None:
        self._bar.close()
        self._stack.close()


def expand(images: Tuple[str, ...], options: PhotoOptions) -> Photos:
    """Return the photos that the arguments stand for, and for folders without any what is wrong with them."""
    paths: List[str] = []
    missing: Dict[str, BadInputError] = {}
    folders: List[str] = []
    for argument in images:
        try:
            found = photos_in(argument) if os.path.isdir(argument) else [argument]
            folders += [os.path.dirname(found[0])] if os.path.isdir(argument) else []
        except BadInputError as error:
            found = [argument]
            missing[argument] = error
        paths += found
    return Photos(paths, missing, () if options.resume is None else tuple(folders))


@contextlib.contextmanager
def _reader_may_go(options: PhotoOptions) -> Iterator[None]:
    """Go on without a reader of the tables, such as head, where the run writes files too; else that ends it."""
    try:
        yield
    except BrokenPipeError:
        if options.json_file is None and options.resume is None and options.save is None:
            raise
        print_to_nowhere()


def _pictures(save: Optional[str], photos: Sequence[str]) -> "Optional[PictureFiles]":
    from edgenext_deploy.run.picture_files import PictureFiles

    return None if save is None else PictureFiles(save, photos)


def _of_this_run(view: "View", batch: "AnsweredBatch") -> "Row":
    """Return the times, which are those of a photo's whole batch."""
    row: "Row" = {name: round(value, 3) for name, value in batch.timings[0]._asdict().items()}
    if view.network.batch > 1:
        row["photos_in_batch"] = len(batch.answers[0])
    return row


def _print_header(engine: str, view: "View") -> None:
    from edgenext_deploy.run.views import RANDOM

    session = view.network.session.describe()
    where = session.get("device") or "threads: {}".format(session["threads"])
    click.echo("{}: {}, {} {}, {}, {}".format(
        visible(engine), view.network.manifest.variant, session["runtime"], session["version"],
        session["provider"], where))
    if view.network.random_weights:
        parity = view.network.manifest.parity
        click.echo(RANDOM)
        click.echo("parity with PyTorch: largest difference {:.2g}, {:.2g} of the largest output, on {} inputs".format(
            parity.max_absolute_error, parity.max_relative_error, parity.inputs))


def _print_table(result: Dict[str, Any], view: "View", answer: Any) -> None:
    from rich.table import Table

    from edgenext_deploy.commands.screen import make_console

    click.echo("\n{}{}".format(visible(result["image"]), view.mark))
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
        ", saved as " + visible(result["saved"]) if "saved" in result else ""))
