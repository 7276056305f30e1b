"""Device memory and page-locked memory of the double of pycuda."""
import numpy as np
from doubles.cuda_machine import GARBAGE, LogicError
from doubles.pycuda_contexts import Dependent

DEVICEMAP = 2  # CU_MEMHOSTALLOC_DEVICEMAP


class DeviceAllocation(Dependent):
    def __init__(self, size):
        self.acquire("cuMemAlloc")
        self.address = self.machine.allocate(size)

    def __int__(self):
        return self.address

    def free(self):
        address, self.address = self.address, None
        self.in_context(lambda: self.machine.free(address))

    def __del__(self):
        if getattr(self, "address", None) is not None:
            self.free()


class PagelockedHostAllocation(Dependent):
    """Owner of page-locked memory; the array on it has this as its base."""

    def __init__(self, shape, dtype, flags=0):
        state = self.acquire("cuMemHostAlloc")
        self.machine.no_capture("cuMemHostAlloc")
        self.flags = flags
        self.device_address = None
        count = int(np.prod(shape))
        self.memory = np.full(count * dtype.itemsize, GARBAGE, np.uint8)
        self.__array_interface__ = {"version": 3, "shape": tuple(shape), "typestr": dtype.str,
                                    "data": (self.memory.ctypes.data, False)}
        with self.machine.lock:
            self.machine.host_memory[id(self)] = (self.memory.nbytes, state)

    def get_device_pointer(self):
        if not self.flags & DEVICEMAP or not self.machine.maps_host_memory:
            raise LogicError("cuMemHostGetDevicePointer failed: invalid argument")
        if self.device_address is None:
            self.device_address = self.machine.map(self.memory, "cuMemHostGetDevicePointer")
        return self.device_address

    def free(self):
        def work():
            self.machine.current("cuMemFreeHost")
            with self.machine.lock:
                del self.machine.host_memory[id(self)]
                self.machine.mapped_memory.pop(self.device_address, None)

        self.in_context(work)
        self.memory = None

    def __del__(self):
        if getattr(self, "memory", None) is not None:
            self.free()
