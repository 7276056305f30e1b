"""The two-headed network on doubles of TensorRT and pycuda, and its right answers."""
import threading

import numpy as np
from doubles import gpu
from doubles.gpu import MACHINES  # noqa: F401

# Each way of running: copies or none, plain or replayed.
WAYS = [{"zero_copy": zero_copy, "cuda_graph": graph} for zero_copy in (False, True) for graph in (False, True)]
ORDERS = [("image", "sums", "scores"), ("scores", "image", "sums"), ("sums", "scores", "image")]


def two_heads(machine, tmp_path, **changes):
    return gpu.write_plan(tmp_path, machine.release, onnx_path=None, name="two", **changes)


def frames(count, shape=(1, 3, 4, 5)):
    return np.random.RandomState(0).randn(count, *shape).astype(np.float32)


def answers(image):
    """Return what the two-headed network says, computed in another way."""
    sums = image.reshape(3, -1).sum(axis=1)[np.newaxis]
    return {"sums": sums, "scores": 1 - 2 * sums}


def right(session, outputs, image):
    expected = answers(image)
    return all(np.allclose(output, expected[spec.name], atol=1e-4) for spec, output in zip(session.outputs, outputs))


def run_all(session, images):
    """Return the share of right answers of infer and of submit and collect."""
    good = [right(session, session.infer_all(image), image) for image in images]
    for index, image in enumerate(images):
        session.submit(image)
        if index:
            good.append(right(session, session.collect(), images[index - 1]))
    good.append(right(session, session.collect(), images[-1]))
    return sum(good) / float(len(good))


def in_thread(*functions):
    """Run functions at once, each in a thread of its own, and raise what they raise."""
    caught = []

    def guarded(function):
        try:
            function()
        except BaseException as error:
            caught.append(error)

    threads = [threading.Thread(target=guarded, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if caught:
        raise caught[0]
