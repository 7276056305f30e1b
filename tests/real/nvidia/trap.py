"""What lies below NVIDIA's real bindings of TensorRT here: objects whose virtual functions are Python methods.

The bindings call TensorRT through virtual functions. trap.cpp makes objects whose functions hand their number and
arguments to `Below._called`; `find_slots.py` found out which number belongs to which call of the bindings. Methods of
the objects (`Object`) have the names of the Python API; a property's setter ends in ``_is``.
"""
import ctypes
import importlib
import json
import os
import sys
import traceback

from real.nvidia import places

WORD = ctypes.c_uint64
HANDLER = ctypes.CFUNCTYPE(WORD, ctypes.c_int64, WORD, WORD, WORD, WORD, WORD, WORD)
LOG = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p)
# What trap.cpp and rest.cpp call for TensorRT's entry points.
NEW_BUILDER, NEW_RUNTIME, NEW_PARSER, INIT_PLUGINS = -1, -2, -3, -4
DESTRUCTOR = 1  # the deleting one, in every class that has a virtual destructor


def load_libraries(release):
    """Load libnvinfer and its companions for a release, so that the bindings find them; return libnvinfer."""
    major = release.split(".")[0]
    names = ["nvinfer", "nvonnxparser", "nvinfer_plugin"] + (["nvparsers"] if major == "8" else [])
    loaded = [ctypes.CDLL(os.path.join(places.LIBRARIES, "lib{}.so.{}".format(name, major)), mode=ctypes.RTLD_GLOBAL)
              for name in names]
    loaded[0].trap_new.restype = ctypes.c_void_p
    return loaded[0]


def import_bindings(release):
    """Import the real bindings of a release; `load_libraries` comes first."""
    folder = places.bindings(release, places.present_python())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module("tensorrt_bindings")


def function(pointer, index, kind):
    """Return a virtual function of an object that the bindings made (a logger, a profiler), as a ctypes function."""
    table = ctypes.cast(ctypes.cast(pointer, ctypes.POINTER(WORD))[0], ctypes.POINTER(WORD))
    return kind(table[index])


class Object:
    """An object of TensorRT's; its methods get the words that the virtual function got.

    They may return None, a number, a text, another `Object`, or, where C++ returns Dims, the sizes.
    """

    kind = ""

    def __init__(self, below):
        self.below = below
        self.strings = []  # what C++ holds pointers to

    def destroyed(self):
        pass


class Below:
    """The real bindings of one release with objects of our own below them; one for a process.

    Attributes:
        module: ``tensorrt_bindings``.
        machine: who makes runtimes, builders and parsers; its ``errors`` gets what went wrong in here.
        interface: number of an interface's first own function; from 11 on, four of IVersionedInterface come first.
    """

    def __init__(self, release):
        self.release = release
        major = int(release.split(".")[0])
        self.library = load_libraries(release)
        with open(places.slots(release)) as stream:
            self.names = {(name.split(".")[0], number): name for name, number in json.load(stream).items()}
        self.objects = {}
        self.machine = None
        self.interface = 4 if major >= 11 else 0
        self._libc = ctypes.CDLL(None)
        self._dims = ctypes.c_int32 if major < 10 else ctypes.c_int64
        self._handler = HANDLER(self._called)
        self.library.trap_handler(self._handler)
        self.module = import_bindings(release)

    def add(self, thing):
        """Return the address of a new C++ object for an `Object`, 0 for None."""
        if thing is None:
            return 0
        thing.address = self.library.trap_new()
        self.objects[thing.address] = thing
        return thing.address

    def log(self, logger, severity, text):
        """Log as TensorRT does, from C++; `text` may be bytes."""
        number = int(getattr(self.module.Logger, severity))
        function(logger, self.interface, LOG)(logger, number, text if isinstance(text, bytes) else text.encode())

    def _called(self, slot, a, b, c, d, e, f):
        try:
            if slot < 0:
                return self._created(slot, a, b)
            thing, rest, dims = self.objects.get(a), (b, c, d, e, f), None
            if thing is None:
                # Dims are returned in memory whose address comes first.
                thing, rest, dims = self.objects[b], (c, d, e, f), a
            name = self.names.get((thing.kind, slot))
            # A parser's destructor, alone of all, comes somewhere in its table: it is what none of our calls uses.
            if name is None and (slot == DESTRUCTOR or thing.kind == "OnnxParser"):
                del self.objects[thing.address]
                thing.destroyed()
                self._libc.free(ctypes.c_void_p(thing.address))
                return 0
            if name is None:
                raise NotImplementedError("{}: virtual function {}".format(thing.kind, slot))
            method = name.split(".")[1]
            result = getattr(thing, method[:-1] + "_is" if method.endswith("=") else method)(*rest)
            return self._word(thing, result) if dims is None else self._write_dims(dims, result)
        except BaseException:
            # It cannot pass through C++: the machine tells the test.
            self.machine.errors.append(traceback.format_exc())
            return 0

    def _created(self, slot, a, b):
        if slot == INIT_PLUGINS:
            return int(self.machine.register_plugins(a, ctypes.string_at(b).decode()))
        if slot == NEW_PARSER:
            return self.add(self.machine.new_parser(a, b))
        return self.add(self.machine.new_runtime(a) if slot == NEW_RUNTIME else self.machine.new_builder(a))

    def _word(self, thing, result):
        if isinstance(result, Object):
            return self.add(result)
        if isinstance(result, str):
            result = result.encode()
        if isinstance(result, bytes):
            thing.strings.append(ctypes.create_string_buffer(result))
            return ctypes.addressof(thing.strings[-1])
        return 0 if result is None else int(result) & (2**64 - 1)

    def _write_dims(self, address, sizes):
        ctypes.c_int32.from_address(address).value = len(sizes)
        first = address + ctypes.sizeof(self._dims)
        (self._dims * 8).from_address(first)[:len(sizes)] = [int(size) for size in sizes]
        return address
