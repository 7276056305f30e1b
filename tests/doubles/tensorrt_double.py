"""A double of the `tensorrt` module for one chosen release. It proves nothing about TensorRT.

`make("8.2")` returns a module that exposes exactly the classes and members of that release
(tests/data/trt_python_api.json, from NVIDIA's bindings), so code that reaches for a member which the release
lacks gets the AttributeError that it would get there. Behind them is as much behaviour as the builder needs, to
see whether our code asks for the right things: it parses node names and types, keeps what it was told, applies
the rules that make real builds fail, and writes a "plan" that is a header with JSON behind it. No kernel is
chosen and nothing can run.

Where real releases differ in behaviour the double does too, on purpose for code that hard-codes numbers:
the bits of the network's creation flags, the need for EXPLICIT_BATCH, the workspace of 0 bytes, the keys of the
engine inspector's JSON. Two things are not in the table and are taken for granted in all releases, as TensorRT's
documentation has them: `IConvolutionLayer` and the severities of the loggers.
"""
import enum
import importlib.machinery
import json
import os
import struct
import types

from doubles import onnx_reader
from paths import DATA

RELEASES = {"8.0": "8.0.1.6", "8.2": "8.2.1.8", "8.5": "8.5.2.2", "8.6": "8.6.2.3", "10.3": "10.3.0.30",
            "10.13": "10.13.3.9", "11.1": "11.1.0.106"}
_TABLE = os.path.join(DATA, "trt_python_api.json")
# Numbers of the flags' bits, which changed meaning (NvInfer.h of each release); 8.x and 9.x had EXPLICIT_PRECISION.
_CREATION_BITS = {8: ["EXPLICIT_BATCH", "EXPLICIT_PRECISION"], 10: ["EXPLICIT_BATCH", "STRONGLY_TYPED"],
                  11: ["STRONGLY_TYPED", "PREFER_JIT_PYTHON_PLUGINS"]}
_SERIALS = {"8.2": 205, "8.5": 232}
_KINDS = {"Conv": "CONVOLUTION", "MatMul": "MATRIX_MULTIPLY", "Softmax": "SOFTMAX", "GlobalAveragePool": "POOLING",
          "Flatten": "SHUFFLE", "Reshape": "SHUFFLE", "Transpose": "SHUFFLE", "Cast": "IDENTITY", "Shape": "SHAPE",
          "Constant": "CONSTANT", "ReduceMean": "REDUCE", "ReduceSum": "REDUCE", "Sqrt": "UNARY", "Erf": "UNARY",
          "Split": "SLICE", "Pad": "SLICE", "Concat": "CONCATENATION", "ArgMax": "TOPK",
          "EfficientNMS_TRT": "PLUGIN_V2"}
_UNSUPPORTED = {"NotAnOperator"}
CACHE_TAG = b"timing cache of the double\n"


def make(release, gpu=True, out_of_memory=False, ignore_fp16=False, names_only=False, runs=False):
    """Return a new module.

    Args:
        release: a key of `RELEASES`.
        gpu: False makes `Builder` fail as it does without a driver.
        out_of_memory: every build fails for want of memory.
        ignore_fp16: the builder picks FP32 for everything all the same.
        names_only: the engine keeps no details of its layers.
        runs: the other double, `tensorrt_runtime_double`, runs the plans.
    """
    with open(_TABLE) as stream:
        table = json.load(stream)[release]
    module = types.ModuleType("tensorrt")
    module.__version__ = RELEASES[release]
    module.__spec__ = importlib.machinery.ModuleSpec("tensorrt", None)
    module.double = types.SimpleNamespace(
        release=release, major=int(release.split(".")[0]), number=tuple(int(part) for part in release.split(".")),
        gpu=gpu, out_of_memory=out_of_memory, ignore_fp16=ignore_fp16, names_only=names_only, runs=runs, graph=b"",
        configs=[], builds=0, plugins=False)
    module.init_libnvinfer_plugins = lambda logger, namespace: _register_plugins(module)
    for name, (kind, *members) in table.items():
        if "." not in name:
            setattr(module, name, _enum(module, name, members) if kind == "e" else _class(module, name, members))
    convolution = type("IConvolutionLayer", (module.ILayer,), {
        "_allowed": module.ILayer._allowed | {"kernel_size_nd", "num_output_maps", "num_groups"},
        "kernel_size_nd": property(lambda self: self._kernel), "num_groups": property(lambda self: self._groups),
        "num_output_maps": property(lambda self: self._maps)})
    module.IConvolutionLayer = convolution
    for severity in enum.Enum("Severity", ["INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE"]):
        # In 8.0 the enum was Logger's own; later it is ILogger's, which Logger derives from.
        setattr(module.Logger, severity.name, severity)
        if module.double.number >= (8, 2):
            setattr(module.ILogger, severity.name, severity)
    return module


