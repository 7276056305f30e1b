"""Work on many items in several threads: results come in the items' order, and only so many are under way."""
import collections
import concurrent.futures
import queue
import threading
import time
from typing import Any, Callable, Deque, Generator, Iterable, List, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# How long an end waits for work that cannot be interrupted, such as the decoding of a large photo. The threads are
# daemons, so a process ends without them.
_JOIN_S = 0.5
# A Queue is written in Python: Ctrl-C within `put` may leave it locked, and whoever ends the threads would wait for
# good. Python 3.6 has no other.
_new_queue: Callable[[], Any] = getattr(queue, "SimpleQueue", queue.Queue)
# A signal that comes just before a wait without a limit does not end it.
_POLL_S = 0.1


def in_order(work: Callable[[Item], Result], items: Iterable[Item], *, threads: int,
             ahead: int) -> Generator[Result, None, None]:
    """Yield `work(item)` of each item, in the items' order; what it raises is raised at the item's turn.

    An end, an error and Ctrl-C in the consumer's thread end the threads. Close the generator to be sure of that:
    ``with contextlib.closing(in_order(...)) as results``.

    Args:
        work: called in one of the threads.
        items: taken one by one in the consumer's thread, as room becomes free.
        threads: number of threads at most; they start as items come.
        ahead: number of items that may be under way or finished and not yet taken.
    """
    tasks = _new_queue()
    stopped = threading.Event()
    workers: List[threading.Thread] = []
    under_way: "Deque[concurrent.futures.Future[Result]]" = collections.deque()
    try:
        for item in items:
            if len(workers) < threads:
                worker = threading.Thread(target=_work, args=(work, tasks, stopped), daemon=True)
                worker.start()
                workers.append(worker)
            under_way.append(concurrent.futures.Future())
            tasks.put((under_way[-1], item))
            if len(under_way) >= ahead:
                yield _result(under_way.popleft())
        while under_way:
            yield _result(under_way.popleft())
    finally:
        stopped.set()
        for _ in workers:
            tasks.put(None)
        end = time.perf_counter() + _JOIN_S
        for worker in workers:
            worker.join(max(0.0, end - time.perf_counter()))


def _result(future: "concurrent.futures.Future[Result]") -> Result:
    while not future.done():
        concurrent.futures.wait([future], _POLL_S)
    return future.result()


def _work(work: Callable[[Any], Any], tasks: Any, stopped: threading.Event) -> None:
    while True:
        task = tasks.get()
        if task is None or stopped.is_set():
            return
        _run(work, *task)
        # A thread that waits must not keep what it made, such as a decoded photo.
        del task


def _run(work: Callable[[Any], Any], future: "concurrent.futures.Future[Any]", item: Any) -> None:
    try:
        future.set_result(work(item))
    except BaseException as error:  # raised again where the result is taken
        future.set_exception(error)
