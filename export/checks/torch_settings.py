"""Torch for checks, not for training: one thread, no gradients."""
import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def quiet_torch() -> Iterator[None]:
    """Run torch without gradients and on one thread, and leave its settings as they were.

    The operators are many and small: on a machine that does other work too, a second thread costs far more in
    waiting than it gains. One thread also gives the same bits on every run.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(threads)
