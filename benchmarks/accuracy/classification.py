"""Top-1 and top-5 accuracy, and two classifiers on the same images."""
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence

from edgenext_deploy.benchmarks.accuracy.class_names import CLASS_ORDERS
from edgenext_deploy.benchmarks.accuracy.data import Data, Item
from edgenext_deploy.benchmarks.accuracy.folders import read_folder
from edgenext_deploy.benchmarks.accuracy.intervals import Paired, exact_mcnemar, paired_interval, wilson
from edgenext_deploy.benchmarks.accuracy.task import Metric, Row, Task
from edgenext_deploy.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from PIL import Image

    from edgenext_deploy.networks.base import Network

_TOP = 5


class ClassificationTask(Task):
    """A row holds `top`: the five most probable class indices, the most probable first.

    Args:
        class_order: see `class_names.map_classes`.
    """

    def __init__(self, class_order: Optional[str] = None) -> None:
        super().__init__()
        if class_order not in (None, *CLASS_ORDERS):
            raise unknown_name("class order", str(class_order), CLASS_ORDERS)
        self._class_order = class_order

    def read_data(self, folder: str, labels_file: Optional[str], labels: Sequence[str], limit: Optional[int]) -> Data:
        """Return the images of class folders, or of a flat folder with a file of truths.

        Raises:
            UsageError: the engine has one class, and so no image whose best class is wrong.
        """
        if len(labels) == 1:
            raise UsageError("the engine has one class, {!r}: its best class is right on every image, whatever it "
                             "answers".format(labels[0]),
                             "compare the probabilities of edgenext-run --json with your own threshold")
        return read_folder(folder, labels_file, labels, limit, self._class_order)

    def row(self, network: "Network[Any]", item: Item, image: "Image.Image", answer: Any) -> Row:
        """Return the best classes."""
        return {"top": [prediction.index for prediction in answer[:_TOP]]}

    def metrics(self, data: Data, items: Sequence[Item], rows: Sequence[Row], classes: int) -> List[Metric]:
        """Return top-1, and top-5 where there are more than five classes, with Wilson's intervals."""
        made = []
        for count in (1, _TOP):
            if count < classes:
                right = sum(item.truth in row["top"][:count] for item, row in zip(items, rows))
                made.append(Metric("top{}".format(count), "top-{}".format(count), right / len(items),
                                   *wilson(right, len(items))))
        return made

    def compare(self, items: Sequence[Item], first: Sequence[Row], second: Sequence[Row]) -> Dict[str, Any]:
        """Return the paired difference in top-1, how often the two agree, and on which images they do not."""
        counts = {(True, True): 0, (True, False): 0, (False, True): 0, (False, False): 0}
        changed = []
        for item, one, other in zip(items, first, second):
            before, after = one["top"][0], other["top"][0]
            counts[before == item.truth, after == item.truth] += 1
            if before != after:
                changed.append({"image": item.key, "truth": item.truth, "first": before, "second": after})
        pairs = Paired(counts[True, True], counts[True, False], counts[False, True], counts[False, False])
        low, high = paired_interval(pairs)
        return {
            "top1_difference": pairs.difference, "top1_difference_low": low, "top1_difference_high": high,
            "mcnemar_p": exact_mcnemar(pairs), "only_first_right": pairs.first_only,
            "only_second_right": pairs.second_only, "agreement": 1 - len(changed) / len(items), "changed": changed}
