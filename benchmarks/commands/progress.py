"""The bar of a measurement on standard error."""
import contextlib
import sys
import time
from typing import TYPE_CHECKING, Iterator, Optional

if TYPE_CHECKING:
    from edgenext_deploy.benchmarks.latency.interleave import Progress

_REDRAW_S = 0.25


@contextlib.contextmanager
def show_progress() -> Iterator[Optional["Progress"]]:
    """Show a bar on standard error when that is a terminal.

    It is drawn only when the measurement calls, between blocks: a thread that redraws it would be timed too.
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
