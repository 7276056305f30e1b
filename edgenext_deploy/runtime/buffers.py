"""The memory of one inference: page-locked arrays, device memory, and timing events."""
import contextlib
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from edgenext_deploy.runtime.graph import Graph
from edgenext_deploy.runtime.session import SessionTimings
from edgenext_deploy.tensorrt_api.runtime_api import Tensor

# Puts into a stream whatever writes the input: (pycuda.driver, stream, device address of the input).
Prepare = Callable[[Any, Any, int], None]


class ZeroCopy(NamedTuple):
    """Which tensors the GPU reads or writes in the processor's page-locked memory, without a copy."""

    input: bool = False
    outputs: bool = False

    def __str__(self) -> str:
        names = [name for name, mapped in zip(self._fields, self) if mapped]
        return " and ".join(names) or "none"


class BufferSet:
    """Host and device memory for every tensor of an engine, allocated once. Every method needs an active context.

    The order of one use: `fill` and `copy_in`, or `prepare` in their place; the inference; `copy_out`, `wait`, `read`.
    Until `wait` returns, the GPU owns the arrays. An interrupted use spoils only its own result: the next one follows
    it in the stream.

    Attributes:
        graph: the inference recorded on the addresses that `copy_in` leaves; None if it was not recorded.
        spent_ms: time that the caller has waited for this inference so far.
        enqueue_ms: host time to put the inference into the stream.

    Raises:
        pycuda.driver.MemoryError: not enough memory; nothing stays allocated.
        pycuda.driver.LogicError: the driver does not map page-locked memory.
    """

    def __init__(self, driver: Any, tensors: Sequence[Tensor], zero_copy: ZeroCopy) -> None:
        self._addresses: Dict[str, int] = {}
        self.graph: Optional[Graph] = None
        self.spent_ms = 0.0
        self.enqueue_ms = 0.0
        self._zero_copy = zero_copy
        self._prepared = False
        self._driver = driver
        self._inputs = tuple(tensor.spec.name for tensor in tensors if tensor.is_input)
        self._outputs = tuple(tensor.spec.name for tensor in tensors if not tensor.is_input)
        self._host: Dict[str, np.ndarray] = {}
        self._device: List[Any] = []
        self._marks: List[Any] = []
        try:
            for tensor in tensors:
                self._allocate(tensor, zero_copy.input if tensor.is_input else zero_copy.outputs)
            self._prepared_addresses = self._with_device_input() if zero_copy.input else self._addresses
            self._marks = [driver.Event() for _ in range(4)]
        except BaseException:
            self.free()
            raise

    def _allocate(self, tensor: Tensor, mapped: bool) -> None:
        name, shape, dtype = tensor.spec.name, tensor.spec.shape, np.dtype(tensor.spec.dtype)
        if mapped:
            flags = self._driver.host_alloc_flags.DEVICEMAP
            self._host[name] = self._driver.pagelocked_empty(shape, dtype, mem_flags=flags)
            owner: Any = self._host[name].base
            self._addresses[name] = int(owner.get_device_pointer())
        else:
            self._host[name] = self._driver.pagelocked_empty(shape, dtype)
            self._addresses[name] = self._allocate_device(self._host[name].nbytes)

    def _allocate_device(self, size_bytes: int) -> int:
        self._device.append(self._driver.mem_alloc(size_bytes))
        return int(self._device[-1])

    def _with_device_input(self) -> Dict[str, int]:
        """Return the addresses with an input in device memory.

        The GPU does not cache mapped memory, so an input that it writes itself gains nothing there.
        """
        found = dict(self._addresses)
        for name in self._inputs:
            found[name] = self._allocate_device(self._host[name].nbytes)
        return found

    @property
    def addresses(self) -> Dict[str, int]:
        """Device address of every tensor by name; for a mapped tensor, the address of its array."""
        return self._prepared_addresses if self._prepared else self._addresses

    @property
    def recorded(self) -> Optional[Graph]:
        """The graph for the present use, if there is one."""
        return self.graph if self.addresses is self._addresses else None

    def fill(self, image: np.ndarray) -> None:
        """Write the input, whatever its strides and byte order, in one pass; Nano reads this memory slowly."""
        np.copyto(self._host[self._inputs[0]], image)

    def copy_in(self, stream: Any) -> None:
        """Put the copy of the input to the device into the stream; a mapped input needs no copy."""
        self._prepared = False
        self._marks[0].record(stream)
        if not self._zero_copy.input:
            for name in self._inputs:
                self._driver.memcpy_htod_async(self.addresses[name], self._host[name], stream)
        self._marks[1].record(stream)

    def prepare(self, stream: Any, prepare: Prepare) -> None:
        """Let the caller put into the stream the work that writes the input on the device."""
        self._prepared = True
        self._marks[0].record(stream)
        prepare(self._driver, stream, self.addresses[self._inputs[0]])
        self._marks[1].record(stream)

    def copy_out(self, stream: Any) -> None:
        """Put the copies of the outputs to the host into the stream; mapped outputs need no copy."""
        self._marks[2].record(stream)
        if not self._zero_copy.outputs:
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

    def timings(self) -> SessionTimings:
        """Return the times of the last use; call it after `wait`. A copy that was not made has no time."""
        start, ready, computed, end = self._marks
        input_ms = float(ready.time_since(start))
        return SessionTimings(
            self.spent_ms, self.enqueue_ms, None if self._prepared or self._zero_copy.input else input_ms,
            float(computed.time_since(ready)), None if self._zero_copy.outputs else float(end.time_since(computed)),
            input_ms if self._prepared else None)

    def span_ms(self) -> float:
        """Return the GPU's time from the start of the last use to its end, gaps included; call it after `wait`."""
        return float(self._marks[3].time_since(self._marks[0]))

    def free(self) -> None:
        """Free the memory; memory that the driver refuses to free goes with the context."""
        self._marks = []
        if self.graph is not None:
            self.graph.close()
            self.graph = None
        while self._device:
            with contextlib.suppress(self._driver.Error):
                self._device.pop().free()
        # Not freed here: views given to the caller keep the memory, and the last reference frees it.
        self._host.clear()
