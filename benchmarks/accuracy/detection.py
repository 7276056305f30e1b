"""Mean average precision on COCO's annotations, computed by pycocotools."""
import contextlib
import io
import os
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple

from edgenext_deploy.benchmarks.accuracy.class_names import by_name, matches
from edgenext_deploy.benchmarks.accuracy.coco_file import FIX, read_coco
from edgenext_deploy.benchmarks.accuracy.data import Data, Item, finish, require_unique
from edgenext_deploy.benchmarks.accuracy.task import Metric, Row, Task, is_index, is_number
from edgenext_deploy.errors import BadInputError, MissingRuntimeError

if TYPE_CHECKING:
    from edgenext_deploy.networks.base import Network

DEFAULT_ANNOTATIONS = "instances.json"
# The order of pycocotools' summary.
_METRICS = (("map", "mAP"), ("map50", "mAP@.50"), ("map75", "mAP@.75"), ("map_small", "small"),
            ("map_medium", "medium"), ("map_large", "large"))


class DetectionTask(Task):
    """A row holds `objects`: class index, score, left, top, right, bottom in pixels of each."""

    _sizes: Dict[str, Tuple[Any, Any]] = {}

    def read_data(self, folder: str, labels_file: Optional[str], labels: Sequence[str], limit: Optional[int]) -> Data:
        """Return the images that a COCO file names; they lie in `folder`."""
        _require_pycocotools()
        path = os.path.join(folder, DEFAULT_ANNOTATIONS) if labels_file is None else labels_file
        document = read_coco(path)
        categories, how = map_categories(document["categories"], labels)
        items = [Item(image["file_name"], os.path.join(folder, image["file_name"]), image["id"])
                 for image in sorted(document["images"], key=lambda image: int(image["id"]))]
        self._sizes = {str(image["file_name"]): (image.get("width"), image.get("height"))
                       for image in document["images"]}
        require_unique((item.key for item in items), path)
        return finish(items, "{} images of {}, categories {}".format(
            len(items), os.path.basename(path), how), limit, path, categories)

    def row(self, network: "Network[Any]", item: Item, size: Tuple[int, int], answer: Any) -> Row:
        """Return the objects."""
        if self._sizes.get(item.key) == size[::-1] != size:
            raise BadInputError(
                "the annotations are for a photo of {}x{} pixels, and upright it has {}x{}: their boxes lie in the "
                "pixels as stored".format(*size[::-1], *size))
        return {"objects": [[found.index, found.score, *found[3:]] for found in answer]}

    def is_row(self, row: Row, classes: int) -> bool:
        """Say whether a row is one of `row`."""
        objects = row.get("objects")
        return isinstance(objects, list) and all(
            isinstance(found, list) and len(found) == 6 and all(map(is_number, found[1:]))
            and is_index(found[0], classes) for found in objects)

    def metrics(self, data: Data, items: Sequence[Item], rows: Sequence[Row], classes: int) -> List[Metric]:
        """Return COCO's six average precisions; the first is the mean over overlaps .50 to .95."""
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        found = [
            {"image_id": item.truth, "category_id": data.categories[index], "score": score,
             "bbox": [left, top, right - left, bottom - top]}
            for item, row in zip(items, rows) for index, score, left, top, right, bottom in row["objects"]]
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO()
            truth.dataset = read_coco(data.annotations)  # it would read the file in the locale's encoding
            truth.createIndex()
            # loadRes takes no empty list.
            evaluation = COCOeval(truth, truth.loadRes(found) if found else COCO(), "bbox")
            evaluation.params.imgIds = [item.truth for item in items]
            evaluation.params.catIds = sorted(data.categories)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        # pycocotools says -1 where there is nothing to find, such as no small objects.
        return [Metric(key, title, float(value) if value >= 0 else None)
                for (key, title), value in zip(_METRICS, evaluation.stats)]


def map_categories(categories: Sequence[Dict[str, Any]], labels: Sequence[str]) -> Tuple[Tuple[int, ...], str]:
    """Return the category id of each of the engine's classes, and which rule gave it.

    By name, if every label matches a category's; otherwise by id, the categories sorted, if there are as many and no
    label gets another category than its own. COCO's own 80 categories have ids from 1 to 90.

    Raises:
        BadInputError: neither fits.
    """
    require_unique((str(category["id"]) for category in categories), "the categories' ids")
    ordered = sorted(categories, key=lambda category: int(category["id"]))
    names, ids = [category["name"] for category in ordered], [category["id"] for category in ordered]
    named = by_name(labels, names) if len(set(labels)) == len(labels) else None
    if named is not None:
        return tuple(ids[named[label]] for label in labels), "by name"
    found = matches(labels, names)
    wrong = [(label, index) for index, label in enumerate(labels) if found[label] and index not in found[label]]
    if len(ids) == len(labels) and not (wrong and len(set(labels)) == len(labels)):
        return tuple(ids), "sorted by id, in the classes' order"
    stranger = next((label for label in labels if not found[label]), None)
    why = "one of its labels comes twice" if stranger is None else "{!r} is no category".format(stranger)
    if len(ids) == len(labels):
        why += ", and sorted by id {!r} would be {!r}".format(wrong[0][0], names[wrong[0][1]])
    raise BadInputError("{} categories found, the engine has {} classes, and {}".format(
        len(categories), len(labels), why), FIX)


def _require_pycocotools() -> None:
    try:
        import pycocotools.cocoeval  # noqa: F401
    except ImportError as error:
        raise MissingRuntimeError("detectors are evaluated by pycocotools, which cannot be imported: {}".format(error),
                                  'python3 -m pip install pycocotools') from error
