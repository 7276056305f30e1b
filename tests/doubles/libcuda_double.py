"""The part of the driver library that deals with CUDA graphs, on the machine of `cuda_machine`.

The functions are real C functions (ctypes callbacks) with the prototypes of cuda.h, written down here on their own,
so a wrong signature on the other side goes wrong. What a stream is given between the begin and the end of its capture
is recorded and not run; a launch puts the recorded work, on the recorded addresses, into a stream.
"""
import ctypes
import types

from doubles.cuda_machine import Error

SUCCESS, INVALID_VALUE, INVALID_CONTEXT, INVALID_HANDLE, ILLEGAL_STATE = 0, 1, 201, 400, 401
CAPTURE_INVALIDATED, CAPTURE_WRONG_THREAD, LAUNCH_FAILED = 901, 908, 719
TEXTS = {
    INVALID_VALUE: b"invalid argument", INVALID_CONTEXT: b"invalid device context",
    INVALID_HANDLE: b"invalid resource handle",
    ILLEGAL_STATE: b"the operation cannot be performed in the present state",
    CAPTURE_INVALIDATED: b"operation failed due to a previous error during capture",
    CAPTURE_WRONG_THREAD: b"attempt to terminate a thread-local capture sequence from another thread",
    LAUNCH_FAILED: b"unspecified launch failure"}

_p, _int = ctypes.c_void_p, ctypes.c_int
_out = ctypes.POINTER(ctypes.c_void_p)
_PROTOTYPES = {
    "cuStreamBeginCapture_v2": (_p, _int),
    "cuStreamEndCapture": (_p, _out),
    "cuStreamIsCapturing": (_p, ctypes.POINTER(_int)),
    "cuGraphInstantiate": (_out, _p, _out, ctypes.c_char_p, ctypes.c_size_t),
    "cuGraphInstantiate_v2": (_out, _p, _out, ctypes.c_char_p, ctypes.c_size_t),
    "cuGraphInstantiateWithFlags": (_out, _p, ctypes.c_ulonglong),
    "cuGraphLaunch": (_p, _p),
    "cuGraphExecDestroy": (_p,),
    "cuGraphDestroy": (_p,),
    "cuGetErrorString": (_int, ctypes.POINTER(ctypes.c_char_p)),
}
# Newest release of CUDA in which the symbol is not there yet.
_BEFORE = {"cuStreamBeginCapture_v2": (10, 0), "cuGraphInstantiate_v2": (10, 2), "cuGraphInstantiateWithFlags": (11, 3)}


def make_libcuda(machine, release="12.6"):
    """Return the library as ctypes would load it, with the symbols of a CUDA release."""
    version = tuple(int(part) for part in release.split("."))
    driver = Driver(machine)
    library = types.SimpleNamespace(driver=driver)
    for name in _PROTOTYPES:
        if version > _BEFORE.get(name, (0, 0)):
            setattr(library, name, c_function(name, driver.guarded(name)))
    return library


def c_function(name, function):
    """Return a Python function as the C function `name`."""
    return ctypes.CFUNCTYPE(_int, *_PROTOTYPES[name])(function)


class Driver:
    def __init__(self, machine):
        self.machine = machine
        self.recorded = machine.recorded_graphs
        self.fails = {}  # name of a function -> result that it gives instead of working
        self.calls = []
        self.under_way = []  # executable graphs in streams

    def guarded(self, name):
        """Return the function, which needs a context and must let no exception out into C."""
        work = getattr(self, name.replace("_v2", "").replace("WithFlags", ""))

        def function(*arguments):
            self.calls.append(name)
            if name != "cuGetErrorString":
                try:
                    self.machine.current(name)
                except Error:
                    return INVALID_CONTEXT
            if name in self.fails:
                return self.fails[name]
            try:
                return work(*arguments)
            except Exception as error:
                self.machine.violations.append("{}: {!r}".format(name, error))
                return INVALID_VALUE

        return function

    def cuStreamBeginCapture(self, stream, mode):  # noqa: N802
        queue = self.machine.streams.get(stream)
        if queue is None:
            return INVALID_HANDLE
        if queue.capture is not None:
            self.machine.violations.append("a capture begun in a capture")
            return ILLEGAL_STATE
        if mode != 1:
            self.machine.violations.append("a capture that other threads' calls spoil, or that misses TensorRT's own")
        queue.begin_capture()
        return SUCCESS

    def cuStreamEndCapture(self, stream, graph):  # noqa: N802
        queue = self.machine.streams.get(stream)
        if queue is None or queue.capture is None:
            return ILLEGAL_STATE
        if queue.capture.thread is not self.machine.thread:
            return CAPTURE_WRONG_THREAD
        capture, queue.capture = queue.capture, None
        if capture.spoilt:
            graph[0] = None
            return CAPTURE_INVALIDATED
        handle = self.machine.handle()
        self.recorded[handle] = capture.work
        graph[0] = handle
        return SUCCESS

    def cuStreamIsCapturing(self, stream, status):  # noqa: N802
        queue = self.machine.streams.get(stream)
        if queue is None:
            return INVALID_HANDLE
        status[0] = 0 if queue.capture is None else 2 if queue.capture.spoilt else 1
        return SUCCESS

    def cuGraphInstantiate(self, executable, graph, *further):  # noqa: N802
        if graph not in self.recorded or any(further):
            return INVALID_VALUE
        handle = self.machine.handle()
        self.machine.graphs[handle] = list(self.recorded[graph])
        executable[0] = handle
        return SUCCESS

    def cuGraphLaunch(self, executable, stream):  # noqa: N802
        queue = self.machine.streams.get(stream)
        if executable not in self.machine.graphs:
            self.machine.violations.append("a destroyed graph launched")
            return INVALID_HANDLE
        if queue is None:
            return INVALID_HANDLE
        work = self.machine.graphs[executable]

        def replay():
            self.under_way.remove(executable)
            for function in work:
                function()

        self.machine.launches.append("graph")
        self.under_way.append(executable)
        queue.put(replay, self.machine.replay_ms, "cuGraphLaunch")
        return SUCCESS

    def cuGraphExecDestroy(self, executable):  # noqa: N802
        if self.machine.graphs.pop(executable, None) is None:
            self.machine.violations.append("a graph destroyed twice")
            return INVALID_VALUE
        if executable in self.under_way:
            self.machine.violations.append("a graph destroyed while it is under way")
        return SUCCESS

    def cuGraphDestroy(self, graph):  # noqa: N802
        return SUCCESS if self.recorded.pop(graph, None) is not None else INVALID_VALUE

    def cuGetErrorString(self, result, text):  # noqa: N802
        if result not in TEXTS:
            return INVALID_VALUE
        text[0] = TEXTS[result]
        return SUCCESS
