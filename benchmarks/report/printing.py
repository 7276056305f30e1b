"""Tables on a terminal or in a file, as the commands of this stage print them."""
from typing import TYPE_CHECKING, Iterable, Optional, Sequence, TextIO

if TYPE_CHECKING:
    from rich.console import Console

# Where the width is unknown (a pipe, a file) no column is cut.
_WIDTH_OF_A_FILE = 200
EMPTY = "–"


def console_for(stream: TextIO, width_of_a_file: int = _WIDTH_OF_A_FILE) -> "Console":
    """Return a console that prints text as it is; it raises BrokenPipeError when its reader has gone."""
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            """Pass on the error in whose handler this is called; rich would end the process, files unwritten."""
            raise

    return Plain(file=stream, markup=False, highlight=False, emoji=False,
                 width=None if stream.isatty() else width_of_a_file)


def print_table(console: "Console", title: str, headings: Sequence[str], rows: Iterable[Sequence[str]],
                text_columns: Sequence[int] = (0,)) -> None:
    """Print a table with a title.

    Args:
        console: where to.
        title: a line above it.
        headings: of the columns.
        rows: cells as text.
        text_columns: numbers of the columns that hold words, which may be broken; the others hold figures.
    """
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for index, heading in enumerate(headings):
        if index in text_columns:
            table.add_column(heading, overflow="fold")
        else:
            table.add_column(heading, justify="right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(title, soft_wrap=True)
    console.print(table)


def number(value: Optional[float], digits: int = 2) -> str:
    """Return a figure with so many digits behind the point, or the sign of an empty cell."""
    return EMPTY if value is None else "{:.{}f}".format(value, digits)


def milliseconds(value: Optional[float]) -> str:
    """Return milliseconds to about four digits."""
    if value is None:
        return EMPTY
    return "{:.1f}".format(value) if value >= 100 else "{:.2f}".format(value) if value >= 10 else (
        "{:.3f}".format(value) if value >= 1 else "{:.4f}".format(value))
