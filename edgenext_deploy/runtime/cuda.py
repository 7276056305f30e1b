"""The CUDA context: one for each device, shared by all sessions, current in a thread only during a call.

pycuda's calls work only while a context is current in the calling thread, and pycuda aborts the process if
one still is when a thread or the interpreter ends. So nothing here stays current: `CudaContext.active` pushes
the context, runs the block and pops it again, in any thread. `pycuda.autoinit`, which makes a second context
current in the importing thread for good, is never used.

Where pycuda can (2020.1 and later), the context is the device's primary one, which the CUDA runtime, TensorRT
and torch use too, so memory and streams may pass between them. It stays retained until the process ends:
pycuda's release (`Context.detach`) would leave the dead context current in the thread that calls it, and its
destructor calls cuCtxDetach, which is not made for primary contexts. On older releases it is a context of our own,
destroyed with the last session.

After an error that lasts, and in a forked child, pycuda's destructors push the context, throw where nobody can
catch, and the process is aborted. So what belongs to such a context is kept for good: `CudaContext.keep_for_good`.
"""
import atexit
import contextlib
import ctypes
import os
import sys
import threading
import weakref
from typing import Any, Dict, Iterator, Optional, Tuple

from edgenext_deploy.errors import EdgeNextError, IncompatibleError, MissingRuntimeError, UsageError

# The driver's texts (cuGetErrorString; before CUDA 6 pycuda's own) of the errors after which, by the CUDA driver
# API's reference, "the process must be terminated and relaunched", and of a context that somebody destroyed.
_STICKY = (
    "illegal memory access", "launch failure", "launch failed", "misaligned address", "illegal instruction",
    "invalid program counter", "operation not supported on global/shared address space", "device-side assert",
    "hardware stack error", "ecc error", "ecc uncorrectable", "launch timed out", "launch timeout", "nvlink error",
    "context is destroyed",
)
_CPU_FIX = "or run the .onnx file, which needs no GPU"


class CudaError(EdgeNextError):
    """The CUDA driver refused a call.

    Attributes:
        sticky: True when no further CUDA call of this process can succeed.
    """

    def __init__(self, message: str, fix: Optional[str] = None, sticky: bool = False) -> None:
        super().__init__(message, fix)
        self.sticky = sticky


def is_sticky(text: str) -> bool:
    """Return whether an error's text is of the kind after which the process has to be restarted."""
    lowered = text.lower()
    return any(phrase in lowered for phrase in _STICKY)


def sticky_error(text: str) -> CudaError:
    """Return the error to raise once CUDA cannot be used in this process any more."""
    return CudaError("the GPU stopped with an error that lasts: {}".format(" ".join(text.split())[:300]),
                     "restart this process: no CUDA call of it can succeed any more", sticky=True)


class CudaContext:
    """A device's context; get it with `acquire`, give it back with `release`.

    Attributes:
        driver: the module ``pycuda.driver``.
        device: the device's number.
        name: the device's name.
        compute_capability: such as ``(5, 3)``.
        integrated: True if the GPU shares its memory with the processor, as on a Jetson.
        maps_host_memory: True if the GPU can read and write page-locked memory of the processor.
        primary: True if this is the device's primary context, False if it is a context of our own.
    """

    def __init__(self, driver: Any, device: int) -> None:
        handle = driver.Device(device)
        self.driver = driver
        self.device = device
        self.name = str(handle.name())
        self.compute_capability: Tuple[int, int] = tuple(handle.compute_capability())
        self.integrated = bool(handle.get_attribute(driver.device_attribute.INTEGRATED))
        self.maps_host_memory = bool(handle.get_attribute(driver.device_attribute.CAN_MAP_HOST_MEMORY))
        self.primary = hasattr(handle, "retain_primary_context")
        self._pid = os.getpid()
        self._users = 0
        self._broken: Optional[str] = None
        if self.primary:
            self._context = handle.retain_primary_context()
        else:
            # Mapped memory must be asked for here on drivers before unified addressing.
            self._context = handle.make_context(getattr(driver.ctx_flags, "MAP_HOST", 0))
            self._context.pop()
        self.keep_for_good()

    def keep_for_good(self, *objects: Any) -> None:
        """Have objects, what they refer to and this context never destroyed, not even when the interpreter ends."""
        ctypes.pythonapi.Py_IncRef(ctypes.py_object((self._context, objects)))

    @property
    def usable(self) -> bool:
        """False after an error that lasts, and in a forked child: then not even freeing memory works."""
        return self._broken is None and os.getpid() == self._pid

    def can_be_pushed(self) -> bool:
        """Try it: some errors that last are not told to those who caused them. If so, destructors do no harm."""
        with contextlib.suppress(EdgeNextError), self.active():
            pass
        return self.usable

    @contextlib.contextmanager
    def active(self) -> Iterator[Any]:
        """Make the context current in this thread during a block, which gets ``pycuda.driver``; blocks nest.

        Raises:
            CudaError: the driver refused a call of the block; `sticky` if the process has to be restarted.
            IncompatibleError: the device is out of memory.
            UsageError: this is a forked child of the process that opened the context.
        """
        if self._broken is not None:
            raise sticky_error(self._broken)
        if os.getpid() != self._pid:
            raise UsageError("CUDA was opened in process {} and does not work in its forked child {}".format(
                self._pid, os.getpid()), "open the session in the child, started by multiprocessing's 'spawn'")
        try:
            self._context.push()
            try:
                yield self.driver
            finally:
                self._context.pop()
        except self.driver.Error as error:
            raise self.explain(error) from error

    def explain(self, error: Exception) -> EdgeNextError:
        """Return the error to raise for one of pycuda's, and remember one that lasts."""
        text = " ".join(str(error).split())[:300]
        if is_sticky(text):
            self._broken = text
            return sticky_error(text)
        if isinstance(error, self.driver.MemoryError):
            return IncompatibleError("{} is out of memory: {}".format(self.name, text),
                                     "close other programs that use the GPU, or open fewer sessions and buffer sets")
        return CudaError("CUDA failed on {}: {}".format(self.name, text))

    def fail(self, text: str) -> CudaError:
        """Return the error for a lasting failure that TensorRT's log reported."""
        self._broken = text
        return sticky_error(text)

    def release(self) -> None:
        """Give the context back; the last to do so destroys it, unless it is the primary one."""
        with _lock:
            self._users -= 1
            # A broken context is remembered: CUDA cannot be used again in this process.
            if self._users or self.primary or self._broken is not None or _contexts.get(self.device) is not self:
                return
            del _contexts[self.device]
        if self.usable:
            # Only the current context can be detached from any thread; pycuda pops it on the way.
            self._context.push()
            self._context.detach()


