"""CUDA graphs: an inference that was recorded once and is started again with one call to the driver.

No pycuda (up to 2026.1) has them, so this calls the driver library itself. The signatures are those of the CUDA
driver API's reference, by the names of the exported symbols: cuda.h renames several with macros, but the library
keeps every symbol it ever had, so one table does from CUDA 10.2 (JetPack 4.6) to 13.

- ``cuStreamBeginCapture_v2(CUstream, CUstreamCaptureMode)``, since 10.1; the older symbol takes no mode.
- Since 10.0: ``cuStreamEndCapture(CUstream, CUgraph *)``, ``cuStreamIsCapturing(CUstream, CUstreamCaptureStatus *)``,
  ``cuGraphLaunch(CUgraphExec, CUstream)``, ``cuGraphExecDestroy(CUgraphExec)``, ``cuGraphDestroy(CUgraph)``.
- ``cuGraphInstantiateWithFlags(CUgraphExec *, CUgraph, unsigned long long)``, since 11.4; from 12.0 on it is what
  cuda.h calls cuGraphInstantiate.
- ``cuGraphInstantiate_v2(CUgraphExec *, CUgraph, CUgraphNode *, char *, size_t)``, since 11.0, and
  ``cuGraphInstantiate`` with the same arguments, since 10.0.
- ``cuGetErrorString(CUresult, const char **)``, since 6.0.
"""
import ctypes
from typing import Any, Callable, Optional

# Only what the capturing thread does counts: allocations and copies of the app's other threads (torch, a camera)
# neither fail nor spoil the capture, as they would in the global mode. The relaxed mode would also let TensorRT itself
# do what cannot be replayed, and the graph would silently lack it. trtexec captures in this mode too.
_THREAD_LOCAL = 1

_HANDLE = ctypes.c_void_p
_OUT = ctypes.POINTER(ctypes.c_void_p)
_SIGNATURES = {
    "cuStreamBeginCapture_v2": (_HANDLE, ctypes.c_int),
    "cuStreamEndCapture": (_HANDLE, _OUT),
    "cuStreamIsCapturing": (_HANDLE, ctypes.POINTER(ctypes.c_int)),
    "cuGraphLaunch": (_HANDLE, _HANDLE),
    "cuGraphExecDestroy": (_HANDLE,),
    "cuGraphDestroy": (_HANDLE,),
    "cuGetErrorString": (ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)),
}
# The first that the library has.
_INSTANTIATE = {
    "cuGraphInstantiateWithFlags": (_OUT, _HANDLE, ctypes.c_ulonglong),
    "cuGraphInstantiate_v2": (_OUT, _HANDLE, _OUT, ctypes.c_char_p, ctypes.c_size_t),
    "cuGraphInstantiate": (_OUT, _HANDLE, _OUT, ctypes.c_char_p, ctypes.c_size_t),
}


class GraphError(Exception):
    """A graph could not be recorded or replayed; inferences can still be started one kernel at a time."""


def driver_library() -> Any:
    """Return the driver library, which pycuda has loaded already.

    Raises:
        GraphError: it cannot be loaded.
    """
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise GraphError("the driver library cannot be loaded: {}".format(error)) from error


class GraphApi:
    """The driver's functions for graphs, with their signatures; their CUDA context has to be current.

    Raises:
        GraphError: the driver is older than CUDA 10.1.
    """

    def __init__(self, library: Any) -> None:
        self._functions = {name: _declare(library, name, _SIGNATURES[name]) for name in _SIGNATURES}
        for name in _INSTANTIATE:
            if hasattr(library, name):
                self._instantiate = _declare(library, name, _INSTANTIATE[name])
                self._with_flags = name == "cuGraphInstantiateWithFlags"
                return
        raise GraphError("the driver has no cuGraphInstantiate")

    def result(self, name: str, *arguments: Any) -> int:
        """Call a function and return its CUresult."""
        return int(self._functions[name](*arguments))

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function.

        Raises:
            GraphError: it did not succeed; the message has the driver's words.
        """
        self.check(name, self.result(name, *arguments))

    def check(self, name: str, result: int) -> None:
        """Raise GraphError unless `result` is CUDA_SUCCESS."""
        if result != 0:
            text = ctypes.c_char_p()
            self.result("cuGetErrorString", result, ctypes.byref(text))
            words = text.value.decode("utf-8", "replace") if text.value else "error {}".format(result)
            raise GraphError("{}: {}".format(name, words))

    def instantiate(self, graph: ctypes.c_void_p) -> ctypes.c_void_p:
        """Return what can be launched of a graph."""
        executable = ctypes.c_void_p()
        further = (0,) if self._with_flags else (None, None, 0)
        self.check("cuGraphInstantiate", int(self._instantiate(ctypes.byref(executable), graph, *further)))
        return executable


class Graph:
    """An inference ready to be started again, on the addresses that it was recorded with."""

    def __init__(self, api: GraphApi, executable: ctypes.c_void_p) -> None:
        self._api = api
        self._executable: Optional[ctypes.c_void_p] = executable

    def launch(self, stream_handle: int) -> None:
        """Put the recorded work into a stream.

        Raises:
            GraphError: the driver refuses.
        """
        self._api.call("cuGraphLaunch", self._executable, stream_handle)

    def close(self) -> None:
        """Release the graph, which must not be running. Errors are ignored: the rest goes with the context."""
        executable, self._executable = self._executable, None
        if executable is not None:
            self._api.result("cuGraphExecDestroy", executable)


def capture(api: GraphApi, stream_handle: int, enqueue: Callable[[], bool], reason: Callable[[], str]) -> Graph:
    """Record what `enqueue` puts into a stream, without running it.

    Args:
        api: the driver.
        stream_handle: of a stream without unfinished work, which leaves capture mode whatever happens.
        enqueue: puts the work into the stream; False if it could not. It must have run before: TensorRT allocates in
            its first run, which no capture allows.
        reason: why `enqueue` returned False.

    Raises:
        GraphError: some of the work cannot be recorded, or the driver refuses.
    """
    graph = ctypes.c_void_p()
    api.call("cuStreamBeginCapture_v2", stream_handle, _THREAD_LOCAL)
    try:
        done = enqueue()
    finally:
        ended = api.result("cuStreamEndCapture", stream_handle, ctypes.byref(graph))
    try:
        if not done:
            raise GraphError("TensorRT does not run it while it is recorded: " + reason())
        api.check("cuStreamEndCapture", ended)
        return Graph(api, api.instantiate(graph))
    finally:
        # The executable has a copy of everything.
        if graph.value:
            api.result("cuGraphDestroy", graph)


def is_capturing(api: GraphApi, stream_handle: int) -> bool:
    """Return whether a stream still records instead of running, also after a capture that failed."""
    status = ctypes.c_int()
    api.call("cuStreamIsCapturing", stream_handle, ctypes.byref(status))
    return status.value != 0


def _declare(library: Any, name: str, arguments: Any) -> Any:
    try:
        function = getattr(library, name)
    except AttributeError:
        raise GraphError("the driver has no {}".format(name)) from None
    function.argtypes = arguments
    function.restype = ctypes.c_int
    return function
