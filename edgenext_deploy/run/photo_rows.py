"""What edgenext-run says of each photo, as JSON, wherever it runs; and what that depends on."""
import contextlib
import hashlib
import os
from typing import TYPE_CHECKING, Any, Dict, Generator, Mapping, NamedTuple, Optional, Sequence, Tuple

from edgenext_deploy.artifacts.row_file import OTHER_FILE, Row, RowFile
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import sha256_of_bytes
from edgenext_deploy.preprocess.photo_files import require_folder_of
from edgenext_deploy.runtime.options import RuntimeOptions
from edgenext_deploy.version import __version__

if TYPE_CHECKING:
    from edgenext_deploy.networks.photo_answers import AnsweredBatch
    from edgenext_deploy.preprocess.photo_batches import ReadPhoto
    from edgenext_deploy.run.views import View

# What differs from one run to the next.
_OF_ONE_RUN = ("preprocess_ms", "inference_ms", "postprocess_ms", "photos_in_batch")


class ViewOptions(NamedTuple):
    """The arguments of `views.open_view`, which says what they are."""

    labels: Optional[str] = None
    top: Optional[int] = None
    threshold: Optional[float] = None
    anyway: bool = False
    runtime: RuntimeOptions = RuntimeOptions()

    def open(self, engine: str) -> "View":
        """Open an engine with them."""
        from edgenext_deploy.run.views import open_view

        return open_view(engine, **self._asdict())


def row_of(view: "View", photo: "ReadPhoto", answer: Any) -> Row:
    """Return what is in one photo, or why it cannot be used, as fields of a JSON object.

    Args:
        view: the open network.
        photo: the photo.
        answer: the network's; None for a photo with an error.
    """
    if photo.error is not None:
        return {"image": photo.path, "error": str(photo.error)}
    row: Row = {"image": photo.path}
    row.update(view.document(answer))
    if photo.orientation != 1:
        row["turned_upright_from"] = photo.orientation
    if photo.divided_by != 1:
        row["decoded_at"] = "1/{}".format(photo.divided_by)
    return row


class Photos(NamedTuple):
    """The photos of a run.

    Attributes:
        paths: of all, in their order.
        missing: what is wrong with some of the paths already.
        folders: those that were read for it, where the run can be taken up again; they had photos then.
    """

    paths: Sequence[str]
    missing: Mapping[str, BadInputError]
    folders: Tuple[str, ...]


def answered(view: "View", photos: Photos, *, first: int = 0, keep_images: bool = False, fast_decode: bool = False,
             threads: Optional[int] = None) -> "Generator[Tuple[AnsweredBatch, ReadPhoto, Any], None, None]":
    """Yield each photo in its order, with its batch and the network's answer; None for a photo with an error.

    Args:
        view: the open network.
        photos: all photos.
        first: number of the first one to answer.
        keep_images: see `answer_photos`.
        fast_decode: see `answer_photos`.
        threads: see `answer_photos`.

    Raises:
        BadInputError: the folder of a photo cannot be read any more.
    """
    from edgenext_deploy.networks.photo_answers import answer_photos

    with contextlib.closing(answer_photos(
            [view.network], photos.paths[first:], known=photos.missing, keep_images=keep_images,
            fast_decode=fast_decode, threads=threads)) as batches:
        for batch in batches:
            answers = iter(batch.answers[0])
            for photo in batch.photos:
                if photo.error is not None:
                    require_folder_of(photo.path, photos.folders)
                yield batch, photo, None if photo.error is not None else next(answers)


def without_times(row: Row) -> Row:
    """Return a row without what differs from one run to the next, so that the same run gives the same bytes."""
    return {name: value for name, value in row.items() if name not in _OF_ONE_RUN}


def document_head(engine: str, view: "View", fast_decode: bool) -> Dict[str, Any]:
    """Return the document around the rows; its list ``images`` is empty."""
    from edgenext_deploy.run.views import RANDOM

    manifest = view.network.manifest
    head = {
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
        head["fast_decode"] = True
    if view.network.random_weights:
        head["warning"] = RANDOM
    return head


def rows_depend_on(view: "View", options: ViewOptions, engine: str, fast_decode: bool) -> Dict[str, Any]:
    """Return what the rows of all photos depend on, for the first line of a file of rows.

    Args:
        view: the open network.
        options: it was opened with.
        engine: path of the engine, or of a folder of plans.
        fast_decode: whether large photos are decoded smaller.
    """
    from edgenext_deploy.cluster.engines import share_engine
    from edgenext_deploy.preprocess.photo import photo_decoder  # numpy, which --help does not wait for

    file, session = view.network.file, view.network.session.describe()
    digests = share_engine(engine, options.runtime).manifests if os.path.isdir(engine) else {
        file.sha256: file.manifest_sha256}
    # A plan says itself for which TensorRT it is.
    runtime = str(session["runtime"]) if file.header is not None else "{} {} {}".format(
        session["runtime"], session["version"], session["provider"])
    labels: Sequence[str] = getattr(view.network, "labels", ())
    return {
        "toolkit": __version__, "task": view.network.manifest.task, "engines": sorted(digests),
        "manifests": sorted({str(digest) for digest in digests.values()}), "runtime": runtime,
        "labels": sha256_of_bytes("\n".join(labels).encode("utf-8", "surrogateescape")), "top": options.top,
        "threshold": options.threshold, "fast_decode": fast_decode, "decoder": photo_decoder()}


def open_rows(path: str, depend_on: Dict[str, Any], photos: Sequence[str]) -> "Tuple[RowFile, int, int]":
    """Open a file of rows; return it, the number of photos that it has already, and how many of them have an error.

    Rows are in the order of the photos, so the first photo without a row is where a run goes on.

    Args:
        path: of the file.
        depend_on: see `rows_depend_on`.
        photos: paths of all photos.

    Raises:
        BadInputError: see `RowFile`; or its rows are not those of these photos.
        UsageError: see `RowFile`.
    """
    names = hashlib.sha256()
    for photo in photos:
        names.update(photo.encode("utf-8", "surrogateescape") + b"\0")
    rows = RowFile(path, dict(depend_on, photos=len(photos), names=names.hexdigest()), command="edgenext-run",
                   run="run")
    count = errors = 0
    try:
        for number, row in rows.read():
            if count >= len(photos) or row.get("image") != photos[count]:
                raise BadInputError("{}: line {} is not of the photo that comes there".format(path, number), OTHER_FILE)
            count, errors = count + 1, errors + ("error" in row)
    except BaseException:
        rows.close()
        raise
    return rows, count, errors
