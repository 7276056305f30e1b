"""pycuda.compiler without a GPU: kernels are compiled as C++ and run, thread by thread, on the double's device memory.

It proves the kernels' arithmetic and their arguments; it proves nothing about nvcc, a GPU's rounding or its speed.
The memory a kernel gets has guards on both sides, so that a write outside of an allocation is an error. Kernels that
synchronise threads cannot be run like this.
"""
import atexit
import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import types

import numpy as np
from doubles.cuda_machine import Error, LogicError
from doubles.pycuda_contexts import Dependent

GUARD_BYTES, GUARD = 4096, 0xA5
LAUNCH_MS = 0.25
_MAX_THREADS = 1024
_BEFORE = """
#include <math.h>
#include <string.h>
#include <utility>
#define __global__
#define __device__
struct Index { unsigned x, y, z; };
static Index threadIdx, blockIdx, blockDim, gridDim;
static unsigned short half_bits(float value)
{
    unsigned bits;
    memcpy(&bits, &value, 4);
    unsigned sign = bits >> 16 & 0x8000, rest = bits & 0x7fffffff;
    if (rest >= 0x7f800000) return sign | 0x7c00 | (rest > 0x7f800000 ? 0x200 : 0);
    if (rest >= 0x477ff000) return sign | 0x7c00;
    int shift = rest < 0x38800000 ? 126 - (int)(rest >> 23) : 13;
    if (shift > 24) return sign;
    unsigned mantissa = rest < 0x38800000 ? (rest & 0x7fffff) | 0x800000 : rest - 0x38000000;
    unsigned half = mantissa >> shift, lost = mantissa & ((1u << shift) - 1), middle = 1u << (shift - 1);
    return sign | (half + (lost > middle || (lost == middle && (half & 1))));
}
template <typename... T, size_t... I>
static void call(void (*kernel)(T...), void **values, std::index_sequence<I...>)
{
    for (blockIdx.y = 0; blockIdx.y < gridDim.y; ++blockIdx.y)
        for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x)
            for (threadIdx.y = 0; threadIdx.y < blockDim.y; ++threadIdx.y)
                for (threadIdx.x = 0; threadIdx.x < blockDim.x; ++threadIdx.x)
                    kernel(*static_cast<T *>(values[I])...);
}
template <typename... T>
static void launch(void (*kernel)(T...), const unsigned *sizes, void **values)
{
    gridDim = {sizes[0], sizes[1], 1};
    blockDim = {sizes[2], sizes[3], 1};
    call(kernel, values, std::index_sequence_for<T...>());
}
"""
_AFTER = 'extern "C" void launch_{0}(const unsigned *sizes, void **values) {{ launch({0}, sizes, values); }}\n'
_KERNEL = re.compile(r"__global__\s+void\s+(\w+)\s*\(([^)]*)\)")
_SCALARS = {"int": np.int32, "float": np.float32}
# Path of the C++ compiler, or None; found here, because tests change what is on PATH.
COMPILER = shutil.which("g++")
_folder = None
_built = {}


class CompileError(Error):
    """As pycuda's: `msg` and nvcc's own words apart, all of it together as text."""

    def __init__(self, message, stderr=""):
        super().__init__("{}\n[command: nvcc {}]\n[stderr:\n{}]".format(message, "--an-option " * 40, stderr))
        self.msg, self.stderr = message, stderr


