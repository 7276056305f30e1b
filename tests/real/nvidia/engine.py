"""TensorRT's runtime below the real bindings: it runs the plans of tests/doubles on the driver of `driver/`."""
import collections
import ctypes
import json

import numpy as np
from real.nvidia.driver_library import HOST_FUNCTION, WORD
from real.nvidia.trap import Object, function

LAUNCH_MS = 1.0
_REPORT = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_float)
_TYPES = {"float32": "FLOAT", "float16": "HALF", "int8": "INT8", "int32": "INT32", "bool": "BOOL", "uint8": "UINT8",
          "int64": "INT64"}
_ABSENT = "Neither address or allocator is set for an output tensor"


def text_at(address):
    return ctypes.string_at(address).decode()


class Runtime(Object):
    kind = "Runtime"

    def __init__(self, below, logger):
        super().__init__(below)
        self.logger = logger

    def deserialize_cuda_engine(self, blob, size, *rest):
        from doubles.tensorrt_runtime_double import VERSIONS

        self.below.machine.need_context("deserialize_cuda_engine")
        data = ctypes.string_at(blob, size)
        expected, found = VERSIONS[self.below.release], ".".join(str(number) for number in data[24:28])
        if found != expected:
            self.below.log(self.logger, "ERROR", "The engine plan file is not compatible with this version of TensorRT,"
                           " expecting library version {} got {},\nplease rebuild.".format(expected, found))
            return None
        description, _, onnx = data[28:].partition(b"\n")
        return Engine(self.below, json.loads(description.decode()), onnx, self.logger)

    def destroyed(self):
        self.below.machine.log.append("runtime")


class Engine(Object):
    kind = "ICudaEngine"

    def __init__(self, below, description, onnx, logger):
        from doubles.tensorrt_runtime_double import network

        super().__init__(below)
        self.network, self.logger = network(onnx), logger
        self.changes = description["changes"]
        self.order = description["order"] or list(self.network.specs)
        self.memory = below.machine.allocate(4096)
        below.machine.engine = self

    def destroyed(self):
        self.below.machine.log.append("engine")
        self.below.machine.free(self.memory, "an engine was destroyed without its context")

    def _number(self, enumeration, name):
        return int(getattr(getattr(self.below.module, enumeration), name))

    def num_optimization_profiles(self, *rest):
        return self.changes.get("profiles", 1)

    def has_implicit_batch_dimension(self, *rest):
        return bool(self.changes.get("implicit_batch", False))

    def device_memory_size(self, *rest):
        return 5000000

    device_memory_size_v2 = device_memory_size

    def create_execution_context(self, *rest):
        return None if self.changes.get("context") is False else Context(self.below, self)

    # Named tensors, from 8.5 on.
    def num_io_tensors(self, *rest):
        return len(self.order)

    def get_tensor_name(self, index, *rest):
        return self.order[index & 0xffffffff]

    def get_tensor_shape(self, name, *rest):
        return self.changes.get("shape") or self.network.specs[text_at(name)][0]

    def get_tensor_dtype(self, name, *rest):
        return self._number("DataType", self.changes.get("dtype") or _TYPES[self.network.specs[text_at(name)][1]])

    def get_tensor_format(self, name, *rest):
        return self._number("TensorFormat", self.changes.get("layout", "LINEAR"))

    def get_tensor_location(self, name, *rest):
        return self._number("TensorLocation", self.changes.get("location", "DEVICE"))

    def get_tensor_mode(self, name, *rest):
        return self._number("TensorIOMode", "INPUT" if text_at(name) in self.network.inputs else "OUTPUT")

    # Of the numbered bindings of 8.6, the product reads only this one there.
    def num_bindings(self, *rest):
        return len(self.order) * self.num_optimization_profiles()


