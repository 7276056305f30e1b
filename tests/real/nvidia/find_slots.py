"""find_slots.py RELEASE OUT.json: which number each call of the bindings has in the table of its C++ class.

Every call of the real bindings is made once on an object that notes which of its virtual functions was called. What the
calls give back is of no interest here, and most raise.
"""
import ctypes
import json
import os
import sys
import warnings

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from real.nvidia import trap

warnings.simplefilter("ignore")
TEXT = ctypes.create_string_buffer(b"name")
POINTER = ctypes.addressof(TEXT)
# The bindings' own code calls these two, of IHostMemory, through no property or method.
DATA, TYPE = 2, 4
DIMS, OBJECT = "dims", "object"


class Slots:
    """The numbers found so far; `call` makes one call and notes the number of the virtual function that it used."""

    def __init__(self, release):
        self.library = trap.load_libraries(release)
        self.seen, self.answer, self.found = [], 0, {"IHostMemory.data": DATA, "IHostMemory.type": TYPE}
        self.handler = trap.HANDLER(self._called)
        self.library.trap_handler(self.handler)
        self.trt = trap.import_bindings(release)

    def _called(self, slot, a, b, c, d, e, f):
        self.seen.append(slot)
        if self.answer == DIMS:
            ctypes.memset(a, 0, 8)
            return a
        return self.library.trap_new() if self.answer == OBJECT else self.answer

    def call(self, name, function, answer=0):
        del self.seen[:]
        self.answer = answer
        try:
            value = function()
        except Exception as error:
            value = error
        if len(self.seen) == 1 and self.seen[0] >= 0:
            self.found[name] = self.seen[0]
        return value

    def members(self, owner, thing, names, answer=0):
        """Read properties, those that the release has."""
        for name in names.split():
            if hasattr(type(thing), name):
                self.call("{}.{}".format(owner, name), lambda name=name: getattr(thing, name), answer)

    def methods(self, owner, thing, names, *arguments, answer=0):
        for name in names.split():
            if hasattr(type(thing), name):
                self.call("{}.{}".format(owner, name), lambda name=name: getattr(thing, name)(*arguments), answer)

    def set(self, owner, thing, **values):
        for name, value in values.items():
            if hasattr(type(thing), name):
                self.call("{}.{}=".format(owner, name), lambda name=name, value=value: setattr(thing, name, value))

    def subclass(self, base, *methods):
        """Return an instance of a Python class derived from one of the bindings'."""
        body = {name: lambda self, *values: None for name in methods}
        body["__init__"] = lambda self: base.__init__(self)
        return type("Derived", (base,), body)()


def runtime_side(slots, logger):
    trt = slots.trt
    runtime = slots.call("Runtime()", lambda: trt.Runtime(logger), OBJECT)
    engine = slots.call("Runtime.deserialize_cuda_engine", lambda: runtime.deserialize_cuda_engine(b"x" * 64), OBJECT)
    slots.members("ICudaEngine", engine, "num_io_tensors num_bindings num_optimization_profiles "
                  "has_implicit_batch_dimension device_memory_size device_memory_size_v2", 1)
    slots.methods("ICudaEngine", engine, "get_tensor_name get_binding_name", 0, answer=POINTER)
    slots.methods("ICudaEngine", engine, "get_tensor_shape", "x", answer=DIMS)
    slots.methods("ICudaEngine", engine, "get_binding_shape", 0, answer=DIMS)
    slots.methods("ICudaEngine", engine, "get_tensor_dtype get_tensor_format get_tensor_location get_tensor_mode", "x")
    slots.methods("ICudaEngine", engine, "get_binding_dtype get_binding_format get_location binding_is_input", 0)
    context = slots.call("ICudaEngine.create_execution_context", engine.create_execution_context, OBJECT)
    inspector = slots.call("ICudaEngine.create_engine_inspector", engine.create_engine_inspector, OBJECT)
    slots.methods("EngineInspector", inspector, "get_engine_information", trt.LayerInformationFormat.JSON,
                  answer=POINTER)
    slots.set("IExecutionContext", context, profiler=slots.subclass(trt.IProfiler, "report_layer_time"))
    slots.methods("IExecutionContext", context, "set_tensor_address", "x", 512, answer=1)
    slots.methods("IExecutionContext", context, "execute_async_v3", 512, answer=1)
    slots.methods("IExecutionContext", context, "execute_async_v2", [1, 2], 512, answer=1)


