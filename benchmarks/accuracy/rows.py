"""The row of each image, from the networks' answers to it."""
import contextlib
from typing import TYPE_CHECKING, Any, Container, Generator, Sequence

from edgenext_deploy.benchmarks.accuracy.data import Item
from edgenext_deploy.benchmarks.accuracy.task import Row, Task
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.networks.photo_answers import answer_photos
from edgenext_deploy.preprocess.photo_files import require_folder_of

if TYPE_CHECKING:
    from edgenext_deploy.networks.base import Network
    from edgenext_deploy.preprocess.photo_batches import ReadPhoto


def rows_of(task: Task, networks: "Sequence[Network[Any]]", items: Sequence[Item],
            folders: Container[str]) -> Generator[Row, None, None]:
    """Yield the row of each image, in their order.

    Args:
        task: what an evaluation does for an image.
        networks: the engines, open.
        items: the images.
        folders: see `Data`.

    Raises:
        BadInputError: the folder of an image or mask cannot be read any more: a figure over those before it would be
            another.
    """
    ahead = iter(items)
    with contextlib.closing(answer_photos(networks, [item.path for item in items])) as batches:
        for batch in batches:
            answers = zip(*batch.answers)
            for photo, item in zip(batch.photos, ahead):
                row = {"error": photo.error.message} if photo.error is not None else _row(
                    task, networks, item, photo, next(answers))
                if "error" in row:
                    for path in item.files():
                        require_folder_of(path, folders)
                yield row


def _row(task: Task, networks: "Sequence[Network[Any]]", item: Item, photo: "ReadPhoto",
         answers: Sequence[Any]) -> Row:
    try:
        row: Row = {"engines": [task.row(network, item, photo.size, answer)
                                for network, answer in zip(networks, answers)]}
    except BadInputError as error:
        return {"error": error.message}
    if photo.orientation != 1:
        row["turned_upright_from"] = photo.orientation
    return row