class Context(Object):
    kind = "IExecutionContext"

    def __init__(self, below, engine):
        super().__init__(below)
        self.engine, self.machine = engine, below.machine
        self.made_in = self.machine.need_context("create_execution_context")
        self.memory = self.machine.allocate(2048)
        self.addresses = {}
        self.recorded = []  # functions of captures: a graph may call them until the end
        self.waiting = {}  # functions in a stream
        self.done = collections.deque()
        self.profiler = 0
        self.ran = self.tripped = self.busy = False
        engine.context = self

    def destroyed(self):
        self.machine.log.append("execution context")
        self.machine.free(self.memory, "a context was destroyed without its CUDA context")
        if self.recorded or len(self.done) < len(self.waiting):
            self.machine.keep((self.recorded, self.waiting))

    def profiler_is(self, profiler, *rest):
        self.machine.need_context("setProfiler")
        self.profiler = profiler

    def set_tensor_address(self, name, address, *rest):
        if text_at(name) not in self.engine.order:
            self._log("given invalid tensor name: " + text_at(name))
            return False
        self.addresses[text_at(name)] = address
        return True

    def execute_async_v3(self, stream, *rest):
        if self.busy:
            self.machine.errors.append("two threads in one execution context")
        self.busy = True
        try:
            return self.machine.enqueue(self, dict(self.addresses), stream)
        finally:
            self.busy = False

    def execute_async_v2(self, bindings, stream, *rest):
        found = (WORD * len(self.engine.order)).from_address(bindings)
        self.addresses = dict(zip(self.engine.order, found))
        return self.execute_async_v3(stream)

    def _log(self, text):
        self.below.log(self.engine.logger, "ERROR", text)

    def enqueue_alone(self, addresses, stream):
        """Put one inference into a stream; what is refused here is logged as TensorRT does."""
        machine, changes = self.machine, self.engine.changes
        refusal = changes.get("refusal")
        if machine.need_context("enqueue") != self.made_in:
            refusal = "Cuda Runtime (invalid resource handle)"
        if set(addresses) != set(self.engine.network.specs):
            refusal = _ABSENT
        if refusal:
            self._log(refusal)
            return False
        capturing = bool(machine.driver.double_is_capturing(stream))
        if capturing and not self._can_be_captured(changes, stream):
            return False
        if not capturing:
            machine.driver.double_log(b"plain")
            if self.tripped:
                # As the CUDA runtime does, whose last error stays until somebody asks for it.
                self.tripped = False
                self._log("Cuda Runtime (operation not permitted)")
                return False
        elif changes.get("capture") == "forgets":
            return True
        self._launch(addresses, stream, capturing)
        if not capturing and self.profiler:
            report = function(self.profiler, self.below.interface, _REPORT)
            for name, ms in changes.get("layers", ()):
                report(self.profiler, name.encode(), ms)
        self.ran = True
        return True

    def _at(self, addresses, name):
        shape, dtype = self.engine.network.specs[name]
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        start = self.machine.driver.double_at(addresses[name], size)
        if not start:
            self.machine.driver.double_break(700)
            raise MemoryError("illegal address of " + name)
        return np.frombuffer((ctypes.c_char * size).from_address(start), dtype).reshape(shape)

    def _launch(self, addresses, stream, capturing):
        network, machine = self.engine.network, self.machine

        def launch(_):
            try:
                inputs = {name: self._at(addresses, name).copy() for name in network.inputs}
                for name, value in network.run(inputs).items():
                    self._at(addresses, name)[...] = value
            except MemoryError:
                pass  # the stream has a lasting error now
            if not capturing:
                self.done.append(id(wrapped))

        wrapped = HOST_FUNCTION(launch)
        if capturing:
            self.recorded.append(wrapped)
        else:
            self.waiting[id(wrapped)] = wrapped
        # Not the newest one: its call may not have returned yet.
        while len(self.done) > 64:
            self.waiting.pop(self.done.popleft(), None)
        mapped = [name in network.inputs for name in addresses if machine.driver.double_is_mapped(addresses[name])]
        cost_ms = LAUNCH_MS + machine.mapped_input_ms * (True in mapped) + machine.mapped_output_ms * (False in mapped)
        machine.driver.double_launch(stream, wrapped, None, cost_ms)

    def _can_be_captured(self, changes, stream):
        how = changes.get("capture")
        # The first run of TensorRT allocates.
        allocates = how == "allocates" or not self.ran
        if allocates and self.machine.driver.cuMemAlloc_v2(ctypes.byref(WORD()), ctypes.c_size_t(64)) != 0:
            self._log("cuMemAlloc failed: operation not permitted when stream is capturing")
            return False
        if how in ("refuses", "trips"):
            self.machine.driver.cuStreamQuery(ctypes.c_void_p(stream))  # spoils it
            self.tripped = how == "trips"
            self._log("this network has a loop")
            return False
        return True
