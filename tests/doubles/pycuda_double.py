"""A pycuda and a CUDA driver without a GPU.

It proves that our code asks for the right things in the right order; it proves nothing about CUDA or TensorRT.

What it is strict about, because the real thing is, or may be on a bad day:
* Every driver call needs a context that is current in the calling thread. pycuda's stack and the driver's are
  both modelled after pycuda's src/cpp/cuda.hpp (push, pop, detach, freeing from another thread, the abort at exit).
* Streams are lazy: a copy or a launch happens when somebody waits for it, and not before. What was not waited for
  is not there, and a buffer that is overwritten too early is copied as it is by then.
* Device memory is an address space with gaps: an access outside an allocation is a sticky error.
* Fresh memory is filled with garbage, and an account is kept of everything allocated.
* Page-locked memory is the GPU's only where it was asked to be mapped, and then at another address.
* After an error that lasts, and in a forked child, a destructor that pushes its context aborts the process.
* A stream that is captured runs nothing, and what cannot be captured spoils the capture.
"""
import types

import numpy as np
from doubles.cuda_machine import DriverMemoryError, DriverRuntimeError, Error, LaunchError, LogicError
from doubles.pycuda_contexts import Context, Device, DeviceWithPrimary
from doubles.pycuda_memory import DEVICEMAP, DeviceAllocation, PagelockedHostAllocation
from doubles.pycuda_streams import Event, Stream


def make_pycuda(machine, primary=True):
    """Return the modules ``pycuda`` and ``pycuda.driver`` on `machine`; `primary` as in 2020.1 and later."""
    driver = types.ModuleType("pycuda.driver")

    def bound(base, name=None, **members):
        return type(name or base.__name__, (base,), dict(members, machine=machine))

    context = bound(Context)
    driver.Error, driver.LogicError, driver.LaunchError = Error, LogicError, LaunchError
    driver.MemoryError, driver.RuntimeError = DriverMemoryError, DriverRuntimeError
    driver.Context = context
    driver.Device = bound(DeviceWithPrimary if primary else Device, "Device", context_class=context)
    driver.Stream, driver.Event = bound(Stream), bound(Event)
    driver.DeviceAllocation = driver.mem_alloc = bound(DeviceAllocation)
    driver.PagelockedHostAllocation = bound(PagelockedHostAllocation)
    driver.ctx_flags = types.SimpleNamespace(MAP_HOST=8, SCHED_AUTO=0)
    driver.host_alloc_flags = types.SimpleNamespace(PORTABLE=1, DEVICEMAP=DEVICEMAP, WRITECOMBINED=4)
    driver.device_attribute = types.SimpleNamespace(
        INTEGRATED="INTEGRATED", CAN_MAP_HOST_MEMORY="CAN_MAP_HOST_MEMORY")

    def init(flags=0):
        if machine.devices == 0:
            raise DriverRuntimeError("cuInit failed: no CUDA-capable device is detected")

    def pagelocked_empty(shape, dtype, order="C", mem_flags=0):
        return np.asarray(driver.PagelockedHostAllocation(shape, np.dtype(dtype), mem_flags))

    def copy_to_device(destination, source, stream):
        _require_page_locked(machine, driver, source)

        def copy():
            machine.at(int(destination), source.nbytes)[:] = source.tobytes()

        stream.shared.put(copy, source.nbytes * machine.copy_ms_per_byte, "cuMemcpyHtoDAsync")

    def copy_to_host(destination, source, stream):
        _require_page_locked(machine, driver, destination)

        def copy():
            flat = np.frombuffer(bytes(machine.at(int(source), destination.nbytes)), destination.dtype)
            destination[...] = flat.reshape(destination.shape)

        stream.shared.put(copy, destination.nbytes * machine.copy_ms_per_byte, "cuMemcpyDtoHAsync")

    driver.init, driver.pagelocked_empty = init, pagelocked_empty
    driver.memcpy_htod_async, driver.memcpy_dtoh_async = copy_to_device, copy_to_host
    package = types.ModuleType("pycuda")
    package.VERSION = (2022, 1) if primary else (2019, 1, 2)
    package.__path__ = []
    package.driver = driver
    return package, driver


def _require_page_locked(machine, driver, array):
    if not isinstance(array.base, driver.PagelockedHostAllocation):
        machine.violations.append("an asynchronous copy from or to pageable memory")


class Torch:
    """Another user of the primary context: it uses the CUDA runtime, which knows nothing of pycuda."""

    def __init__(self, machine, device=0):
        self.machine = machine
        self.device = device
        self.state = machine.retain_primary(device)
        machine.driver_stack.append(self.state)
        self.address = machine.allocate(64)
        machine.at(self.address, 64)[:] = bytes(range(64))

    def works(self):
        """Return whether its context is still current here, alive, and its memory untouched."""
        return (self.machine.current("torch") is self.state
                and bytes(self.machine.at(self.address, 64)) == bytes(range(64)))

    def close(self):
        self.machine.free(self.address)
        self.machine.driver_stack.pop()
        self.machine.release_primary(self.device)
