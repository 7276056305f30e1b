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
* A stream that is captured runs nothing, and what cannot be captured spoils the capture.
"""
import atexit
import collections
import os
import sys
import threading
import types

import numpy as np

COPY_MS_PER_BYTE = 1e-6
DEVICEMAP = 2  # CU_MEMHOSTALLOC_DEVICEMAP
CAPTURE_UNSUPPORTED = "operation not permitted when stream is capturing"
GARBAGE = 0xCD


class Error(Exception):
    pass


class LogicError(Error):
    pass


class LaunchError(Error):
    pass


class DriverMemoryError(Error):
    pass


class DriverRuntimeError(Error):
    pass


class ContextState:
    """What the driver knows of one context."""

    def __init__(self, name):
        self.name = name
        self.alive = True


class Machine:
    """A driver with one or more GPUs; everything that outlives a Python object."""

    def __init__(self, devices=1, capability=(8, 7), memory_bytes=1 << 30, name="Double GPU", aborts_at_exit=False,
                 integrated=False, maps_host_memory=True, mapped_input_ms=0.0, mapped_output_ms=0.0, replay_ms=0.5,
                 copy_ms_per_byte=COPY_MS_PER_BYTE):
        self.lock = threading.RLock()
        self.devices = devices
        self.capability = capability
        self.memory_bytes = memory_bytes
        self.name = name
        self.integrated = integrated
        self.maps_host_memory = maps_host_memory
        # What an inference takes longer because of mapped memory, and how long a replayed one takes.
        self.mapped_input_ms = mapped_input_ms
        self.mapped_output_ms = mapped_output_ms
        self.replay_ms = replay_ms
        self.copy_ms_per_byte = copy_ms_per_byte
        self.mapped_memory = {}  # device address -> (bytes of the processor's, ContextState)
        self.events = 0
        self.recorded_graphs = {}  # handle of a graph -> recorded work
        self.graphs = {}  # handle of an executable graph -> recorded work
        self.launches = []  # "plain" or "graph"
        self.device_memory = {}  # address -> (bytearray, ContextState)
        self.host_memory = {}  # id -> (bytes, ContextState)
        self.streams = {}  # handle -> Stream
        self.primary = {}  # device -> [ContextState, retain count]
        self.contexts_made = 0
        self.contexts_destroyed = 0
        self.violations = []  # what the real thing punishes later, or not at all
        self.sticky = None
        self.plugins = []  # namespaces that plugins were registered in
        self.clock_ms = 0.0
        self.log = []  # order of destruction of what TensorRT's double makes
        self.stacks = threading.local()
        self._next_address = 0x200000
        self._next_handle = 0x55550000
        if aborts_at_exit:
            atexit.register(self._at_exit)

    # The driver's own stack (cuCtxPushCurrent and so on), which torch and the CUDA runtime use too.
    @property
    def driver_stack(self):
        if not hasattr(self.stacks, "driver"):
            self.stacks.driver = []
        return self.stacks.driver

    @property
    def thread(self):
        """This thread's identity; numbers of threads are used again, these objects are not."""
        if not hasattr(self.stacks, "thread"):
            self.stacks.thread = object()
        return self.stacks.thread

    # pycuda's stack (context_stack in cuda.hpp).
    @property
    def pycuda_stack(self):
        if not hasattr(self.stacks, "pycuda"):
            self.stacks.pycuda = []
        return self.stacks.pycuda

    def current(self, routine):
        """Return the current context, or raise as the driver does."""
        if self.sticky is not None:
            raise LogicError("{} failed: {}".format(routine, self.sticky))
        if not self.driver_stack:
            raise LogicError("{} failed: invalid device context".format(routine))
        if not self.driver_stack[-1].alive:
            raise LogicError("{} failed: context is destroyed".format(routine))
        return self.driver_stack[-1]

    def retain_primary(self, device):
        with self.lock:
            entry = self.primary.setdefault(device, [ContextState("primary {}".format(device)), 0])
            if not entry[0].alive:
                entry[0] = ContextState("primary {}".format(device))
            entry[1] += 1
            return entry[0]

    def release_primary(self, device):
        with self.lock:
            entry = self.primary[device]
            entry[1] -= 1
            if entry[1] == 0:
                self.destroy(entry[0])

    def destroy(self, state):
        with self.lock:
            state.alive = False
            self.contexts_destroyed += 1
            for table in (self.device_memory, self.host_memory, self.mapped_memory):
                for key in [key for key, value in table.items() if value[1] is state]:
                    del table[key]

    def no_capture(self, routine):
        """Refuse what a thread must not do while it captures, and spoil the capture."""
        for stream in list(self.streams.values()):
            if stream.capture is not None and stream.capture.thread is self.thread:
                stream.capture.spoilt = True
                raise LogicError("{} failed: {}".format(routine, CAPTURE_UNSUPPORTED))

    def allocate(self, size, routine="cuMemAlloc"):
        state = self.current(routine)
        self.no_capture(routine)
        with self.lock:
            if self.allocated_bytes() + size > self.memory_bytes:
                raise DriverMemoryError("{} failed: out of memory".format(routine))
            address = self._next_address
            self._next_address += (size + 1023) // 512 * 512  # never reused, with a gap behind
            self.device_memory[address] = (bytearray([GARBAGE]) * size, state)
            return address

    def free(self, address, routine="cuMemFree"):
        self.current(routine)
        self.no_capture(routine)
        with self.lock:
            if address not in self.device_memory:
                raise LogicError("{} failed: invalid argument".format(routine))
            del self.device_memory[address]

    def allocated_bytes(self):
        with self.lock:
            return sum(len(memory) for memory, _ in self.device_memory.values())

    def page_locked_bytes(self):
        with self.lock:
            return sum(size for size, _ in self.host_memory.values())

    def at(self, address, size):
        """Return `size` bytes of device memory as a writable view, for what runs on the device."""
        with self.lock:
            for start, (memory, _) in [*self.device_memory.items(), *self.mapped_memory.items()]:
                if start <= address and address + size <= start + len(memory):
                    return memoryview(memory)[address - start:address - start + size]
        raise self.fail("an illegal memory access was encountered")

    def fail(self, text):
        """Return an error after which nothing works any more."""
        self.sticky = text
        return LogicError("cuEventSynchronize failed: " + text)

    def blame(self, text):
        """Note what should not happen; after a sticky error nothing can be cleaned up, and nobody is to blame."""
        if self.sticky is None:
            self.violations.append(text)

    def account(self):
        """Return what is there of everything that has to be given back: bytes, and numbers of the rest."""
        with self.lock:
            return {"device": self.allocated_bytes(), "page-locked": self.page_locked_bytes(),
                    "mapped": len(self.mapped_memory), "streams": len(self.streams), "events": self.events,
                    "graphs": len(self.graphs) + len(self.recorded_graphs)}

    def everything_released(self):
        return not any(self.account().values())

    def map(self, memory, routine):
        """Return the device's address of an array of the processor's."""
        state = self.current(routine)
        with self.lock:
            address = self._next_address
            self._next_address += (memory.nbytes + 1023) // 512 * 512
            self.mapped_memory[address] = (memory, state)
            return address

    def handle(self):
        with self.lock:
            self._next_handle += 16
            return self._next_handle

    def _at_exit(self):
        if self.pycuda_stack:
            sys.stderr.write("PyCUDA ERROR: The context stack was not empty upon module cleanup.\n")
            sys.stderr.flush()
            os._exit(134)


