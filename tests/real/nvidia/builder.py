"""TensorRT's builder side below the real bindings: objects that note each call and answer what a test put into them."""
import ctypes

from real.nvidia.machine import below
from real.nvidia.trap import Object


class Recorder(Object):
    """An object of one of TensorRT's classes that notes its calls and gives the answers of its constructor.

    An answer is a value, or a function of the call's words. What has no answer gives 0, as a setter does.
    """

    def __init__(self, machine, kind, **answers):
        super().__init__(machine.tensorrt)
        self.machine, self.kind, self.answers = machine, kind, answers

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*words):
            holds = ctypes.c_int.in_dll(self.machine.tensorrt.library, "trap_gil").value
            self.machine.calls.append((self.kind + "." + name, words, bool(holds)))
            answer = self.answers.get(name, 0)
            return answer(*words) if callable(answer) else answer

        return call

    def destroyed(self):
        self.machine.calls.append(("~" + self.kind, (), True))


class BuilderMachine:
    """A TensorRT that builds: what a builder, a parser and a runtime give, each to be replaced by a test.

    Attributes:
        calls: (name, words, whether Python's lock was held) of each call, the oldest first.
        engine: what deserialising gives.
        parses: whether the parser succeeds.
        has_gpu: False where TensorRT makes no builder and no runtime.
    """

    def __init__(self, release):
        self.tensorrt = below(release)
        self.tensorrt.machine = self
        self.trt = self.tensorrt.module
        self.calls, self.errors, self.kept = [], [], []
        self.parses, self.has_gpu, self.engine, self.logger = True, True, None, 0
        self.plan = b"planplan"
        self.layers = []
        self.config = self.make("IBuilderConfig", get_tactic_sources=0x1f, set_tactic_sources=1, set_timing_cache=1,
                                create_timing_cache=self.cache, get_timing_cache=self.cache)

    def make(self, kind, **answers):
        return Recorder(self, kind, **answers)

    def names(self):
        """Return the names of the calls since the last time, and forget them."""
        found = [name for name, _, _ in self.calls]
        del self.calls[:]
        return found

    def words(self, name):
        """Return the words of the newest call of a name."""
        return [words for found, words, _ in self.calls if found == name][-1]

    def memory(self, content):
        """Return an ``IHostMemory`` that holds bytes."""
        buffer = ctypes.create_string_buffer(content, len(content))
        self.kept.append(buffer)
        return self.make("IHostMemory", nbytes=len(content), data=ctypes.addressof(buffer),
                         type=int(self.trt.DataType.INT8))

    def cache(self, *words):
        return self.make("ITimingCache", serialize=lambda *_: self.memory(b"cache"))

    def tensor(self, shape, dtype="FLOAT", is_shape_tensor=False):
        return self.make("ITensor", dtype=int(getattr(self.trt.DataType, dtype)), shape=shape,
                         is_shape_tensor=is_shape_tensor)

    def layer(self, name, kind, inputs, outputs, **answers):
        """Return a function that makes an ``ILayer`` anew, as a new C++ object, from shapes or tensors' arguments."""
        def get(tensors):
            return lambda index, *_: self.tensor(*tensors[index & 0xffffffff])

        return lambda: self.make("ILayer", name=name, type=int(getattr(self.trt.LayerType, kind)),
                                 num_inputs=len(inputs), num_outputs=len(outputs), get_input=get(inputs),
                                 get_output=get(outputs), **answers)

    def new_builder(self, logger):
        self.logger = logger
        if not self.has_gpu:
            self.tensorrt.log(logger, "ERROR", "CUDA initialization failure with error: 35")
            return None
        network = self.make("INetworkDefinition", num_layers=lambda *_: len(self.layers),
                            get_layer=lambda index, *_: self.layers[index & 0xffffffff]())
        return self.make("Builder", create_network=lambda *_: network, create_builder_config=lambda *_: self.config,
                         build_serialized_network=lambda *_: None if self.plan is None else self.memory(self.plan))

    def new_runtime(self, logger):
        self.logger = logger
        if not self.has_gpu:
            self.tensorrt.log(logger, "WARNING", "CUDA initialization failure with error: 35")
            return None
        return self.make("Runtime", deserialize_cuda_engine=lambda *_: self.engine)

    def new_parser(self, network, logger):
        error = {"desc": "Assertion failed: x\n  y", "node": 7, "node_name": "/stages/conv", "node_operator": "Foo"}
        return self.make("OnnxParser", parse=lambda *_: self.parses, num_errors=2,
                         get_error=lambda *_: self.make("ParserError", **error))

    def register_plugins(self, logger, namespace):
        self.calls.append(("init_libnvinfer_plugins", (logger, namespace), True))
        return True
