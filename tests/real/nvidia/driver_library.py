"""libcuda.so.1 of tests/real/nvidia/driver, loaded so that pycuda and the product find it by its name."""
import ctypes
import os

from real.nvidia import places

WORD = ctypes.c_uint64
HOST_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def load():
    """Return the library. Once it is loaded, the loader gives it to everybody who asks for libcuda.so.1."""
    os.environ.setdefault("EDGENEXT_DOUBLE_KERNELS", places.KERNELS)
    library = ctypes.CDLL(places.DRIVER, mode=ctypes.RTLD_GLOBAL)
    for name in ("double_account", "double_violations", "double_calls"):
        getattr(library, name).restype = ctypes.c_char_p
    library.double_at.restype = ctypes.c_void_p
    library.double_at.argtypes = [WORD, ctypes.c_size_t]
    library.double_is_mapped.argtypes = [WORD]
    library.double_launch.argtypes = [ctypes.c_void_p, HOST_FUNCTION, ctypes.c_void_p, ctypes.c_double]
    library.double_is_capturing.argtypes = [ctypes.c_void_p]
    library.double_configure.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
    library.double_log.argtypes = [ctypes.c_char_p]
    library.double_fail.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_int]
    library.cuMemFree_v2.argtypes = [WORD]
    return library