def _register_plugins(module):
    module.double.plugins = True
    return True


def _enum(module, name, members):
    double = module.double
    numbers = {member: index + double.major for index, member in enumerate(members)}
    if name == "NetworkDefinitionCreationFlag":
        known = _CREATION_BITS[double.major]
        numbers = {member: known.index(member) if member in known else len(known) + index
                   for index, member in enumerate(members)}
    if name == "TacticSource":
        numbers = {member: index for index, member in enumerate(members)}

    made = enum.Enum(name, numbers)
    made.__int__ = lambda self: self.value
    made.__index__ = lambda self: self.value
    return made


class _Guarded:
    """An object with the members of one release and no others; names with an underscore are the double's own."""

    _allowed = frozenset()

    def __setattr__(self, name, value):
        # A Python class that derives from one of the bindings' may have attributes of its own.
        guarded = "_allowed" in type(self).__dict__
        if guarded and not name.startswith("_") and name not in self._allowed:
            raise AttributeError("{!r} object has no attribute {!r}".format(type(self).__name__, name))
        object.__setattr__(self, name, value)


def _class(module, name, members):
    implemented = IMPLEMENTED.get(name, {})
    body = {"_allowed": frozenset(members), "_trt": module}
    body.update((key, value) for key, value in implemented.items() if key.startswith("_"))
    for member in members:
        if member.startswith("__"):
            continue
        body[member] = implemented.get(member, _not_done(name, member))
    return type(name, (_Guarded,), body)


def _not_done(owner, member):
    def missing(self, *arguments, **named):
        raise NotImplementedError("the double has no behaviour for {}.{}".format(owner, member))
    return missing


def _log(logger, trt, severity, message):
    logger.log(getattr(trt.Logger, severity), message)


# --- builder and configuration ---------------------------------------------------------------------------------


def _builder_init(self, logger):
    if not self._trt.double.gpu:
        # 8.5 and 8.6 call it a warning (NVIDIA/TensorRT#2913).
        severity = "WARNING" if (8, 5) <= self._trt.double.number < (9, 0) else "ERROR"
        _log(logger, self._trt, severity, "CUDA initialization failure with error: 35")
        raise TypeError("pybind11::init(): factory function returned nullptr")
    self._logger = logger


def _create_network(self, flags=0):
    trt = self._trt
    bits = {member.value: member.name for member in trt.NetworkDefinitionCreationFlag}
    unknown = [bit for bit in range(32) if flags >> bit & 1 and bit not in bits]
    if unknown:
        raise ValueError("network creation flags have unknown bits {}".format(unknown))
    network = trt.INetworkDefinition()
    network._layers, network._outputs = [], []
    network._flags = {bits[bit] for bit in bits if flags >> bit & 1}
    network._typed = "STRONGLY_TYPED" in network._flags or trt.double.major >= 11
    return network


def _create_builder_config(self):
    config = self._trt.IBuilderConfig()
    config._flags, config._pools, config._cache, config._capabilities = set(), {}, None, []
    config._sources = sum(1 << int(source) for source in self._trt.TacticSource)
    for name, value in (("max_workspace_size", 0), ("progress_monitor", None), ("builder_optimization_level", 3),
                        ("profiling_verbosity", None)):
        if name in config._allowed:
            setattr(config, name, value)
    self._trt.double.configs.append(config)
    return config


