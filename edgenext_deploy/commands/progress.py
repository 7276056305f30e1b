"""The bar of a long run on standard error."""
import contextlib
import sys
import time
from typing import Callable, Iterator, Optional

_REDRAW_S = 0.25


@contextlib.contextmanager
def show_progress() -> Iterator[Optional[Callable[[float, str], None]]]:
    """Show a bar on standard error when that is a terminal; what is given takes the share done, and words.

    It is drawn only when it is called, between blocks of a measurement: a thread that redraws it would be timed too.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    bar = Bar(console=Console(stderr=True), auto_refresh=False, transient=True)
    task = bar.add_task("starting", total=1.0)
    drawn_at = -_REDRAW_S

    def show(fraction: float, what: str) -> None:
        nonlocal drawn_at
        bar.update(task, completed=fraction, description=what)
        if time.perf_counter() - drawn_at >= _REDRAW_S:
            bar.start()
            bar.refresh()
            drawn_at = time.perf_counter()

    try:
        yield show
    finally:
        bar.stop()
