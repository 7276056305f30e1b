"""What an evaluation does for each image and at the end; one subclass for each task of a network."""
import abc
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from edgenext_deploy.benchmarks.accuracy.data import Data, Item
from edgenext_deploy.errors import UsageError

if TYPE_CHECKING:
    from edgenext_deploy.networks.base import Network

Row = Dict[str, Any]
_LARGEST = 1e9


class Metric(NamedTuple):
    """One number of an engine.

    Attributes:
        key: its name in JSON.
        title: its name in the table.
        value: a share, 0..1; None where it is undefined.
        low: lower end of the 95 % confidence interval; None without one.
        high: upper end of the 95 % confidence interval; None without one.
    """

    key: str
    title: str
    value: Optional[float]
    low: Optional[float] = None
    high: Optional[float] = None


class Task(abc.ABC):
    """How one task is evaluated.

    Args:
        class_order: ``--class-order``, None if not given; for classifiers.

    Raises:
        UsageError: an option of another task.
    """

    def __init__(self, class_order: Optional[str] = None) -> None:
        if class_order is not None:
            raise UsageError("--class-order is for classifiers", "leave it out")

    @abc.abstractmethod
    def read_data(self, folder: str, labels_file: Optional[str], labels: Sequence[str], limit: Optional[int]) -> Data:
        """Return the images of ``--data``.

        Args:
            folder: ``--data``.
            labels_file: ``--labels``, None if not given.
            labels: names of the engine's classes.
            limit: ``--limit``, None if not given.

        Raises:
            BadInputError: they are not there, or do not fit the engine.
            MissingRuntimeError: a library for this task is missing.
        """

    @abc.abstractmethod
    def row(self, network: "Network[Any]", item: Item, size: Tuple[int, int], answer: Any) -> Row:
        """Return what the network makes of an image, as JSON; all metrics come from these rows.

        Args:
            network: an engine.
            item: the image with its truth.
            size: width and height of the photo, upright.
            answer: the network's.

        Raises:
            BadInputError: image or truth cannot be used; the image is left out and named.
        """

    @abc.abstractmethod
    def is_row(self, row: Row, classes: int) -> bool:
        """Say whether a row that was read from a file of results is one that `row` returns.

        Args:
            row: of one engine.
            classes: number of the engine's classes.
        """

    @abc.abstractmethod
    def metrics(self, data: Data, items: Sequence[Item], rows: Sequence[Row], classes: int) -> List[Metric]:
        """Return the metrics of one engine, the most important first.

        Args:
            data: the data.
            items: the images that could be used.
            rows: rows of these images.
            classes: number of the engine's classes.
        """

    def details(self, data: Data, items: Sequence[Item], rows: Sequence[Row], labels: Sequence[str]) -> Dict[str, Any]:
        """Return what else belongs into the JSON of one engine."""
        return {}

    def compare(self, items: Sequence[Item], first: Sequence[Row], second: Sequence[Row]) -> Dict[str, Any]:
        """Return what can be said about two engines beyond the difference of their metrics."""
        return {}


def is_index(value: Any, count: int) -> bool:
    """Say whether a value from JSON is a whole number from 0 on, below `count`."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < count


def is_number(value: Any) -> bool:
    """Say whether a value from JSON is a number that can be computed with."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _LARGEST
