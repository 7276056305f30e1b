"""Top-1 and top-5 accuracy, and two classifiers on the same images."""
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple

from edgenext_deploy.benchmarks.accuracy.class_names import CLASS_ORDERS
from edgenext_deploy.benchmarks.accuracy.data import Data, Item
from edgenext_deploy.benchmarks.accuracy.folders import read_folder
from edgenext_deploy.benchmarks.accuracy.intervals import Paired, exact_mcnemar, paired_interval, wilson
from edgenext_deploy.benchmarks.accuracy.task import Metric, Row, Task, is_index, is_number
from edgenext_deploy.errors import unknown_name

if TYPE_CHECKING:
    from edgenext_deploy.networks.base import Network

_TOP = 5


class ClassificationTask(Task):
    """A row holds `top`: the five most probable class indices, the most probable first.

    Of an engine of one class it holds in `top` whether the class is present (1 or 0), the `probability` that says so,
    and the `threshold`.

    Args:
        class_order: see `class_names.map_classes`.
    """

    def __init__(self, class_order: Optional[str] = None) -> None:
        super().__init__()
        if class_order not in (None, *CLASS_ORDERS):
            raise unknown_name("class order", str(class_order), CLASS_ORDERS)
        self._class_order = class_order

    def read_data(self, folder: str, labels_file: Optional[str], labels: Sequence[str], limit: Optional[int]) -> Data:
        """Return the images of class folders, or of a flat folder with a file of truths."""
        return read_folder(folder, labels_file, labels, limit, self._class_order)

    def row(self, network: "Network[Any]", item: Item, size: Tuple[int, int], answer: Any) -> Row:
        """Return the best classes."""
        if len(network.labels) == 1:
            threshold: float = network.threshold  # type: ignore[attr-defined]
            probability = answer[0].probability
            return {"top": [int(probability >= threshold)], "probability": probability, "threshold": threshold}
        return {"top": [prediction.index for prediction in answer[:_TOP]]}

    def is_row(self, row: Row, classes: int) -> bool:
        """Say whether a row is one of `row`."""
        top = row.get("top")
        if classes == 1:
            return (isinstance(top, list) and len(top) == 1 and is_index(top[0], 2)
                    and is_number(row.get("probability")) and is_number(row.get("threshold")))
        return isinstance(top, list) and len(top) == min(_TOP, classes) == len({str(index) for index in top}) and all(
            is_index(index, classes) for index in top)

    def metrics(self, data: Data, items: Sequence[Item], rows: Sequence[Row], classes: int) -> List[Metric]:
        """Return top-1, and top-5 where there are more than five classes, with Wilson's intervals.

        Of one class: the accuracy at the threshold, and the shares of the images with and without it that are right.
        """
        if classes == 1:
            return _of_one_class(items, rows)
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


def _of_one_class(items: Sequence[Item], rows: Sequence[Row]) -> List[Metric]:
    right = [item.truth == row["top"][0] for item, row in zip(items, rows)]
    made = [_share("accuracy", "accuracy at {:g}".format(rows[0]["threshold"]), right)]
    for truth, key, title in ((1, "sensitivity", "right where it is"), (0, "specificity", "right where it is not")):
        made.append(_share(key, title, [good for good, item in zip(right, items) if item.truth == truth]))
    return made


def _share(key: str, title: str, right: Sequence[bool]) -> Metric:
    if not right:
        return Metric(key, title, None)
    return Metric(key, title, sum(right) / len(right), *wilson(sum(right), len(right)))
