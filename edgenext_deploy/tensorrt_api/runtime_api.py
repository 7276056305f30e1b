"""What differs between TensorRT releases when an engine runs.

Up to 8.4 tensors are numbered bindings, from 8.5 they have names, and from 10.0 the numbers are gone. Which of
the two an engine has is asked of the engine itself, with `hasattr`. Everything below works from 8.0 to 11.
"""
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from edgenext_deploy.artifacts.manifest import TensorSpec
from edgenext_deploy.errors import IncompatibleError, MissingRuntimeError
from edgenext_deploy.tensorrt_api.load import is_null_pointer, version_of, why_no_object

# numpy's name by the name of TensorRT's DataType; trt.nptype fails on 8.2 with numpy 1.24 and later.
_DTYPES = {"FLOAT": "float32", "HALF": "float16", "INT8": "int8", "INT32": "int32", "BOOL": "bool",
           "UINT8": "uint8", "INT64": "int64"}
_FIX = "build the plan again with edgenext-build"


class Tensor(NamedTuple):
    """One input or output of an engine."""

    spec: TensorSpec
    is_input: bool


def make_runtime(trt: Any, logger: Any) -> Any:
    """Return a ``Runtime``.

    Raises:
        MissingRuntimeError: TensorRT cannot use CUDA although the driver answers; most often the driver is too old.
    """
    try:
        return trt.Runtime(logger)
    except TypeError as error:
        if not is_null_pointer(error):
            raise
        raise MissingRuntimeError(
            "TensorRT {} cannot use the GPU: {}".format(version_of(trt), why_no_object(logger)),
            "update NVIDIA's driver: nvidia-smi shows the newest CUDA that it serves, and TensorRT needs the one that "
            "it was built with; or run the .onnx file, which needs no GPU") from error


class Execution:
    """An engine's execution context: its tensors, and how to start it. One thread at a time.

    Attributes:
        tensors: inputs and outputs in the engine's own order.
        api: ``bindings`` or ``named tensors``.
    """

    api: str
    tensors: Tuple[Tensor, ...]

    def __init__(self, engine: Any) -> None:
        self.tensors = self._read(engine)
        self._context: Optional[Any] = engine.create_execution_context()
        if self._context is None:
            raise IncompatibleError(
                "TensorRT cannot make an execution context, which takes {:.0f} MB of GPU memory".format(
                    _device_memory_bytes(engine) / 1e6), "close other programs that use the GPU")

    def enqueue(self, addresses: Dict[str, int], stream_handle: int) -> bool:
        """Put one inference into the stream.

        Args:
            addresses: device address of every tensor by name.
            stream_handle: of the CUDA stream.

        Returns:
            False when TensorRT refuses; the logger has the reason.
        """
        raise NotImplementedError

    def attach(self, profiler: Optional[Any]) -> None:
        """Have every layer's time reported to an ``IProfiler``, until None is attached.

        Every inference then waits for the GPU. TensorRT holds a bare pointer: `profiler` has to outlive it.
        """
        assert self._context is not None
        self._context.profiler = profiler

    def close(self) -> None:
        """Destroy the execution context."""
        self._context = None

    def _read(self, engine: Any) -> Tuple[Tensor, ...]:
        # No comprehension here or below: where it fails, the traceback's closure would keep the engine alive.
        raise NotImplementedError


class _Bindings(Execution):
    """TensorRT 8.0 to 8.4: numbered bindings."""

    api = "bindings"

    def enqueue(self, addresses: Dict[str, int], stream_handle: int) -> bool:
        bindings = [addresses[tensor.spec.name] for tensor in self.tensors]
        assert self._context is not None
        return bool(self._context.execute_async_v2(bindings, stream_handle))

    def _read(self, engine: Any) -> Tuple[Tensor, ...]:
        found = []
        for index in range(engine.num_bindings):
            found.append(_tensor(
                engine.get_binding_name(index), engine.get_binding_shape(index), engine.get_binding_dtype(index),
                engine.get_binding_format(index), engine.get_location(index), engine.binding_is_input(index)))
        return tuple(found)


class _NamedTensors(Execution):
    """TensorRT 8.5 and later."""

    api = "named tensors"

    def __init__(self, engine: Any) -> None:
        super().__init__(engine)
        self._bound: Optional[Dict[str, int]] = None

    def enqueue(self, addresses: Dict[str, int], stream_handle: int) -> bool:
        context = self._context
        assert context is not None
        if addresses is not self._bound:
            self._bound = None
            for tensor in self.tensors:
                if not context.set_tensor_address(tensor.spec.name, addresses[tensor.spec.name]):
                    return False
            self._bound = addresses
        return bool(context.execute_async_v3(stream_handle))

    def _read(self, engine: Any) -> Tuple[Tensor, ...]:
        found = []
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            found.append(_tensor(
                name, engine.get_tensor_shape(name), engine.get_tensor_dtype(name), engine.get_tensor_format(name),
                engine.get_tensor_location(name), engine.get_tensor_mode(name).name == "INPUT"))
        return tuple(found)


def open_execution(engine: Any) -> Execution:
    """Return the engine's execution context behind the interface that its release has.

    Raises:
        IncompatibleError: the engine has dynamic shapes, an implicit batch, several optimisation profiles, a type
            or a memory format that is not supported, or there is no memory for it.
    """
    # Releases without bindings (from 10.0) build no such plan, and warn whoever asks.
    if hasattr(type(engine), "num_bindings") and engine.has_implicit_batch_dimension:
        raise IncompatibleError("the plan has an implicit batch dimension", _FIX)
    if engine.num_optimization_profiles > 1:
        raise IncompatibleError("the plan has {} optimisation profiles, 1 expected".format(
            engine.num_optimization_profiles), _FIX)
    return _NamedTensors(engine) if hasattr(engine, "num_io_tensors") else _Bindings(engine)


def split(tensors: Tuple[Tensor, ...]) -> Tuple[Tuple[TensorSpec, ...], Tuple[TensorSpec, ...]]:
    """Return the specs of inputs and of outputs, each in the engine's order."""
    inputs: List[TensorSpec] = [tensor.spec for tensor in tensors if tensor.is_input]
    return tuple(inputs), tuple(tensor.spec for tensor in tensors if not tensor.is_input)


def _tensor(name: str, shape: Any, dtype: Any, layout: Any, location: Any, is_input: bool) -> Tensor:
    sizes = tuple(int(size) for size in shape)
    if any(size < 1 for size in sizes):
        raise IncompatibleError("tensor {!r} has shape {}, fixed sizes expected".format(name, list(sizes)), _FIX)
    if dtype.name not in _DTYPES:
        raise IncompatibleError("tensor {!r} is of type {}, one of {} expected".format(
            name, dtype.name, ", ".join(_DTYPES)), _FIX)
    if layout.name != "LINEAR" or location.name != "DEVICE":
        raise IncompatibleError("tensor {!r} has format {} in {} memory, LINEAR in DEVICE memory expected".format(
            name, layout.name, location.name), _FIX)
    return Tensor(TensorSpec(name, sizes, _DTYPES[dtype.name]), is_input)


def _device_memory_bytes(engine: Any) -> int:
    # 8.0 to 10.16 have device_memory_size, 10.1 and later _v2. The class is asked: reading the first one warns.
    name = "device_memory_size_v2" if hasattr(type(engine), "device_memory_size_v2") else "device_memory_size"
    return int(getattr(engine, name))