def activation(machine, context):
    """Return pycuda's scoped_context_activation: how many pushes to undo, or None where it cannot activate."""
    if not context.valid:
        return None
    if machine.pycuda_stack and machine.pycuda_stack[-1] is context:
        return 0
    if context.thread is not machine.thread:
        return None
    context.push()
    return 1


class Dependent:
    """Something that belongs to the context in which it was made (context_dependent in cuda.hpp)."""

    machine = None

    def acquire(self, routine):
        if not self.machine.pycuda_stack:
            raise LogicError("explicit_context_dependent failed: invalid device context - no currently active context?")
        self.context = self.machine.pycuda_stack[-1]
        return self.machine.current(routine)

    def in_context(self, function):
        """Run a destructor's work, or leave the resource behind, as pycuda does."""
        pushed = activation(self.machine, self.context)
        if pushed is None:
            if self.context.valid:
                self.machine.violations.append("{} left behind by another thread".format(type(self).__name__))
            return
        try:
            function()
        except Error as error:
            self.machine.blame("a clean-up operation failed: {}".format(error))
        finally:
            if pushed:
                self.context.pop()


class Context:
    machine = None

    def __init__(self, state, device, primary):
        self.state = state
        self.device = device
        self.primary = primary
        self.valid = True
        self.thread = self.machine.thread
        self.machine.contexts_made += 1

    def push(self):
        self._prepare_switch()
        self.machine.driver_stack.append(self.state)
        self.machine.pycuda_stack.append(self)

    @classmethod
    def pop(cls):
        cls._prepare_switch()
        stack = cls.machine.pycuda_stack
        if not stack:
            raise LogicError("context::pop failed: invalid device context - cannot pop non-current context")
        stack.pop()
        while stack and not stack[-1].valid:
            stack.pop()
        if stack:
            cls.machine.driver_stack.append(stack[-1].state)

    @classmethod
    def _prepare_switch(cls):
        if cls.machine.pycuda_stack:
            cls.machine.driver_stack.pop()

    def detach(self):
        if not self.valid:
            raise LogicError("context::detach failed: invalid device context - cannot detach from invalid context")
        machine, stack = self.machine, self.machine.pycuda_stack
        active = bool(stack) and stack[-1] is self
        if active or self.thread is machine.thread:
            if not active:
                machine.driver_stack.append(self.state)
            if self.primary:
                machine.release_primary(self.device)
                machine.violations.append("a released primary context stays current in this thread")
            else:
                machine.destroy(machine.driver_stack.pop())
        else:
            machine.violations.append("context leaked by another thread")
        self.valid = False
        if active:
            while stack and not stack[-1].valid:
                stack.pop()
            if stack:
                machine.driver_stack.append(stack[-1].state)

    @classmethod
    def synchronize(cls):
        cls.machine.current("cuCtxSynchronize")
        cls.machine.no_capture("cuCtxSynchronize")
        for stream in list(cls.machine.streams.values()):
            stream.run()


