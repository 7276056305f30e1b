"""Version numbers: read out of any text, compared as numbers."""
import re
from typing import Optional, Tuple


def version_numbers(text: str, count: Optional[int] = None) -> Tuple[int, ...]:
    """Return the numbers in a version, so that versions compare as they should.

    Args:
        text: such as ``8.2.1.8`` or ``32.7.1``.
        count: number of numbers to return: more are cut off, missing ones are 0. None for all there are.

    Examples:
        ``36.5`` is ``(36, 5)``, with `count` 3 ``(36, 5, 0)``.
    """
    # A longer run of digits is no version; it must not become a number of any size.
    found = tuple(int(digits) for digits in re.findall(r"\d{1,9}", text))
    return found if count is None else (found + (0,) * count)[:count]


def plain_version(text: object) -> Optional[str]:
    """Return a version without a suffix such as ``.post1`` or ``+cu11``; None if it does not start with a number."""
    match = re.match(r"\d+(?:\.\d+)*", text) if isinstance(text, str) else None
    return match.group() if match else None