def _build(self, network, config):
    trt, double = self._trt, self._trt.double
    double.builds += 1
    monitor = getattr(config, "progress_monitor", None)
    if monitor is not None:
        monitor.phase_start("Building engine", None, 1)
        monitor.step_complete("Building engine", 0)
        monitor.phase_finish("Building engine")
    problem = _problem(trt, network, config)
    if problem:
        _log(self._logger, trt, "ERROR", problem)
        return None
    layers = [_engine_layer(trt, layer, network, config) for layer in network._layers]
    if double.number < (8, 2):
        lines = [_old_line(item) for item in layers]
        _log(self._logger, trt, "VERBOSE", "\n".join(["Engine Layer Information:", *lines]))
    if config._cache is not None:
        for layer in network._layers:
            config._cache._entries.add(layer.name)
    plan = trt.IHostMemory()
    plan._data = _plan_bytes(double, layers, str(getattr(config, "profiling_verbosity", "")).endswith("DETAILED"))
    return plan


def _problem(trt, network, config):
    """Return the error of a build that a real builder would fail, None if it would not."""
    double = trt.double
    if double.out_of_memory:
        return "[defaultAllocator.cpp::allocate::20] Error Code 1: Cuda Runtime (out of memory)"
    if not network._layers:
        return "Error Code 4: Internal Error (Network must have at least one output)"
    workspace = config._pools.get("WORKSPACE", getattr(config, "max_workspace_size", 0) or 0)
    if workspace <= 0 and double.major < 10:
        said = "Error Code 10: Internal Error (Could not find any implementation for node {}.)"
        return said.format(network._layers[0].name)
    strict = config._flags & {"OBEY_PRECISION_CONSTRAINTS", "STRICT_TYPES"}
    for layer in network._layers:
        if strict and layer._pinned and any(_is_integer(trt, tensor) for tensor in layer._outputs_):
            return "Error Code 4: Internal Error (layer {}: FP32 output type for an integer or shape tensor)".format(
                layer.name)
    if network._typed and "FP16" in config._flags:
        return "Error Code 4: Internal Error (FP16 flag set on a strongly typed network)"
    return None


def _is_integer(trt, tensor):
    return tensor.dtype not in (trt.DataType.FLOAT, trt.DataType.HALF)


def _engine_layer(trt, layer, network, config):
    half = "HALF" if not trt.double.ignore_fp16 else "FLOAT"
    strict = bool(config._flags & {"OBEY_PRECISION_CONSTRAINTS", "STRICT_TYPES"})

    def kind_of(tensor, pinned):
        name = tensor.dtype.name
        if network._typed or name not in ("FLOAT", "HALF"):
            return name if name != "HALF" else half
        return "FLOAT" if "FP16" not in config._flags or (pinned and strict) else half

    kernel = getattr(layer, "_kernel", None)
    return {"name": layer.name, "kind": layer.type.name, "node": layer._node,
            "inputs": [kind_of(tensor, layer._pinned) for tensor in layer._inputs_],
            "outputs": [kind_of(tensor, layer._pinned) for tensor in layer._outputs_],
            "shapes": [list(tensor.shape) for tensor in layer._outputs_],
            "weights": layer._weights_count if kernel is not None else 0}


def _old_line(layer):
    words = {"HALF": "Half", "FLOAT": "Float"}
    sides = [", ".join("t{}[{}(1,1)]".format(index, words.get(kind, "Int32")) for index, kind in enumerate(layer[side]))
             for side in ("inputs", "outputs")]
    return "Layer({}): {}, Tactic: 0, {} -> {}".format(layer["kind"].title(), layer["name"], *sides)


def _plan_bytes(double, layers, detailed):
    payload = json.dumps({"layers": layers, "detailed": detailed and not double.names_only, "order": None,
                          "changes": {}}).encode()
    if double.runs:
        payload += b"\n" + double.graph
    version = bytes(int(part) for part in RELEASES[double.release].split("."))
    if double.number < (8, 6) and not double.runs:
        version = b"\0\0\0\0"  # these releases have something else there
    return struct.pack("<4sIIIQ4s", b"ftrt", 0, _SERIALS.get(double.release, 1), 0, len(payload), version) + payload


def _set_workspace_pool(self, pool, size):
    self._pools[pool.name] = size


def _set_compute(self, name):
    self._capabilities.append(name)


