"""exit_cases.py CASE: a process that ends in some way with open sessions, on real pycuda and real bindings.

test_real_exits.py runs it in a child and looks at what it prints and how it ends.
"""
import contextlib
import gc
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import warnings

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
from doubles import gpu
from real.nvidia import driver_library, places
from real.nvidia.engine import Context
from real.nvidia.machine import Machine
from trt_cases import frames, right

from edgenext_deploy.errors import EdgeNextError
from edgenext_deploy.runtime import cuda

RELEASE, PYCUDA = os.environ["EDGENEXT_REAL"].split(",")
ILLEGAL_ADDRESS = 700
(IMAGE,) = frames(1)


def say(*words):
    print(*words)  # noqa: T201
    sys.stdout.flush()


def use(session):
    assert right(session, session.infer_all(IMAGE), IMAGE), "a wrong answer"


def told(function):
    """Call a function and say which of our errors it raised."""
    try:
        function()
    except EdgeNextError as error:
        say(type(error).__name__, " ".join(str(error).split())[:160])


def forked(function):
    """Run a function in a forked child and say how that ended."""
    child = os.fork()
    if child == 0:
        function()
        sys.exit(0)
    say("child", os.waitpid(child, 0)[1])


class Cases:
    """Each method is a case; `session` opens one."""

    def __init__(self, machine, session, path):
        self.machine, self.session, self.path = machine, session, path

    def sticky(self):
        self.machine.driver.double_break(ILLEGAL_ADDRESS)

    def plain(self):
        use(self.session())

    def autoinit(self):
        import pycuda.autoinit
        use(self.session())
        assert pycuda.autoinit.context is not None

    def thread(self):
        threading.Thread(target=lambda: use(self.session())).start()

    def traceback(self):
        kept = self.session()
        use(kept)
        raise ValueError("the program's own")

    def daemon(self):
        kept = self.session()

        def forever():
            with contextlib.suppress(EdgeNextError):  # it is closed at exit
                while True:
                    kept.infer_all(IMAGE)

        threading.Thread(target=forever, daemon=True).start()
        time.sleep(0.2)

    def exit_inside(self):
        with self.session() as session:
            use(session)
            sys.exit(3)

    def interrupt(self):
        use(self.session())
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)

    def half_closed(self):
        sessions = [self.session() for _ in range(4)]
        for session in sessions:
            use(session)
        sessions[0].close()
        sessions[3].close()

    def cycle(self):
        session = self.session()
        session.me = session
        del session
        gc.collect()

    def views(self):
        session = self.session()
        kept = session.infer_all(IMAGE, views=True)
        session.close()
        thread = threading.Thread(target=kept.clear if isinstance(kept, list) else list)
        thread.start()
        thread.join()

    def fork(self):
        session = self.session()
        use(session)
        forked(lambda: told(lambda: session.infer(IMAGE)))
        use(session)

    def fork_close(self):
        session = self.session()
        forked(session.close)
        use(session)

    def fork_reopen(self):
        kept = self.session()
        forked(lambda: told(self.session))
        use(kept)

    def fork_multiprocessing(self):
        kept = self.session()
        child = multiprocessing.get_context("fork").Process(target=int)
        child.start()
        child.join()
        say("child", child.exitcode)
        use(kept)

    def sticky_left_open(self):
        session = self.session()
        use(session)
        self.sticky()
        told(lambda: session.infer(IMAGE))
        self.session = session  # until the interpreter ends

    def sticky_close(self):
        session = self.session()
        self.sticky()
        told(lambda: session.infer(IMAGE))
        session.close()

    def sticky_close_elsewhere(self):
        session = self.session()
        self.sticky()
        told(lambda: session.infer(IMAGE))
        thread = threading.Thread(target=session.close)
        thread.start()
        thread.join()

    def sticky_graph(self):
        session = self.session(cuda_graph=True)
        self.sticky()
        told(lambda: session.infer(IMAGE))
        session.close()

    def sticky_opening(self):
        def breaks(context, addresses, stream):
            self.sticky()
            return Context.enqueue_alone(context, addresses, stream)

        self.machine.enqueue = breaks
        told(lambda: self.session(cuda_graph=True))
        gc.collect()

    def sticky_opening_zero_copy(self):
        self.machine.enqueue = lambda context, addresses, stream: (self.sticky(), False)[1]
        told(lambda: self.session(zero_copy=True))
        gc.collect()

    def sticky_preprocessor(self):
        from frame_samples import EDGENEXT, sized

        from edgenext_deploy.preprocess.cuda import CudaPreprocessor

        preprocess = CudaPreprocessor(sized(EDGENEXT, 64), "float32")
        session = self.session()
        self.sticky()
        told(lambda: session.infer(IMAGE))
        preprocess.close()


    def sticky_pop(self):
        """The context cannot even be popped: pycuda aborts the process, and what happened was said before."""
        self.machine.driver.double_configure(b"STICKY_POP", b"1")

        def breaks(context, addresses, stream):
            self.sticky()
            return False

        session = self.session(cuda_graph=False)
        self.machine.enqueue = breaks
        told(lambda: session.infer(IMAGE))

    def no_gpu(self):
        self.machine.driver.double_configure(b"DEVICES", b"0")
        told(lambda: cuda.acquire(0))

    def two_gpus(self):
        self.machine.driver.double_configure(b"DEVICES", b"2")
        sessions = [self.session(device=device) for device in (0, 1)]
        threads = [threading.Thread(target=use, args=(session,)) for session in sessions * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for session in sessions:
            use(session)
            session.close()
        told(lambda: cuda.acquire(2))


def main(case):
    warnings.simplefilter("error", DeprecationWarning)
    driver_library.load()
    sys.path.insert(0, places.pycuda(PYCUDA, places.present_python()))
    machine = Machine(RELEASE, primary=not PYCUDA.startswith("2019"))
    sys.modules["tensorrt"] = machine.tensorrt.module
    folder = tempfile.mkdtemp()
    path = gpu.write_plan(folder, RELEASE, onnx_path=None, name="two")
    from edgenext_deploy.runtime.options import RuntimeOptions
    from edgenext_deploy.runtime.trt import TensorRTSession

    getattr(Cases(machine, lambda **way: TensorRTSession(path, options=RuntimeOptions(**way)), path), case)()
    say("violations", machine.violations)
    say("end")


if __name__ == "__main__":
    main(sys.argv[1])