def acquire(device: int = 0, owner: Optional[Any] = None) -> CudaContext:
    """Return a device's context, made on first use; call its `release` once for every `acquire`.

    Args:
        device: number of the device, from 0.
        owner: whose ``close()`` is called at interpreter exit, unless it is gone by then.

    Raises:
        MissingRuntimeError: no pycuda, no driver or no GPU.
        UsageError: no device of that number.
        CudaError: the driver cannot make a context.
    """
    driver = import_driver()
    with _lock:
        found = _contexts.get(device)
        if found is None or found._pid != os.getpid():
            found = _contexts[device] = _make(driver, device)
        if found._broken is not None:
            raise sticky_error(found._broken)
        found._users += 1
        if owner is not None:
            _owners.add(owner)
    _register_exit()
    return found


def import_driver() -> Any:
    """Import ``pycuda.driver`` and initialise CUDA, without making a context.

    Raises:
        MissingRuntimeError: pycuda is not installed or not usable, or there is no driver or no GPU.
    """
    try:
        import pycuda.driver as driver
    except ImportError as error:
        raise _import_error(str(error)) from error
    try:
        driver.init()
        count = driver.Device.count()
    except driver.Error as error:
        raise MissingRuntimeError("CUDA cannot be used: {}".format(error),
                                  "check the driver with nvidia-smi (on a Jetson: tegrastats), " + _CPU_FIX) from error
    if count < 1:
        raise MissingRuntimeError("CUDA finds no GPU", "check the driver with nvidia-smi, " + _CPU_FIX)
    return driver


def _import_error(text: str) -> MissingRuntimeError:
    if "libcuda.so" in text:
        return MissingRuntimeError(
            "NVIDIA's driver is not there: {}".format(text),
            "install it (in a container, start it with NVIDIA's runtime: docker run --runtime nvidia), " + _CPU_FIX)
    if "cannot open shared object file" in text:
        return MissingRuntimeError(
            "pycuda does not find a library of CUDA: {}".format(text),
            "export LD_LIBRARY_PATH=/usr/local/cuda/lib64:$LD_LIBRARY_PATH")
    # 2022.1 is the last release for Python 3.6. There are no wheels: pip compiles it, and on JetPack neither nvcc
    # nor CUDA's headers and libraries are where a compiler looks.
    # Its build asks for a numpy that has no wheel on a Nano; without isolation it takes the one that is there.
    package = "--no-build-isolation pycuda==2022.1" if sys.version_info < (3, 7) else "pycuda"
    if "No module named" not in text:
        # Compiled for another CUDA, driver or numpy ("undefined symbol: ..."): pip would call it installed, and would
        # take what it has compiled once from its cache.
        package = "--force-reinstall --no-deps --no-cache-dir " + package
    return MissingRuntimeError(
        "pycuda cannot be imported: {}".format(text),
        "install it with CUDA's compiler at hand: export PATH=/usr/local/cuda/bin:$PATH "
        "CPATH=/usr/local/cuda/include LIBRARY_PATH=/usr/local/cuda/lib64 && "
        "python3 -m pip install {}, {}".format(package, _CPU_FIX))


def _make(driver: Any, device: int) -> CudaContext:
    count = driver.Device.count()
    if not 0 <= device < count:
        raise UsageError("device {} was asked for, {} found: 0 to {}".format(device, count, count - 1))
    try:
        return CudaContext(driver, device)
    except driver.Error as error:
        text = " ".join(str(error).split())[:300]
        raise CudaError("CUDA cannot be opened on device {}: {}".format(device, text),
                        "close other programs that use the GPU", sticky=is_sticky(text)) from error


# Re-entrant: a garbage-collected session closes itself in whatever thread it was noticed, even inside `acquire`.
_lock = threading.RLock()
_contexts: Dict[int, CudaContext] = {}
_owners: "weakref.WeakSet[Any]" = weakref.WeakSet()
_exit_registered = False


def _register_exit() -> None:
    """Have open sessions closed before anything that pycuda, imported by now, does at exit."""
    global _exit_registered
    if not _exit_registered:
        _exit_registered = True
        atexit.register(_close_all)


def _close_all() -> None:
    for owner in list(_owners):
        # An error of one session at exit must not keep the others open.
        with contextlib.suppress(Exception):
            owner.close()
    _contexts.clear()