def builder_side(slots, logger):
    trt = slots.trt
    builder = slots.call("Builder()", lambda: trt.Builder(logger), OBJECT)
    network = slots.call("Builder.create_network", lambda: builder.create_network(0), OBJECT)
    config = slots.call("Builder.create_builder_config", builder.create_builder_config, OBJECT)
    memory = slots.call("Builder.build_serialized_network", lambda: builder.build_serialized_network(network, config),
                        OBJECT)
    slots.members("IHostMemory", memory, "nbytes", 5)
    slots.methods("IBuilderConfig", config, "set_flag", trt.BuilderFlag.TF32)
    slots.methods("IBuilderConfig", config, "set_memory_pool_limit", trt.MemoryPoolType.WORKSPACE, 1 << 30)
    slots.set("IBuilderConfig", config, max_workspace_size=1 << 30, builder_optimization_level=3,
              profiling_verbosity=trt.ProfilingVerbosity.DETAILED)
    slots.methods("IBuilderConfig", config, "get_tactic_sources", answer=31)
    slots.methods("IBuilderConfig", config, "set_tactic_sources", 3, answer=1)
    cache = slots.call("IBuilderConfig.create_timing_cache", lambda: config.create_timing_cache(b""), OBJECT)
    slots.methods("IBuilderConfig", config, "set_timing_cache", cache, False, answer=1)
    slots.methods("IBuilderConfig", config, "get_timing_cache", answer=OBJECT)
    slots.methods("ITimingCache", cache, "serialize", answer=OBJECT)
    if hasattr(trt, "IProgressMonitor"):
        slots.set("IBuilderConfig", config, progress_monitor=slots.subclass(
            trt.IProgressMonitor, "phase_start", "phase_finish", "step_complete"))
    parser = slots.call("OnnxParser()", lambda: trt.OnnxParser(network, logger), OBJECT)
    slots.methods("OnnxParser", parser, "parse", b"abc")
    slots.members("OnnxParser", parser, "num_errors", 1)
    error = slots.call("OnnxParser.get_error", lambda: parser.get_error(0), OBJECT)
    slots.methods("ParserError", error, "desc node_name node_operator", answer=POINTER)
    slots.methods("ParserError", error, "node", answer=3)
    slots.members("INetworkDefinition", network, "num_layers", 1)
    layer = slots.call("INetworkDefinition.get_layer", lambda: network.get_layer(0), OBJECT)
    slots.members("ILayer", layer, "name metadata", POINTER)
    slots.members("ILayer", layer, "type num_inputs num_outputs", 1)
    tensor = slots.call("ILayer.get_output", lambda: layer.get_output(0), OBJECT)
    slots.methods("ILayer", layer, "get_input", 0, answer=OBJECT)
    slots.set("ILayer", layer, precision=trt.DataType.FLOAT)
    slots.methods("ILayer", layer, "set_output_type", 0, trt.DataType.FLOAT)
    slots.members("ITensor", tensor, "dtype is_shape_tensor")
    slots.members("ITensor", tensor, "shape", DIMS)
    layer.__class__ = trt.IConvolutionLayer
    slots.members("IConvolutionLayer", layer, "num_groups", 4)
    slots.members("IConvolutionLayer", layer, "kernel_size_nd", DIMS)


def main(release, out):
    slots = Slots(release)
    logger = slots.subclass(slots.trt.ILogger, "log")
    runtime_side(slots, logger)
    builder_side(slots, logger)
    with open(out, "w") as stream:
        json.dump(slots.found, stream, indent=1, sort_keys=True)
    # The objects are not TensorRT's: nothing may be destroyed.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
