"""The machine of tests/doubles/cuda_machine.py, made of NVIDIA's real bindings of TensorRT and a real pycuda.

Below them are the driver library of tests/real/nvidia/driver and the objects of `engine`.
"""
import ctypes
import gc
import json
import weakref

from real.nvidia import driver_library
from real.nvidia.engine import Context, Runtime
from real.nvidia.trap import Below

_VALUES = {"DEVICES": "devices", "NAME": "name", "INTEGRATED": "integrated",
           "MAPS": "maps_host_memory"}
_DEFAULTS = {"devices": 1, "memory_bytes": 1 << 30, "name": "Double GPU", "integrated": False, "maps_host_memory": True,
             "mapped_input_ms": 0.0, "mapped_output_ms": 0.0, "replay_ms": 0.5, "copy_ms_per_byte": 1e-6,
             "capability": (8, 7), "aborts_at_exit": False}
_below = {}


def below(release):
    """Return the process's one `Below`; a process can load the bindings of one release."""
    if release not in _below:
        assert not _below, "this process has the bindings of {}".format(list(_below))
        _below[release] = Below(release)
    return _below[release]


class Machine:
    """A driver with GPUs and TensorRT of one release, as a test sees it.

    What other tests of the process left behind (primary contexts stay) is not counted.

    Attributes:
        errors: what our own code below the bindings noticed or raised.
        enqueue: what an execution context does; a test may replace it.
    """

    is_real = True

    def __init__(self, release, primary=True, **options):
        for name, value in dict(_DEFAULTS, **options).items():
            setattr(self, "_maps" if name == "maps_host_memory" else name, value)
        self.driver = driver_library.load()
        self.driver.double_reset()
        gc.collect()
        self._before = self._raw()
        for key, name in _VALUES.items():
            value = self._maps if name == "maps_host_memory" else getattr(self, name)
            self._configure(key, int(value) if isinstance(value, bool) else value)
        self._configure("MEMORY", self.memory_bytes + self._before["device"])
        self._configure("CC", "{}.{}".format(*self.capability))
        self._configure("REPLAY_US", int(self.replay_ms * 1000))
        self._configure("COPY_MS_PER_BYTE", "{:.12g}".format(self.copy_ms_per_byte))
        self.release, self.has_primary = release, primary
        self.errors, self.log, self.plugins, self._kept = [], [], [], []
        self.refuses_runtime = self.engine = None
        self.enqueue = Context.enqueue_alone
        self._calls, self._launches = [], []
        self.tensorrt = below(release)
        self.tensorrt.machine = self
        self.driver.double_calls()

    def _configure(self, key, value):
        self.driver.double_configure(key.encode(), str(value).encode())

    def keep(self, functions):
        """Keep what graphs and streams may still call, until there is no graph left."""
        self._kept.append(functions)
        if not self._raw()["executables"]:
            del self._kept[:]

    def _raw(self):
        return json.loads(self.driver.double_account().decode())

    # --- what TensorRT's side needs -------------------------------------------------------------------------------

    def need_context(self, what):
        """Return the current context; note where there is none."""
        context = ctypes.c_void_p()
        self.driver.cuCtxGetCurrent(ctypes.byref(context))
        if not context.value:
            self.errors.append(what + " without a current context")
        return context.value

    def allocate(self, size):
        address = driver_library.WORD()
        result = self.driver.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(size))
        if result:
            raise MemoryError("cuMemAlloc: {}".format(result))
        return address.value

    def free(self, address, blame):
        result = self.driver.cuMemFree_v2(address)
        if result not in (0, 700, 719):  # after a lasting error nobody is to blame
            self.errors.append("{}: {}".format(blame, result))

    def new_runtime(self, logger):
        self.tensorrt.log(logger, "WARNING", "a warning that is nobody's business")
        if self.refuses_runtime is not None:
            self.tensorrt.log(logger, *self.refuses_runtime)
            return None
        return Runtime(self.tensorrt, logger)

    def register_plugins(self, logger, namespace):
        self.plugins.append(namespace)
        return True

    # --- what the tests ask ----------------------------------------------------------------------------------------

    def account(self):
        now = self._raw()
        found = {key: now[key] - self._before[key] for key in now}
        return {"device": found["device"], "page-locked": found["page-locked"], "mapped": found["mapped"],
                "streams": found["streams"], "events": found["events"],
                "graphs": found["graphs"] + found["executables"]}

    def everything_released(self):
        now = self._raw()
        return all(now[key] <= self._before[key] for key in now if key not in ("contexts", "depth", "modules"))

    def allocated_bytes(self):
        return self._raw()["device"] - self._before["device"]

    def page_locked_bytes(self):
        return self._raw()["page-locked"] - self._before["page-locked"]

    @property
    def violations(self):
        """What went wrong in our code and what the driver noted, up to now."""
        self.errors.extend(line for line in self.driver.double_violations().decode().split("\n") if line)
        return self.errors

    def changes(self, session):
        """Return what the engine says that is not so by itself; see `doubles.tensorrt_runtime_double.plan_bytes`."""
        return self.engine.changes

    def on_enqueue(self, monkeypatch, function):
        """Have `function(fail, log, go_on)` called in the place of each inference.

        Its arguments: ``fail(text)`` breaks the GPU, ``log(text)`` logs an error, ``go_on()`` runs the inference.
        """
        def instead(context, addresses, stream):
            return function(self.fail, lambda text: self.tensorrt.log(context.engine.logger, "ERROR", text),
                            lambda: Context.enqueue_alone(context, addresses, stream))

        monkeypatch.setattr(self, "enqueue", instead)

    def forget_first_run(self, session):
        self.engine.context.ran = False

    def other_user(self, device=0):
        """Return another user of the primary context, as torch is one."""
        return OtherUser(self, device)

    def fail(self, text):
        """Break the GPU: no call works any more."""
        self.driver.double_break(719 if "launch" in text else 700)

    def is_own_memory(self, address):
        """Return whether an address is one of the GPU's own memory."""
        return bool(self.driver.double_at(address, 1)) and not self.driver.double_is_mapped(address)

    @property
    def maps_host_memory(self):
        return self._maps

    @maps_host_memory.setter
    def maps_host_memory(self, value):
        self._maps = value
        self._configure("MAPS", int(value))

    @property
    def driver_stack(self):
        return [None] * self._raw()["depth"]

    @property
    def pycuda_stack(self):
        import pycuda.driver

        return [] if pycuda.driver.Context.get_current() is None else [None]

    @property
    def contexts_made(self):
        self._read_calls()
        # Tests of one process share the primary context.
        return 1 if self.has_primary else self._calls.count("cuCtxCreate")

    @property
    def contexts_destroyed(self):
        self._read_calls()
        return self._calls.count("cuDevicePrimaryCtxRelease") + self._calls.count("cuCtxDestroy")

    def _read_calls(self):
        new = self.driver.double_calls().decode().split()
        self._calls += new
        self._launches += [{"cuGraphLaunch": "graph"}.get(name, name) for name in new
                           if name in ("plain", "cuGraphLaunch")]

    def driver_calls(self):
        """Return the names of the calls that have to do with graphs."""
        self._read_calls()
        return [name for name in self._calls if "Graph" in name or "Captur" in name]

    @property
    def launches(self):
        self._read_calls()
        return self._launches

    def _left(self, key):
        return dict.fromkeys(range(self._raw()[key] - self._before[key]))

    @property
    def graphs(self):
        return self._left("executables")

    @property
    def recorded_graphs(self):
        return self._left("graphs")

    @property
    def streams(self):
        return self._left("streams")


