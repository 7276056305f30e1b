"""Work in several threads whose results come in the items' order."""
import itertools
import threading
import time

import pytest

from edgenext_deploy.in_order import in_order


def threads():
    return {thread for thread in threading.enumerate() if thread.daemon}


@pytest.mark.parametrize("count, ahead", [(1, 1), (3, 1), (2, 5), (8, 3)])
def test_results_are_in_the_items_order_however_long_each_takes(count, ahead):
    def work(item):
        time.sleep(0.002 * (item * 7 % 5))
        return item * item

    before = threads()
    assert list(in_order(work, range(40), threads=count, ahead=ahead)) == [item * item for item in range(40)]
    assert threads() == before


def test_only_so_many_are_under_way():
    taken, most = [], []

    def items():
        for item in itertools.count():
            taken.append(item)
            yield item

    results = in_order(lambda item: item, items(), threads=2, ahead=4)
    for result in itertools.islice(results, 20):
        most.append(len(taken) - result)
    results.close()
    assert max(most) == 4


def test_an_error_comes_at_its_turn_and_ends_the_threads():
    def work(item):
        if item == 3:
            raise KeyError(item)
        return item

    before, seen = threads(), []
    with pytest.raises(KeyError):
        for result in in_order(work, range(10), threads=3, ahead=5):
            seen.append(result)
    assert seen == [0, 1, 2] and threads() == before


def test_an_end_does_not_wait_for_work_that_takes_long():
    going = threading.Event()

    def work(item):
        if item:
            going.wait(30)
        return item

    results = in_order(work, range(10), threads=2, ahead=4)
    assert next(results) == 0
    start = time.perf_counter()
    results.close()
    assert time.perf_counter() - start < 5.0
    going.set()


def test_a_thread_that_waits_keeps_nothing():
    import gc
    import weakref

    class Large:
        pass

    made = []

    def work(item):
        large = Large()
        made.append(weakref.ref(large))
        return large

    endless = in_order(work, itertools.count(), threads=2, ahead=3)
    for _ in range(10):
        next(endless)
    time.sleep(0.05)
    gc.collect()
    assert sum(reference() is not None for reference in made) <= 3
    endless.close()
