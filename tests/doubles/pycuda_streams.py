"""Streams and events of the double of pycuda: work is done when somebody waits for it, and not before."""
import collections

from doubles.cuda_machine import CAPTURE_UNSUPPORTED, DriverRuntimeError, LogicError
from doubles.pycuda_contexts import Dependent


class Stream(Dependent):
    def __init__(self, flags=0):
        state = self.acquire("cuStreamCreate")
        self.flags = flags
        self.handle = self.machine.handle()
        self.shared = StreamQueue(self.machine, state)
        self.machine.streams[self.handle] = self.shared

    def synchronize(self):
        self.machine.current("cuStreamSynchronize")
        self.shared.no_capture("cuStreamSynchronize")
        self.shared.run()

    def __del__(self):
        if hasattr(self, "handle"):
            self.in_context(lambda: (self.machine.current("cuStreamDestroy"),
                                     self.machine.streams.pop(self.handle)))


class Capture:
    """What a stream has recorded since it is captured."""

    def __init__(self, thread):
        self.thread = thread
        self.work = []
        self.spoilt = False


class StreamQueue:
    """The driver's side of a stream: work in order, done only when somebody waits."""

    def __init__(self, machine, state):
        self.machine = machine
        self.state = state
        self.work = collections.deque()
        self.queued = 0
        self.finished = 0
        self.capture = None

    def put(self, function, cost_ms, routine):
        """Queue `function`; return its number."""
        if self.machine.current(routine) is not self.state:
            raise LogicError("{} failed: invalid resource handle".format(routine))
        with self.machine.lock:
            if self.capture is not None:
                self.capture.work.append(function)
                return None
            self.work.append((function, cost_ms))
            self.queued += 1
            return self.queued

    def begin_capture(self):
        self.capture = Capture(self.machine.thread)

    def no_capture(self, routine):
        if self.capture is not None:
            self.capture.spoilt = True
            raise LogicError("{} failed: {}".format(routine, CAPTURE_UNSUPPORTED))

    def run(self, until=None):
        with self.machine.lock:
            while self.work and (until is None or self.finished < until):
                if self.machine.sticky is not None:
                    raise self.machine.fail(self.machine.sticky)
                function, cost_ms = self.work.popleft()
                self.finished += 1
                self.machine.clock_ms += cost_ms
                function()


class Event(Dependent):
    def __init__(self, flags=0):
        self.acquire("cuEventCreate")
        with self.machine.lock:
            self.machine.events += 1
        self.queue = None
        self.number = None
        self.time_ms = None

    def record(self, stream=None):
        def mark():
            self.time_ms = self.machine.clock_ms

        if stream.shared.capture is not None:
            self.machine.violations.append("an event recorded in a graph, where it tells no time")
        self.queue = stream.shared
        self.time_ms = None
        self.number = self.queue.put(mark, 0.0, "cuEventRecord")
        return self

    def synchronize(self):
        self.machine.current("cuEventSynchronize")
        if self.queue is not None:
            self.queue.no_capture("cuEventSynchronize")
            self.queue.run(self.number)
        return self

    def time_since(self, other):
        self.machine.current("cuEventElapsedTime")
        if self.queue is None or other.queue is None:
            raise LogicError("cuEventElapsedTime failed: invalid resource handle")
        if self.time_ms is None or other.time_ms is None:
            raise DriverRuntimeError("cuEventElapsedTime failed: device not ready")
        return self.time_ms - other.time_ms

    def __del__(self):
        if hasattr(self, "context"):
            self.in_context(self._destroy)

    def _destroy(self):
        self.machine.current("cuEventDestroy")
        with self.machine.lock:
            self.machine.events -= 1
