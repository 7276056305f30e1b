"""A soak: many frames through a Classifier with threads, reopenings and injected errors; nothing grows.

50,000 frames in `make test-all`; ``EDGENEXT_SOAK_FRAMES=1000000`` for more. Run by path it prints what it saw.
"""
import collections
import gc
import os
import shutil
import threading
import time

import numpy as np
import pytest
from paths import TINY

from edgenext_deploy import Classifier, RuntimeOptions
from edgenext_deploy.errors import BadInputError, EdgeNextError, UsageError

THREADS = 4
# Frames between two reopenings, and between two injected errors, of one thread.
REOPEN, INJECT = 500, 97
SAMPLES = 10


def usage():
    """Return resident memory in MB, open files and threads of this process."""
    with open("/proc/self/statm") as stream:
        pages = int(stream.read().split()[1])
    files, threads = len(os.listdir("/proc/self/fd")), min(map(count_threads, range(10)))
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6, files, threads


def count_threads(look):
    """Return the number of threads; the system ends one a moment after `join`, so one looks again."""
    time.sleep(0.01 if look else 0.0)
    return len(os.listdir("/proc/self/task"))


def answer_of(classify, frame):
    return [(found.index, round(found.probability, 6)) for found in classify(frame)]


def inject(classify, broken, step):
    """Make one mistake and expect the error that the documentation names."""
    kind = step % 4
    if kind == 0:
        with pytest.raises(EdgeNextError):
            classify(np.zeros((0, 5, 3), np.uint8))
    elif kind == 1:
        with pytest.raises(UsageError):
            classify.session.infer(np.zeros((1, 3, 5, 5), np.float32))
    elif kind == 2:
        with pytest.raises(BadInputError):
            Classifier(broken)
    else:
        other = Classifier(TINY, runtime=RuntimeOptions(threads=1))
        other.session.submit(np.zeros(other.session.inputs[0].shape, np.float32))
        other.close()
        with pytest.raises(UsageError):
            other(np.zeros((8, 8, 3), np.uint8))


def soak(frames, folder):
    """Return `usage` at `SAMPLES` moments, and how often each thing went wrong."""
    broken = os.path.join(folder, "broken.onnx")
    shutil.copyfile(TINY.replace(".onnx", ".json"), broken.replace(".onnx", ".json"))
    with open(TINY, "rb") as stream, open(broken, "wb") as half:
        half.write(stream.read()[:-100])
    chance = np.random.RandomState(0)
    pictures = [chance.randint(0, 256, (48, 64, 3)).astype(np.uint8) for _ in range(8)]
    with Classifier(TINY, runtime=RuntimeOptions(threads=1)) as classify:
        expected = [answer_of(classify, picture) for picture in pictures]
    wrong, samples = collections.Counter(), []

    def work(first, count):
        classify = Classifier(TINY, runtime=RuntimeOptions(threads=1))
        try:
            for step in range(first, first + count):
                if answer_of(classify, pictures[step % 8]) != expected[step % 8]:
                    wrong["another answer"] += 1
                if step % INJECT == 0:
                    inject(classify, broken, step // INJECT)
                if step % REOPEN == 0:
                    classify.close()
                    classify = Classifier(TINY, runtime=RuntimeOptions(threads=1))
        except BaseException as error:
            wrong[repr(error)[:200]] += 1
        finally:
            classify.close()

    for part in range(SAMPLES + 1):
        each = frames // (SAMPLES + 1) // THREADS
        threads = [threading.Thread(target=work, args=(1 + index * each, each)) for index in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        gc.collect()
        if part:  # the first part fills caches
            samples.append(usage())
    return samples, wrong


@pytest.mark.sweep
def test_memory_files_and_threads_stay_flat(tmp_path):
    pytest.importorskip("onnxruntime")
    samples, wrong = soak(int(os.environ.get("EDGENEXT_SOAK_FRAMES", "50000")), str(tmp_path))
    assert dict(wrong) == {}
    memory, files, threads = zip(*samples)
    # What earlier tests of this process left may end meanwhile.
    assert files == tuple(sorted(files, reverse=True)) and threads == tuple(sorted(threads, reverse=True))
    # The second half against the first: an allocator keeps some MB, a leak goes on.
    assert max(memory[SAMPLES // 2:]) - max(memory[:SAMPLES // 2]) < 8.0, memory


if __name__ == "__main__":
    import sys
    import tempfile

    started = time.time()
    with tempfile.TemporaryDirectory() as made:
        found = soak(int(sys.argv[1]), made)
    sys.stdout.write("{:.0f} s; MB, files, threads: {}; wrong: {}\n".format(
        time.time() - started, found[0], dict(found[1])))