class OtherUser:
    """One that uses the driver and knows nothing of pycuda, with the primary context current in this thread."""

    def __init__(self, machine, device):
        self.machine, self.device, self.context = machine, device, ctypes.c_void_p()
        driver = machine.driver
        assert driver.cuDevicePrimaryCtxRetain(ctypes.byref(self.context), device) == 0
        assert driver.cuCtxPushCurrent_v2(self.context) == 0
        self.address = machine.allocate(64)
        ctypes.memmove(driver.double_at(self.address, 64), bytes(range(64)), 64)

    def works(self):
        """Return whether its context is still current here and its memory untouched."""
        memory = self.machine.driver.double_at(self.address, 64)
        return (self.machine.need_context("other user") == self.context.value
                and ctypes.string_at(memory, 64) == bytes(range(64)))

    def close(self):
        self.machine.free(self.address, "of the other user")
        self.machine.driver.cuCtxPopCurrent_v2(None)
        self.machine.driver.cuDevicePrimaryCtxRelease_v2(self.device)


class Refusals(dict):
    """Results that functions of the driver give instead of working, by name."""

    def __init__(self, library):
        super().__init__()
        self._library = weakref.ref(library)

    def _set(self, name, result):
        # The driver knows the three ways to instantiate by one name.
        known = "cuGraphInstantiate" if "Instantiate" in name else name
        self._library().double_fail(known.encode(), result, 0)

    def __setitem__(self, name, result):
        self._set(name, int(result))
        super().__setitem__(name, result)

    def __delitem__(self, name):
        self._set(name, 0)
        super().__delitem__(name)

    def clear(self):
        for name in list(self):
            del self[name]
