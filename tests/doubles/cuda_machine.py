"""The driver and its GPUs, without a GPU: what there is, who owns it, and what goes wrong.

`pycuda_double` says what it is strict about.
"""
import atexit
import os
import sys
import threading

COPY_MS_PER_BYTE = 1e-6
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
        self.pid = os.getpid()
        self.plugins = []  # namespaces that plugins were registered in
        self.plugin_logger = None  # weak reference to the logger of the last registration
        self.refuses_runtime = None  # severity and text that TensorRT logs when it cannot use CUDA
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

    def require_usable(self, routine):
        """Refuse any call after an error that lasts, and in a forked child."""
        if self.sticky is not None or os.getpid() != self.pid:
            raise LogicError("{} failed: {}".format(routine, self.sticky or "initialization error"))

    def terminate(self, error):
        """Note where a destructor of pycuda's throws, which C++ answers by aborting the process."""
        self.violations.append("terminate called after throwing an instance of 'pycuda::error': {}".format(error))

    def current(self, routine):
        """Return the current context, or raise as the driver does."""
        self.require_usable(routine)
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

    def changes(self, session):
        """Return what a session's engine says that is not so by itself; see `tensorrt_runtime_double.plan_bytes`."""
        return session._engine._changes

    def on_enqueue(self, monkeypatch, function):
        """Have `function(fail, log, go_on)` called in the place of each inference.

        Its arguments: ``fail(text)`` breaks the GPU, ``log(text)`` logs an error, ``go_on()`` runs the inference.
        """
        kind = sys.modules["tensorrt"].IExecutionContext
        original = kind._enqueue_alone

        def instead(context, addresses, stream_handle):
            logger = context._engine._logger
            return function(self.fail, lambda text: logger.log(type(logger).Severity.ERROR, text),
                            lambda: original(context, addresses, stream_handle))

        monkeypatch.setattr(kind, "_enqueue_alone", instead)

    def forget_first_run(self, session):
        session._runner._execution._context._ran = False

    def is_own_memory(self, address):
        """Return whether an address is one of the GPU's own memory."""
        return address in self.device_memory and address not in self.mapped_memory

    def other_user(self, device=0):
        """Return another user of the primary context, as torch is one."""
        from doubles.pycuda_double import Torch

        return Torch(self, device)

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
