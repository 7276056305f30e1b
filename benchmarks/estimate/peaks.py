"""Peak rates of devices, for estimates; the rates and their sources are in the table of boards."""
from typing import Tuple

from edgenext_deploy.errors import UsageError
from edgenext_deploy.targets import BOARDS, Peak, get_board


def get_peak(device: str) -> Peak:
    """Return a device's peak rates.

    Args:
        device: name of a board, of one of its targets, or an alias.

    Raises:
        UsageError: no such device, or its peak rates are not known.
    """
    board = get_board(device)
    if board.peak is None:
        raise UsageError("no peak rates are known for device {!r}".format(device),
                         "choose one of: " + ", ".join(devices_with_peak()))
    return board.peak


def devices_with_peak() -> Tuple[str, ...]:
    """Return the names of the devices whose peak rates are known."""
    return tuple(board.name for board in BOARDS.values() if board.peak is not None)
