"""A double of the part of `tensorrt` that runs plans, for one chosen release, on the machine of `cuda_machine`.

It proves that our code asks for the right things; it proves nothing about TensorRT.

The classes have exactly the members of that release (tests/data/trt_python_api.json, from NVIDIA's bindings).
A plan of it is a plan's header with the network behind it, and running one runs the network on the processor: on
the device addresses that were given, and only when the stream gets that far. So a wrong order of bindings, a
wrong size, a stale buffer or a missing synchronisation gives wrong numbers or a CUDA error.

Not in the table and taken for granted in all releases, as TensorRT's documentation has them: `ILogger.Severity`,
`TensorFormat`, and the release numbers.
"""
import enum
import hashlib
import json
import os
import struct
import time
import types
import weakref

import numpy as np
from paths import DATA

VERSIONS = {"8.0": "8.0.1.6", "8.2": "8.2.1.8", "8.4": "8.4.3.1", "8.5": "8.5.3.1", "8.6": "8.6.1.6",
            "9.3": "9.3.0.1", "10.0": "10.0.1.6", "10.3": "10.3.0.26", "10.7": "10.7.0.23", "10.13": "10.13.3.9",
            "10.16": "10.16.1.11", "11.1": "11.1.0.106", "11.4": "11.4.0.106"}
LAUNCH_MS = 1.0
_SERIALS = {"8.2": 205, "8.4": 213, "8.5": 232}
_TABLE = os.path.join(DATA, "trt_python_api.json")
_TYPES = {"float32": "FLOAT", "float16": "HALF", "int8": "INT8", "int32": "INT32", "bool": "BOOL",
          "uint8": "UINT8"}
_NUMPY = {"tensor(float)": "float32", "tensor(uint8)": "uint8", "tensor(int32)": "int32"}
_loaded = {}


def plan_bytes(release, onnx_path=None, order=None, **changes):
    """Return a plan.

    Args:
        release: key of `VERSIONS`.
        onnx_path: network to run in ONNX Runtime; by default the two-headed one of `TwoHeads`.
        order: names of inputs and outputs in the engine's order; by default inputs first.
        changes: what the engine says that is not so by itself: `profiles`, `implicit_batch`, `shape` of the
            first tensor, `dtype` of all, `layout`, `location`, `context` (False: no execution context), `capture`
            (what running it inside a capture does: "allocates", "refuses", "forgets" or "trips").
    """
    onnx = b""
    if onnx_path is not None:
        with open(onnx_path, "rb") as stream:
            onnx = stream.read()
    body = json.dumps({"order": order, "changes": changes}).encode() + b"\n" + onnx
    version = VERSIONS[release]
    header = b"ftrt" + struct.pack("<III", 0, _SERIALS.get(release, 240), 0) + struct.pack("<Q", len(body))
    return header + bytes(int(part) for part in version.split(".")) + body


class TwoHeads:
    """image [1, 3, 4, 5] to sums [1, 3] over each channel and to scores [1, 3], which are 1 minus twice the sums."""

    specs = {"image": ((1, 3, 4, 5), "float32"), "sums": ((1, 3), "float32"), "scores": ((1, 3), "float32")}
    inputs = ("image",)

    def run(self, arrays):
        sums = arrays["image"].sum(axis=(2, 3), dtype=np.float32)
        return {"sums": sums, "scores": np.float32(1) - 2 * sums}


class OnnxNetwork:
    def __init__(self, data):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        nodes = list(self.session.get_inputs()) + list(self.session.get_outputs())
        self.specs = {node.name: (tuple(node.shape), _NUMPY[node.type]) for node in nodes}
        self.inputs = tuple(node.name for node in self.session.get_inputs())

    def run(self, arrays):
        names = [name for name in self.specs if name not in self.inputs]
        return dict(zip(names, self.session.run(names, arrays)))


def network(onnx):
    """Return the network of a plan: that of an ONNX file, or for nothing the two-headed one."""
    key = hashlib.sha256(onnx).hexdigest()
    if key not in _loaded:
        _loaded[key] = OnnxNetwork(onnx) if onnx else TwoHeads()
    return _loaded[key]


def make_tensorrt(release, machine):
    """Return the module ``tensorrt`` of a release; its engines live on `machine` (`cuda_machine.Machine`)."""
    with open(_TABLE) as stream:
        table = json.load(stream)[release]
    module = types.ModuleType("tensorrt")
    module.__version__ = VERSIONS[release]
    for name in ("DataType", "TensorIOMode", "TensorLocation"):
        if name in table:
            setattr(module, name, enum.Enum(name, table[name][1:]))
    module.TensorFormat = enum.Enum("TensorFormat", ["LINEAR", "CHW4", "HWC8"])
    module.ILogger = Logger
    module.init_libnvinfer_plugins = lambda logger, namespace: _register_plugins(machine, logger, namespace)
    for name, behaviour in (("Runtime", Runtime), ("ICudaEngine", Engine), ("IExecutionContext", ExecutionContext),
                            ("IProfiler", Profiler)):
        setattr(module, name, restricted(name, behaviour, table[name][1:], module, machine))
    return module


