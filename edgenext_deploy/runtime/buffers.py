"""The memory of one inference: page-locked arrays, device memory, and the events that time it."""
import contextlib
from typing import Any, Callable, Dict, List, Sequence, Tuple

import numpy as np

from edgenext_deploy.runtime.session import Timings
from edgenext_deploy.runtime.trt_api import Tensor

# Puts into a stream whatever writes the input: (pycuda.driver, stream, device address of the input).
Prepare = Callable[[Any, Any, int], None]


class BufferSet:
    """Host and device memory for every tensor of an engine, allocated once. Every method needs an active context.

    The order of one use: `fill` and `copy_in`, or `prepare` in their place; the inference; `copy_out`, `wait`, `read`.
    Until `wait` returns the arrays belong to the GPU. A use that is broken off spoils only its own result: the next
    one follows it in the stream.

    Attributes:
        addresses: device address of every tensor by name.
        spent_ms: what the caller has waited for this inference so far.
        enqueue_ms: host time that putting the inference into the stream took.

    Raises:
        pycuda.driver.MemoryError: not enough memory; nothing stays allocated.
    """

    def __init__(self, driver: Any, tensors: Sequence[Tensor]) -> None:
        self.addresses: Dict[str, int] = {}
        self.spent_ms = 0.0
        self.enqueue_ms = 0.0
        self._prepared = False
        self._driver = driver
        self._inputs = tuple(tensor.spec.name for tensor in tensors if tensor.is_input)
        self._outputs = tuple(tensor.spec.name for tensor in tensors if not tensor.is_input)
        self._host: Dict[str, np.ndarray] = {}
        self._device: List[Any] = []
        self._marks: List[Any] = []
        try:
            for spec in (tensor.spec for tensor in tensors):
                self._host[spec.name] = driver.pagelocked_empty(spec.shape, np.dtype(spec.dtype))
                self._device.append(driver.mem_alloc(self._host[spec.name].nbytes))
                self.addresses[spec.name] = int(self._device[-1])
            self._marks = [driver.Event() for _ in range(4)]
        except BaseException:
            self.free()
            raise

    def fill(self, image: np.ndarray) -> None:
        """Write the input, whatever its strides and byte order, in one pass; Nano reads this memory slowly."""
        np.copyto(self._host[self._inputs[0]], image)

    def copy_in(self, stream: Any) -> None:
        """Put the copy of the input to the device into the stream."""
        self._prepared = False
        self._marks[0].record(stream)
        for name in self._inputs:
            self._driver.memcpy_htod_async(self.addresses[name], self._host[name], stream)
        self._marks[1].record(stream)

    def prepare(self, stream: Any, prepare: Prepare) -> None:
        """Have the caller put into the stream what writes the input on the device."""
        self._prepared = True
        self._marks[0].record(stream)
        prepare(self._driver, stream, self.addresses[self._inputs[0]])
        self._marks[1].record(stream)

    def copy_out(self, stream: Any) -> None:
        """Put the copies of the outputs to the host into the stream."""
        self._marks[2].record(stream)
        for name in self._outputs:
            self._driver.memcpy_dtoh_async(self._host[name], self.addresses[name], stream)
        self._marks[3].record(stream)

    def wait(self) -> None:
        """Wait until the outputs are in host memory."""
        self._marks[3].synchronize()

    def read(self, views: bool) -> Tuple[np.ndarray, ...]:
        """Return the outputs: copies, or read-only views of memory that the set's next use overwrites."""
        if not views:
            return tuple(self._host[name].copy() for name in self._outputs)
        found = tuple(self._host[name].view() for name in self._outputs)
        for view in found:
            view.flags.writeable = False
        return found

    def timings(self) -> Timings:
        """Return the times of the last use; only after `wait`."""
        start, copied_in, computed, copied_out = self._marks
        input_ms = float(copied_in.time_since(start))
        return Timings(self.spent_ms, self.enqueue_ms, None if self._prepared else input_ms,
                       float(computed.time_since(copied_in)), float(copied_out.time_since(computed)),
                       input_ms if self._prepared else None)

    def free(self) -> None:
        """Free the memory; what the driver refuses to free goes with the context."""
        self._marks = []
        while self._device:
            with contextlib.suppress(self._driver.Error):
                self._device.pop().free()
        # Not freed by hand: views that were given away keep their memory, and the last reference frees it.
        self._host.clear()
