"""The numbers in protobuf's messages: https://protobuf.dev/programming-guides/encoding."""
from typing import Tuple


class NoMessageError(Exception):
    """The bytes are no message."""


def read_varint(message: memoryview, at: int) -> Tuple[int, int]:
    """Return a number, which may have more than 64 bits, and where what follows it starts.

    Raises:
        NoMessageError: it does not end.
    """
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise NoMessageError
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise NoMessageError
