"""No warnings of Pillow while photos are read: it warns of odd metadata, and of a size limit that ours replaces."""
import contextlib
import logging
import threading
import warnings
from typing import Any, Iterator, List

# Python prints what no handler takes; an error that matters is raised as well.
logging.getLogger("PIL").addHandler(logging.NullHandler())
_lock = threading.Lock()
# The filters are the process's. Threads that kept and restored them each for itself would leave others' behind.
_inside: List[Any] = []


@contextlib.contextmanager
def no_warnings() -> Iterator[None]:
    """Ignore warnings until the last thread that is inside leaves."""
    with _lock:
        if not _inside:
            kept = warnings.catch_warnings()
            kept.__enter__()
            warnings.simplefilter("ignore")
        else:
            kept = _inside[-1]
        _inside.append(kept)
    try:
        yield
    finally:
        with _lock:
            kept = _inside.pop()
            if not _inside:
                kept.__exit__(None, None, None)
