"""Mean intersection over union on PASCAL VOC's masks, at the masks' own size."""
import os
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from edgenext_deploy.benchmarks.accuracy.data import Data, Item, finish, listdir, read_lines, require_unique
from edgenext_deploy.benchmarks.accuracy.task import Metric, Row, Task, is_index
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import require_file, shown
from edgenext_deploy.preprocess.orientation import upright
from edgenext_deploy.preprocess.photo import is_of_the_system, open_photo
from edgenext_deploy.preprocess.photo_files import photos_in

if TYPE_CHECKING:
    from edgenext_deploy.networks.base import Network

PHOTOS, MASKS = "JPEGImages", "SegmentationClass"
DEFAULT_LIST = os.path.join("ImageSets", "Segmentation", "val.txt")
VOID = 255
_LAYOUT = "see docs/evaluation.md for the layout of --data"


class SegmentationTask(Task):
    """A row holds `pixels`: truth, answer and number of the pixels, for each pair that occurs."""

    def read_data(self, folder: str, labels_file: Optional[str], labels: Sequence[str], limit: Optional[int]) -> Data:
        """Return the photos that have a mask of the same name, or those that a list names."""
        try:
            paths = photos_in(os.path.join(folder, PHOTOS))
        except BadInputError as error:
            raise BadInputError(error.message, _LAYOUT) from error
        photos = {os.path.splitext(os.path.basename(path))[0]: path for path in paths}
        listed = os.path.join(folder, DEFAULT_LIST) if labels_file is None else labels_file
        if labels_file is not None or os.path.exists(listed):
            names, how = read_lines(listed), "listed in " + os.path.basename(listed)
            require_unique(names, listed)
        else:
            names = [name[:-4] for name in listdir(os.path.join(folder, MASKS)) if name.lower().endswith(".png")]
            how = "with a mask"
        absent = [name for name in names if name not in photos]
        if absent:
            raise BadInputError("{} has no photo {!r} ({} of {} names are missing)".format(
                os.path.join(folder, PHOTOS), absent[0], len(absent), len(names)),
                _LAYOUT)
        items = [Item(name, photos[name], os.path.join(folder, MASKS, name + ".png")) for name in names]
        return finish(items, "{} photos {}".format(len(items), how), limit)

    def row(self, network: "Network[Any]", item: Item, size: Tuple[int, int], answer: Any) -> Row:
        """Return the confusion of one image."""
        truth = read_mask(item.truth, len(network.labels))
        answer = answer.resized()
        if answer.shape != truth.shape:
            raise BadInputError("the mask {} is {}x{}, its photo {}x{}, upright".format(
                item.truth, truth.shape[1], truth.shape[0], answer.shape[1], answer.shape[0]))
        counted = truth != VOID
        pairs = np.bincount(truth[counted].astype(np.int64) * 256 + answer[counted], minlength=256 * 256)
        return {"pixels": [[int(pair) // 256, int(pair) % 256, int(pairs[pair])] for pair in np.flatnonzero(pairs)]}

    def is_row(self, row: Row, classes: int) -> bool:
        """Say whether a row is one of `row`."""
        pixels = row.get("pixels")
        return isinstance(pixels, list) and all(
            isinstance(pair, list) and len(pair) == 3 and is_index(pair[0], 256) and is_index(pair[1], 256)
            and is_index(pair[2], 1 << 40) for pair in pixels)

    def metrics(self, data: Data, items: Sequence[Item], rows: Sequence[Row], classes: int) -> List[Metric]:
        """Return the mean IoU over the classes that occur in masks or answers, and the share of the pixels right."""
        confusion = _confusion(rows)
        shares = [share for share in _shares(confusion) if share is not None]
        total = int(confusion.sum())
        return [Metric("miou", "mIoU", sum(shares) / len(shares) if shares else None),
                Metric("pixel_accuracy", "pixels", float(np.trace(confusion)) / total if total else None)]

    def details(self, data: Data, items: Sequence[Item], rows: Sequence[Row], labels: Sequence[str]) -> Dict[str, Any]:
        """Return the IoU of each class, None for one that does not occur."""
        return {"iou": dict(zip(labels, _shares(_confusion(rows))))}


def read_mask(path: str, classes: int) -> np.ndarray:
    """Return a mask as uint8 `[height, width]`: class indices, and 255 for void, which is not counted.

    Raises:
        BadInputError: no mask, one with colours instead of a palette, or a class that the engine does not have.
    """
    try:
        require_file(path, "mask", _LAYOUT)
        with open_photo(path, ["PNG"]) as image:
            mode = image.mode
            mask = np.asarray(upright(image, mode))
    except BadInputError as error:
        raise BadInputError("the mask {} cannot be read: {}".format(path, error.message)) from error
    except Exception as error:  # on damaged bytes, Pillow's decoders raise nearly anything
        if is_of_the_system(error):
            raise
        raise BadInputError("the mask {} cannot be read: {}".format(path, shown(str(error)))) from error
    if mode not in ("P", "L"):
        raise BadInputError("the mask {} has mode {}; a palette or grey levels of one byte expected".format(path, mode))
    strange = mask[(mask >= classes) & (mask != VOID)]
    if strange.size:
        raise BadInputError("the mask {} has class {}; 0 to {} and {} expected".format(
            path, int(strange[0]), classes - 1, VOID))
    return mask


def _confusion(rows: Sequence[Row]) -> np.ndarray:
    """Return the number of pixels of each truth (row) and answer (column), int64 `[256, 256]`."""
    confusion = np.zeros((256, 256), dtype=np.int64)
    for row in rows:
        for truth, answer, pixels in row["pixels"]:
            confusion[truth, answer] += pixels
    return confusion


def _shares(confusion: np.ndarray) -> List[Optional[float]]:
    common = np.diag(confusion)
    either = confusion.sum(axis=0) + confusion.sum(axis=1) - common
    return [float(both) / float(union) if union else None for both, union in zip(common, either)]