def _create_timing_cache(self, content):
    content = bytes(content)
    if content and not content.startswith(CACHE_TAG):
        return None
    cache = self._trt.ITimingCache()
    cache._entries = set(content[len(CACHE_TAG):].decode().split("\n")) - {""}
    return cache


def _set_timing_cache(self, cache, ignore_mismatch):
    if cache is None:
        raise TypeError("set_timing_cache(): incompatible function arguments")
    self._cache = cache
    return True


def _serialize_cache(self):
    memory = self._trt.IHostMemory()
    memory._data = CACHE_TAG + "\n".join(sorted(self._entries)).encode()
    return memory


# --- network and parser ------------------------------------------------------------------------------------------


def _parser_init(self, network, logger):
    self._network, self._logger, self._errors = network, logger, []


def _parse(self, data):
    trt, double = self._trt, self._trt.double
    double.graph = bytes(data)
    try:
        graph = onnx_reader.read(bytes(data))
    except ValueError as error:
        return _parse_error(self, "", "", 0, str(error))
    if double.major < 10 and "EXPLICIT_BATCH" not in self._network._flags:
        return _parse_error(self, "", "", 0, "This ONNX parser only supports networks with an explicit batch dimension")
    taken = set()
    for index, node in enumerate(graph.nodes):
        if node.op in _UNSUPPORTED:
            return _parse_error(self, node.name, node.op, index, "No importer registered for op: " + node.op)
        if node.op.endswith("_TRT") and not double.plugins:
            return _parse_error(self, node.name, node.op, index, "Plugin not found: " + node.op)
        self._network._layers.append(_layer(trt, graph, node, taken))
    self._network._outputs = list(graph.outputs)
    return True


def _parse_error(self, node, op, index, reason):
    error = self._trt.ParserError()
    error._node, error._op, error._index, error._reason = node, op, index, reason
    self._errors.append(error)
    return False


def _layer(trt, graph, node, taken):
    kind = _KINDS.get(node.op, "ELEMENTWISE")
    name, count = node.name, 0
    while name in taken:
        count += 1
        name = "{}_{}".format(node.name, count)
    taken.add(name)
    layer = trt.ILayer()
    layer._pinned = False
    layer._node = node.name
    for member, value in (("name", name), ("type", trt.LayerType[kind]), ("precision", None),
                          ("metadata", "[ONNX Layer: {}]".format(node.name))):
        if member in layer._allowed:
            object.__setattr__(layer, "_" + member, value)
    data = [tensor for tensor in node.inputs if tensor not in graph.initializers]
    layer._inputs_ = [_tensor(trt, tensor, graph) for tensor in (node.inputs if kind == "MATRIX_MULTIPLY" else data)]
    layer._outputs_ = [_tensor(trt, tensor, graph) for tensor in node.outputs]
    if kind == "CONVOLUTION":
        weights = graph.initializers[node.inputs[1]].shape
        layer._kernel, layer._maps = weights[2:], weights[0]
        layer._groups = node.attributes.get("group") or 1
        layer._weights_count = weights[0] * weights[1] * weights[2] * weights[3]
    return layer


def _tensor(trt, name, graph):
    known = graph.tensors.get(name, onnx_reader.Tensor(onnx_reader.FLOAT, ()))
    tensor = trt.ITensor()
    integers = "INT64" if "INT64" in trt.DataType.__members__ else "INT32"
    kind = {onnx_reader.FLOAT: "FLOAT", onnx_reader.HALF: "HALF", 9: "BOOL"}.get(known.dtype, integers)
    tensor._name, tensor._dtype, tensor._shape = name, trt.DataType[kind], tuple(known.shape)
    return tensor


def _set_output_type(self, index, dtype):
    if dtype != self._trt.DataType.FLOAT:
        raise AssertionError("only pins to FP32 are expected")
    self._pinned = True


def _set_precision(self, dtype):
    object.__setattr__(self, "_precision", dtype)


# --- runtime and inspector ---------------------------------------------------------------------------------------


def _runtime_init(self, logger):
    self._logger = logger


def _deserialize(self, data):
    data = bytes(data)
    if data[:4] != b"ftrt":
        _log(self._logger, self._trt, "ERROR", "Error Code 1: Serialization (magicTag does not match)")
        return None
    engine = self._trt.ICudaEngine()
    engine._content = json.loads(data[28:].partition(b"\n")[0].decode())
    return engine