def _register_plugins(machine, logger, namespace):
    machine.plugins.append(namespace)
    machine.plugin_logger = weakref.ref(logger)  # NVIDIA's library has a bare pointer, and keeps it
    return True


def restricted(name, behaviour, members, module, machine):
    """Return a class with exactly `members`, done as in `behaviour` where that does them."""
    body = {key: value for key, value in vars(behaviour).items() if key.startswith("_") and key != "__dict__"}
    for member in members:
        if not member.startswith("_"):
            body[member] = vars(behaviour).get(member, _not_done(name, member))
    return type(name, (), dict(body, _trt=module, _machine=machine))


def _not_done(owner, member):
    def missing(self):
        raise NotImplementedError("the double has no behaviour for {}.{}".format(owner, member))
    return property(missing)


class Logger:
    Severity = enum.Enum("Severity", ["INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE"])

    def __init__(self):
        self._ready = True


class Profiler:
    def __init__(self):
        self._ready = True


class Runtime:
    def __init__(self, logger):
        # pybind refuses a logger whose base was not initialised.
        if not getattr(logger, "_ready", False):
            raise TypeError("Logger.__init__() must be called when overriding __init__")
        self._logger = logger
        logger.log(Logger.Severity.WARNING, "a warning that is nobody's business")
        if self._machine.refuses_runtime is not None:
            severity, text = self._machine.refuses_runtime
            logger.log(Logger.Severity[severity], text)
            raise TypeError("pybind11::init(): factory function returned nullptr")

    def deserialize_cuda_engine(self, serialized_engine):
        self._machine.current("deserialize_cuda_engine")
        data = bytes(serialized_engine)
        expected = self._trt.__version__
        found = ".".join(str(number) for number in data[24:28])
        if found != expected:
            self._logger.log(Logger.Severity.ERROR, "The engine plan file is not compatible with this version of "
                             "TensorRT, expecting library version {} got {},\nplease rebuild.".format(expected, found))
            return None
        description, _, onnx = data[28:].partition(b"\n")
        return self._trt.ICudaEngine(json.loads(description.decode()), network(onnx), self._logger)

    def __del__(self):
        self._machine.log.append("runtime")


class Engine:
    def __init__(self, description, network, logger):
        self._network = network
        self._logger = logger
        self._changes = description["changes"]
        self._order = description["order"] or list(network.specs)
        self._memory = self._machine.allocate(4096)

    def __del__(self):
        self._machine.log.append("engine")
        try:
            self._machine.free(self._memory)
        except Exception as error:
            self._machine.blame("an engine was destroyed without its context: {}".format(error))

    @property
    def num_optimization_profiles(self):
        return self._changes.get("profiles", 1)

    @property
    def has_implicit_batch_dimension(self):
        if not hasattr(self, "num_bindings"):
            self._machine.violations.append("DeprecationWarning: has_implicit_batch_dimension")
        return self._changes.get("implicit_batch", False)

    @property
    def device_memory_size(self):
        if hasattr(type(self), "device_memory_size_v2"):
            self._machine.violations.append("DeprecationWarning: device_memory_size")
        return 5000000

    @property
    def device_memory_size_v2(self):
        return 5000000

    def create_execution_context(self):
        return None if self._changes.get("context") is False else self._trt.IExecutionContext(self)

    def _shape(self, name):
        return self._changes.get("shape") or list(self._network.specs[name][0])

    def _dtype(self, name):
        return self._trt.DataType[self._changes.get("dtype") or _TYPES[self._network.specs[name][1]]]

    def _format(self):
        return self._trt.TensorFormat[self._changes.get("layout", "LINEAR")]

    def _location(self):
        return self._trt.TensorLocation[self._changes.get("location", "DEVICE")]

    # Numbered bindings, up to 9.x.
    @property
    def num_bindings(self):
        return len(self._order) * self.num_optimization_profiles

    def get_binding_name(self, index):
        return self._order[index]

    def get_binding_shape(self, index):
        return self._shape(self._order[index])

    def get_binding_dtype(self, index):
        return self._dtype(self._order[index])

    def get_binding_format(self, index):
        return self._format()

    def get_location(self, index):
        return self._location()

    def binding_is_input(self, index):
        return self._order[index] in self._network.inputs

    # Named tensors, from 8.5 on.
    @property
    def num_io_tensors(self):
        return len(self._order)

    def get_tensor_name(self, index):
        return self._order[index]

    def get_tensor_shape(self, name):
        return self._shape(name)

    def get_tensor_dtype(self, name):
        return self._dtype(name)

    def get_tensor_format(self, name):
        return self._format()

    def get_tensor_location(self, name):
        return self._location()

    def get_tensor_mode(self, name):
        return self._trt.TensorIOMode["INPUT" if name in self._network.inputs else "OUTPUT"]


