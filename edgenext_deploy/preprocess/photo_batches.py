"""Photos, read and prepared by several threads, in the batches that an engine takes."""
import contextlib
import threading
import time
from typing import TYPE_CHECKING, Callable, Generator, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from edgenext_deploy.artifacts.manifest import Preprocessing
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.in_order import in_order
from edgenext_deploy.preprocess.fast_decode import decode_smaller
from edgenext_deploy.preprocess.photo import read_photo
from edgenext_deploy.preprocess.placement import MAX_PIXELS, place

if TYPE_CHECKING:
    from PIL import Image

    # From a photo, and the (width, height) that it had before it was decoded smaller, to the inputs of networks.
    Prepare = Callable[[Image.Image, Tuple[int, int]], Tuple[np.ndarray, ...]]

# Photos under way beyond one for each thread: what is ready when the network asks for it.
_READY = 2
# The C library gives back to the system what was taken in one piece of more than 32 MB; smaller ones each thread keeps.
# Pillow takes an image in pieces of 16 MB. Fresh memory costs 7 % of the time of a 12-megapixel JPEG, so a camera's
# usual photos stay at that.
_LARGE_PIXELS, _PIECE_BYTES = 16 << 20, 64 << 20


class ReadPhoto(NamedTuple):
    """A photo that was read and prepared, or why it cannot be used.

    Attributes:
        path: of the photo.
        size: its width and height, upright, as stored and not as decoded.
        inputs: what `PhotoReader` was told to prepare of it.
        image: RGB, upright; None where it was not to be kept.
        orientation: the EXIF orientation that it had, 1 to 8.
        divided_by: what each side was divided by while it was decoded, see `fast_decode`.
        preprocess_ms: time that reading, decoding and preparing took.
        error: why it cannot be used; None if it can.
    """

    path: str
    size: Tuple[int, int] = (0, 0)
    inputs: Tuple[np.ndarray, ...] = ()
    image: "Optional[Image.Image]" = None
    orientation: int = 1
    divided_by: int = 1
    preprocess_ms: float = 0.0
    error: Optional[BadInputError] = None


class PhotoReader:
    """Reads and prepares photos, from any thread; decoded pixels of all together stay below a limit.

    Args:
        preprocessings: that each photo has to be possible for.
        prepare: makes the networks' inputs of a photo.
        known: what is wrong with some of the paths already.
        keep_images: keep the decoded photo, until `done` is called for it.
        fast: decode large JPEG photos smaller, see `fast_decode`.
    """

    def __init__(self, preprocessings: Sequence[Preprocessing], prepare: "Prepare", *,
                 known: Optional[Mapping[str, BadInputError]] = None, keep_images: bool = False,
                 fast: bool = False) -> None:
        self._preprocessings, self._prepare, self._known = preprocessings, prepare, known or {}
        self._keep_images, self._fast = keep_images, fast
        self._changed = threading.Condition()
        self._pixels = self._turn = 0
        self._closed = False

    def read(self, numbered: Tuple[int, str]) -> ReadPhoto:
        """Return the photo of a path, given with its place among all."""
        number, path = numbered
        start = time.perf_counter()
        held, divided_by = 0, 1

        def opened(image: "Image.Image") -> None:
            nonlocal held, divided_by
            if self._fast:
                divided_by = decode_smaller(image, self._preprocessings)
            pixels = image.width * image.height
            if pixels > _LARGE_PIXELS:
                _take_large_pieces()
            self._take(number, pixels)
            held = pixels

        try:
            if path in self._known:
                raise self._known[path]
            image, orientation = read_photo(path, opened)
            size = image.width * divided_by, image.height * divided_by
            for preprocessing in self._preprocessings:
                place(*size, preprocessing)
            inputs = self._prepare(image, size)
            if self._keep_images:
                held = 0
            return ReadPhoto(path, size, inputs, image if self._keep_images else None, orientation, divided_by,
                             (time.perf_counter() - start) * 1e3)
        except BadInputError as error:
            return ReadPhoto(path, error=error)
        finally:
            self._give(held)

    def turn(self, number: int) -> None:
        """Say whose turn it is: that photo is read whatever the limit, as the others wait for it."""
        with self._changed:
            self._turn = number
            self._changed.notify_all()

    def done(self, photos: Iterable[ReadPhoto]) -> None:
        """Say that kept photos are not needed any more."""
        self._give(sum(photo.image.width * photo.image.height for photo in photos if photo.image is not None))

    def close(self) -> None:
        """Let no thread wait any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _take(self, number: int, pixels: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._pixels + pixels <= MAX_PIXELS or number == self._turn or self._closed)
            self._pixels += pixels

    def _give(self, pixels: int) -> None:
        with self._changed:
            self._pixels -= pixels
            self._changed.notify_all()


def _take_large_pieces() -> None:
    """Have Pillow take large images in pieces that are given back: eight threads kept 1.7 GB, of 250 MB in use."""
    from PIL import Image

    core = Image.core  # type: ignore[attr-defined]  # in the docs of Pillow, and in no stub
    core.set_block_size(max(core.get_block_size(), _PIECE_BYTES))


def read_batches(reader: PhotoReader, paths: Iterable[str], count: int,
                 threads: int) -> Generator[List[ReadPhoto], None, None]:
    """Yield photos in the given order, as many at a time as one inference takes, each once.

    A batch has `count` photos that can be used, and the others that lie between them; the last one may have fewer. So
    has one whose photos have more pixels than one photo may have.

    Args:
        reader: is closed at the end.
        paths: of the photos.
        count: largest number of usable photos of a batch.
        threads: number of threads that read.
    """
    batch: List[ReadPhoto] = []
    usable = pixels = 0
    with contextlib.closing(reader), contextlib.closing(
            in_order(reader.read, enumerate(paths), threads=threads, ahead=threads + _READY)) as photos:
        for number, photo in enumerate(photos, 1):
            reader.turn(number)
            batch.append(photo)
            if photo.error is None:
                usable += 1
                pixels += photo.size[0] * photo.size[1]
            if usable in (0, count) or pixels > MAX_PIXELS:
                yield batch
                batch, usable, pixels = [], 0, 0
        if batch:
            yield batch
