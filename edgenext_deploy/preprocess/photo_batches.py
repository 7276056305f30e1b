"""Photos, read in the batches that an engine takes."""
import time
from typing import TYPE_CHECKING, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence

from edgenext_deploy.artifacts.manifest import Preprocessing
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.preprocess.photo import read_photo
from edgenext_deploy.preprocess.placement import MAX_PIXELS, place

if TYPE_CHECKING:
    from PIL import Image


class ReadPhoto(NamedTuple):
    """A photo that was read, or why it cannot be used.

    Attributes:
        path: of the photo.
        image: RGB, upright; None if it cannot be used.
        orientation: the EXIF orientation that it had, 1 to 8.
        decoded_ms: time that reading and decoding took.
        error: why it cannot be used; None if it can.
    """

    path: str
    image: "Optional[Image.Image]"
    orientation: int = 1
    decoded_ms: float = 0.0
    error: Optional[BadInputError] = None


def read_batches(paths: Iterable[str], count: int, preprocessings: Sequence[Preprocessing],
                 known: Optional[Mapping[str, BadInputError]] = None) -> Iterator[List[ReadPhoto]]:
    """Yield photos in the given order, as many at a time as one inference takes, each once.

    A batch has `count` photos that can be used, and the others that lie between them; the last one may have fewer. So
    has one whose photos have more pixels than one photo may have: they are held in memory together.

    Args:
        paths: of the photos.
        count: largest number of usable photos of a batch.
        preprocessings: that each photo has to be possible for.
        known: what is wrong with some of the paths already.
    """
    batch: List[ReadPhoto] = []
    usable = pixels = 0
    for path in paths:
        photo = _read(path, preprocessings, known or {})
        batch.append(photo)
        if photo.image is not None:
            usable += 1
            pixels += photo.image.width * photo.image.height
        if usable in (0, count) or pixels > MAX_PIXELS:
            yield batch
            batch, usable, pixels = [], 0, 0
    if batch:
        yield batch


def _read(path: str, preprocessings: Sequence[Preprocessing], known: Mapping[str, BadInputError]) -> ReadPhoto:
    start = time.perf_counter()
    try:
        if path in known:
            raise known[path]
        image, orientation = read_photo(path)
        for preprocessing in preprocessings:
            place(image.width, image.height, preprocessing)
    except BadInputError as error:
        return ReadPhoto(path, None, error=error)
    return ReadPhoto(path, image, orientation, (time.perf_counter() - start) * 1e3)