class ExecutionContext:
    def __init__(self, engine):
        self._engine = engine
        self._made_in = self._machine.current("create_execution_context")
        self._memory = self._machine.allocate(2048)
        self._addresses = {}
        self._busy = False
        self._profiler = None
        self._ran = False
        self._tripped = False

    @property
    def profiler(self):
        return self._profiler

    @profiler.setter
    def profiler(self, value):
        # pybind refuses one whose base was not initialised.
        if value is not None and not getattr(value, "_ready", False):
            raise TypeError("IProfiler.__init__() must be called when overriding __init__")
        self._machine.current("setProfiler")  # without a context, the CUDA runtime would make one current for good
        self._profiler = value

    def __del__(self):
        self._machine.log.append("execution context")
        try:
            self._machine.free(self._memory)
        except Exception as error:
            self._machine.blame("a context was destroyed without its CUDA context: {}".format(error))

    def set_tensor_address(self, name, memory):
        if name not in self._engine._order:
            self._engine._logger.log(Logger.Severity.ERROR, "given invalid tensor name: {}".format(name))
            return False
        self._addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle):
        return self._enqueue(dict(self._addresses), stream_handle)

    def execute_async_v2(self, bindings, stream_handle, input_consumed=None):
        if len(bindings) != len(self._engine._order):
            raise ValueError("{} bindings expected".format(len(self._engine._order)))
        return self._enqueue(dict(zip(self._engine._order, bindings)), stream_handle)

    def _enqueue(self, addresses, stream_handle):
        if self._busy:
            self._machine.violations.append("two threads in one execution context")
        self._busy = True
        if self._machine.plugin_logger is not None and self._machine.plugin_logger() is None:
            self._machine.violations.append("the plugins' logger is gone, and they use it")
        time.sleep(0)  # lets another thread come in, as the real one does, which gives the interpreter lock away
        try:
            return self._enqueue_alone(addresses, stream_handle)
        finally:
            self._busy = False

    def _enqueue_alone(self, addresses, stream_handle):
        machine, network = self._machine, self._engine._network
        refusal = self._engine._changes.get("refusal")
        if machine.current("enqueue") is not self._made_in:
            refusal = "Cuda Runtime (invalid resource handle)"
        if set(addresses) != set(network.specs):
            refusal = "Neither address or allocator is set for an output tensor"
        if refusal:
            self._engine._logger.log(Logger.Severity.ERROR, refusal)
            return False

        queue = machine.streams[stream_handle]
        if queue.capture is not None and not self._can_be_captured(queue.capture):
            return False

        def at(name):
            shape, dtype = network.specs[name]
            count = int(np.prod(shape))
            view = machine.at(addresses[name], count * np.dtype(dtype).itemsize)
            return np.frombuffer(view, dtype).reshape(shape)

        def launch():
            outputs = network.run({name: at(name).copy() for name in network.inputs})
            for name, value in outputs.items():
                at(name)[...] = value

        mapped = [name in network.inputs for name in addresses if addresses[name] in machine.mapped_memory]
        cost_ms = LAUNCH_MS + machine.mapped_input_ms * (True in mapped) + machine.mapped_output_ms * (False in mapped)
        if queue.capture is None:
            machine.launches.append("plain")
            if self._tripped:
                # As the CUDA runtime does, whose last error stays until somebody asks for it.
                self._tripped = False
                self._engine._logger.log(Logger.Severity.ERROR, "Cuda Runtime (operation not permitted)")
                return False
        elif self._engine._changes.get("capture") == "forgets":
            return True
        queue.put(launch, cost_ms, "enqueue")
        if queue.capture is None and self._profiler is not None:
            for name, ms in self._engine._changes.get("layers", ()):
                self._profiler.report_layer_time(name, ms)
        self._ran = True
        return True

    def _can_be_captured(self, capture):
        how = self._engine._changes.get("capture")
        if how == "allocates" or not self._ran:
            # The first run of TensorRT allocates.
            try:
                self._machine.allocate(64)
            except Exception as error:
                self._engine._logger.log(Logger.Severity.ERROR, str(error))
                return False
        if how in ("refuses", "trips"):
            capture.spoilt = True
            self._tripped = how == "trips"
            self._engine._logger.log(Logger.Severity.ERROR, "this network has a loop")
            return False
        return True