class Device:
    machine = None
    context_class = None

    def __init__(self, number):
        if not 0 <= number < self.machine.devices:
            raise LogicError("cuDeviceGet failed: invalid device ordinal")
        self.number = number

    @classmethod
    def count(cls):
        return cls.machine.devices

    def name(self):
        return self.machine.name

    def compute_capability(self):
        return self.machine.capability

    def get_attribute(self, attribute):
        return int({"INTEGRATED": self.machine.integrated,
                    "CAN_MAP_HOST_MEMORY": self.machine.maps_host_memory}[attribute])

    def make_context(self, flags=0):
        if self.machine.pycuda_stack:
            self.machine.driver_stack.pop()
        self.machine.context_flags = flags
        context = self.context_class(ContextState("own"), self.number, primary=False)
        self.machine.driver_stack.append(context.state)
        self.machine.pycuda_stack.append(context)
        return context


class DeviceWithPrimary(Device):
    def retain_primary_context(self):
        return self.context_class(self.machine.retain_primary(self.number), self.number, primary=True)


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


class Stream(Dependent):
    def __init__(self, flags=0):
        state = self.acquire("cuStreamCreate")
        self.flags = flags
        self.handle = self.machine.handle()
        self.shared = StreamQueue(self.machine, state)
        self.machine.streams[self.handle] = self.shared

    def synchronize(self):
        self.machine.current("cuStreamSynchronize")
        self.shared.no_capture("cuStreamSynchronize")
        self.shared.run()

    def __del__(self):
        if hasattr(self, "handle"):
            self.in_context(lambda: (self.machine.current("cuStreamDestroy"),
                                     self.machine.streams.pop(self.handle)))


class Capture:
    """What a stream has recorded since it is captured."""

    def __init__(self, thread):
        self.thread = thread
        self.work = []
        self.spoilt = False


class StreamQueue:
    """The driver's side of a stream: work in order, done only when somebody waits."""

    def __init__(self, machine, state):
        self.machine = machine
        self.state = state
        self.work = collections.deque()
        self.queued = 0
        self.finished = 0
        self.capture = None

    def put(self, function, cost_ms, routine):
        """Queue `function`; return its number."""
        if self.machine.current(routine) is not self.state:
            raise LogicError("{} failed: invalid resource handle".format(routine))
        with self.machine.lock:
            if self.capture is not None:
                self.capture.work.append(function)
                return None
            self.work.append((function, cost_ms))
            self.queued += 1
            return self.queued

    def begin_capture(self):
        self.capture = Capture(self.machine.thread)

    def no_capture(self, routine):
        if self.capture is not None:
            self.capture.spoilt = True
            raise LogicError("{} failed: {}".format(routine, CAPTURE_UNSUPPORTED))

    def run(self, until=None):
        with self.machine.lock:
            while self.work and (until is None or self.finished < until):
                if self.machine.sticky is not None:
                    raise self.machine.fail(self.machine.sticky)
                function, cost_ms = self.work.popleft()
                self.finished += 1
                self.machine.clock_ms += cost_ms
                function()


class Event(Dependent):
    def __init__(self, flags=0):
        self.acquire("cuEventCreate")
        with self.machine.lock:
            self.machine.events += 1
        self.queue = None
        self.number = None
        self.time_ms = None

    def record(self, stream=None):
        def mark():
            self.time_ms = self.machine.clock_ms

        if stream.shared.capture is not None:
            self.machine.violations.append("an event recorded in a graph, where it tells no time")
        self.queue = stream.shared
        self.time_ms = None
        self.number = self.queue.put(mark, 0.0, "cuEventRecord")
        return self

    def synchronize(self):
        self.machine.current("cuEventSynchronize")
        if self.queue is not None:
            self.queue.no_capture("cuEventSynchronize")
            self.queue.run(self.number)
        return self

    def time_since(self, other):
        self.machine.current("cuEventElapsedTime")
        if self.queue is None or other.queue is None:
            raise LogicError("cuEventElapsedTime failed: invalid resource handle")
        if self.time_ms is None or other.time_ms is None:
            raise DriverRuntimeError("cuEventElapsedTime failed: device not ready")
        return self.time_ms - other.time_ms

    def __del__(self):
        if hasattr(self, "context"):
            self.in_context(self._destroy)

    def _destroy(self):
        self.machine.current("cuEventDestroy")
        with self.machine.lock:
            self.machine.events -= 1


def make_pycuda(machine, primary=True):
    """Return the modules ``pycuda`` and ``pycuda.driver`` on `machine`; `primary` as in 2021.1 and later."""
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
    package.VERSION = (2022, 1) if primary else (2020, 1)
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
