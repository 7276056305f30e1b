"""Torch for export, not for training: one thread, and no gradients in checks."""
import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread, and leave its setting as it was.

    The operators are many and small: a second thread costs more in waiting than it gains, 0.5 CPU-s of an export of
    xxs. One thread also gives the same bits on every run.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def quiet_torch() -> Iterator[None]:
    """Run torch without gradients and on one thread, and leave its settings as they were."""
    with one_thread(), torch.inference_mode():
        yield
