"""What results are printed with: as wide as a terminal, and without breaks where there is none."""
import re
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

# Wider than any line: what reads a pipe or a file, such as grep, wants whole ones.
_WIDTH_OFF_A_TERMINAL = 4096


class _WithoutTrailingBlanks:
    """A text stream that drops the blanks with which the cells of a table are filled up at the end of a line."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        self._stream.write(re.sub(r" +(?=\n|\Z)", "", text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def make_console(**options: Any) -> "Console":
    """Return a console on the standard output; off a terminal it wraps no line and ends none in blanks.

    Args:
        options: of `rich.console.Console`.
    """
    from rich.console import Console

    if sys.stdout.isatty():
        return Console(**options)
    return Console(file=_WithoutTrailingBlanks(sys.stdout), width=_WIDTH_OFF_A_TERMINAL,  # type: ignore[arg-type]
                   **options)