def _create_inspector(self):
    inspector = self._trt.EngineInspector()
    inspector._content = self._content
    return inspector


def _engine_information(self, information_format):
    assert information_format == self._trt.LayerInformationFormat.JSON
    if not self._content["detailed"]:
        return json.dumps({"Layers": [layer["name"] for layer in self._content["layers"]]})
    new = self._trt.double.major >= 11
    data = {"Layers": [_inspected(self._trt.double, layer, new) for layer in self._content["layers"]]}
    data["I/O Tensors" if new else "Bindings"] = []
    return json.dumps(data)


def _inspected(double, layer, new):
    words = {"HALF": "Row major linear FP16 format", "FLOAT": "Row major linear FP32"}
    short = {"HALF": "Half", "FLOAT": "Float"}

    def tensor(kind):
        if new:
            return {"Name": "t", "Dimensions": [1], "Datatype": short.get(kind, "Int64"), "Format": "Row major linear"}
        return {"Name": "t", "Dimensions": [1], "Format/Datatype": words.get(kind, "Row major linear INT32")}

    fields = {"Name": layer["name"], "LayerType": layer["kind"].title(),
              "Inputs": [tensor(kind) for kind in layer["inputs"]],
              "Outputs": [tensor(kind) for kind in layer["outputs"]], "TacticValue": "0x0"}
    if layer["weights"]:
        fields["LayerType"] = "CaskConvolution"
        fields["Weights"] = {"Type": short[layer["outputs"][0]], "Count": layer["weights"]}
    if double.number >= (8, 6):
        fields["Metadata"] = "[ONNX Layer: {}]".format(layer["node"])
    return fields


def _read(name):
    return property(lambda self: getattr(self, name))


IMPLEMENTED = {
    "Builder": {"__init__": _builder_init, "create_network": _create_network,
                "create_builder_config": _create_builder_config, "build_serialized_network": _build},
    "IBuilderConfig": {
        "set_flag": lambda self, flag: self._flags.add(flag.name), "max_workspace_size": None, "progress_monitor": None,
        "builder_optimization_level": None, "profiling_verbosity": None, "set_memory_pool_limit": _set_workspace_pool,
        "create_timing_cache": _create_timing_cache, "set_timing_cache": _set_timing_cache,
        "get_timing_cache": lambda self: self._cache, "get_tactic_sources": lambda self: self._sources,
        "set_tactic_sources": lambda self, sources: object.__setattr__(self, "_sources", sources) or True},
    "ITimingCache": {"serialize": _serialize_cache},
    "IHostMemory": {"__bytes__": lambda self: self._data, "nbytes": property(lambda self: len(self._data))},
    "INetworkDefinition": {"num_layers": property(lambda self: len(self._layers)),
                           "get_layer": lambda self, index: self._layers[index]},
    "OnnxParser": {"__init__": _parser_init, "parse": _parse, "num_errors": property(lambda self: len(self._errors)),
                   "get_error": lambda self, index: self._errors[index]},
    "ParserError": {"node": lambda self: self._index, "desc": lambda self: self._reason,
                    "node_name": lambda self: self._node, "node_operator": lambda self: self._op},
    "ILayer": {"name": _read("_name"), "type": _read("_type"), "metadata": _read("_metadata"),
               "precision": property(lambda self: self._precision, _set_precision), "set_output_type": _set_output_type,
               "num_inputs": property(lambda self: len(self._inputs_)),
               "num_outputs": property(lambda self: len(self._outputs_)),
               "get_input": lambda self, index: self._inputs_[index],
               "get_output": lambda self, index: self._outputs_[index]},
    "ITensor": {"name": _read("_name"), "dtype": _read("_dtype"), "shape": _read("_shape"),
                "is_shape_tensor": False, "is_execution_tensor": True},
    "Runtime": {"__init__": _runtime_init, "deserialize_cuda_engine": _deserialize},
    "ICudaEngine": {"create_engine_inspector": _create_inspector},
    "EngineInspector": {"get_engine_information": _engine_information},
    "IProgressMonitor": {"__init__": lambda self: None},
    "ILogger": {"__init__": lambda self: None},
}