def build(source, *flags):
    """Compile CUDA source text as C++; return the path of the shared library."""
    global _folder
    if _folder is None:
        _folder = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, _folder, True)
    name = os.path.join(_folder, hashlib.sha256(repr((source, flags)).encode()).hexdigest()[:16])
    if name not in _built:
        after = "".join(_AFTER.format(kernel) for kernel, _ in _KERNEL.findall(source))
        with open(name + ".cpp", "w") as stream:
            stream.write(_BEFORE + source + after)
        # Without -ffp-contract=off, the result would depend on the machine.
        done = subprocess.run([COMPILER, "-std=c++14", "-O2", "-ffp-contract=off", "-shared", "-fPIC", *flags, "-o",
                               name + ".so", name + ".cpp"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            raise CompileError(done.stdout.decode())
        _built[name] = name + ".so"
    return _built[name]


def with_types(source):
    """Return source text with `types_KERNEL` for each kernel: a letter for each parameter, "p" for a pointer."""
    for name, text in _KERNEL.findall(source):
        letters = ("p" if "*" in part else part.split()[-2][0] for part in text.split(","))
        source += '\nextern "C" __attribute__((visibility("default"))) const char types_{}[] = "{}";\n'.format(
            name, "".join(letters))
    return source


def parameters(source, kernel):
    """Return for each parameter of a kernel the numpy type of its argument; pointers are `np.uintp`."""
    (text,) = [found for name, found in _KERNEL.findall(source) if name == kernel]
    return [np.uintp if "*" in part else _SCALARS[part.split()[-2]] for part in text.split(",")]


def run(library, kernel, sizes, values):
    """Run every thread of a launch; `sizes` are those of the grid and of a block, `values` are numpy scalars."""
    boxes = [np.array([value]) for value in values]
    pointers = (ctypes.c_void_p * len(boxes))(*[box.ctypes.data for box in boxes])
    getattr(library, "launch_" + kernel)((ctypes.c_uint * 4)(*sizes), pointers)


class SourceModule(Dependent):
    """Takes what pycuda's takes, and refuses what would go wrong with the real one."""

    compiled = ()

    def __init__(self, source, nvcc="nvcc", options=None, keep=False, no_extern_c=False, arch=None, code=None,
                 cache_dir=None, include_dirs=()):
        self.acquire("cuModuleLoadDataEx")
        source.encode("ascii")
        if "#include" in source:
            self.machine.violations.append("nvcc --preprocess is run at every opening")
        if not no_extern_c or arch != "sm_{}{}".format(*self.machine.capability):
            raise CompileError("nvcc compilation of kernel.cu failed")
        if cache_dir:
            with open(os.path.join(cache_dir, "kernel.cubin"), "wb") as stream:
                stream.write(b"cubin")
        type(self).compiled += ((nvcc, tuple(options or ())),)
        self.source = source
        self.library = ctypes.CDLL(build(source))

    def get_function(self, name):
        return Function(self, name)


class Function:
    def __init__(self, module, name):
        self.module, self.name = module, name
        self.types = parameters(module.source, name)

    def __call__(self, *values, **options):
        machine = self.module.machine
        machine.current("cuLaunchKernel")
        grid, block, stream = options.pop("grid"), options.pop("block"), options.pop("stream")
        if options or [type(value) for value in values] != self.types:
            raise TypeError("{}: {} expected, {} and {} found".format(self.name, self.types, values, options))
        if min(grid + block) < 1 or np.prod(block) > _MAX_THREADS or max(grid[1:]) > 65535:
            raise LogicError("cuLaunchKernel failed: invalid value")
        stream.shared.put(lambda: self._run(values, (*grid[:2], *block[:2])), LAUNCH_MS, "cuLaunchKernel")

    def _run(self, values, sizes):
        machine = self.module.machine
        guarded, arguments = {}, []
        for value, kind in zip(values, self.types):
            if kind is np.uintp:
                start, memory = allocation(machine, int(value))
                if start not in guarded:
                    guarded[start] = np.full(len(memory) + 2 * GUARD_BYTES, GUARD, np.uint8)
                    guarded[start][GUARD_BYTES:-GUARD_BYTES] = np.frombuffer(memory, np.uint8)
                value = np.uintp(guarded[start].ctypes.data + GUARD_BYTES + int(value) - start)
            arguments.append(value)
        run(self.module.library, self.name, sizes, arguments)
        for start, copy in guarded.items():
            if (copy[:GUARD_BYTES] != GUARD).any() or (copy[-GUARD_BYTES:] != GUARD).any():
                raise machine.fail("an illegal memory access was encountered")
            machine.at(start, copy.size - 2 * GUARD_BYTES)[:] = copy[GUARD_BYTES:-GUARD_BYTES].tobytes()


def allocation(machine, address):
    for start, (memory, _) in [*machine.device_memory.items(), *machine.mapped_memory.items()]:
        if start <= address < start + len(memory):
            return start, memory
    raise machine.fail("an illegal memory access was encountered")


def make_compiler(machine):
    """Return the module ``pycuda.compiler`` on `machine`."""
    module = types.ModuleType("pycuda.compiler")
    module.SourceModule = type("SourceModule", (SourceModule,), {"machine": machine})
    return module
