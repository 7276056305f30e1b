"""TensorRT's doubles on a board of the tests: what a Nano's system packages would be, for its own Python.

`equip` writes modules ``tensorrt`` and ``pycuda`` for a folder on the board's PYTHONPATH, and one that Python imports
first, which makes the machine a Nano. Plans are built by one double and run by the other, in ONNX Runtime.
"""
import importlib.machinery
import os
import sys
import time

RELEASE, CAPABILITY, GPU, BOARD = "8.2", "5.3", "Double GPU", "NVIDIA Jetson Nano Developer Kit"
_TENSORRT = """
import sys
sys.path.append({tests!r})
sys.path.append({here!r})
from board_double import play
play()
"""
_PYCUDA = "import tensorrt\n"
_FIRST = """
try:
    from edgenext_deploy.machine import environment
except ImportError:
    pass
else:
    def present_environment(root="/"):
        return environment.Environment("linux-aarch64", board={board!r}, l4t="32.7.1", tensorrt="8.2.1.8", gpu={gpu!r},
                                       compute_capability={capability!r})
    environment.present_environment = present_environment
"""


def equip(folder):
    """Write the modules into a new folder; return the board's environment variables."""
    import paths

    os.makedirs(os.path.join(str(folder), "pycuda"))
    here = os.path.dirname(os.path.abspath(__file__))
    for name, text in (("tensorrt.py", _TENSORRT.format(tests=paths.TESTS, here=here)),
                       (os.path.join("pycuda", "__init__.py"), _PYCUDA),
                       ("sitecustomize.py", _FIRST.format(board=BOARD, gpu=GPU, capability=CAPABILITY))):
        with open(os.path.join(str(folder), name), "w") as stream:
            stream.write(text)
    return {"PYTHONPATH": str(folder)}


def play():
    """Be TensorRT in this process."""
    if os.path.basename(sys.argv[0]) == "build_child.py":
        build()
    else:
        run()


def build():
    from doubles import tensorrt_double

    module = sys.modules["tensorrt"] = tensorrt_double.make(RELEASE, runs=True)
    parse = module.OnnxParser.parse

    def parsed(parser, data):
        # A file of the board's home says how long a build takes.
        try:
            with open(os.path.expanduser("~/build_s")) as stream:
                time.sleep(float(stream.read()))
        except OSError:
            pass
        found = parse(parser, data)
        module.double.graph = bytes(data)
        return found

    module.OnnxParser.parse = parsed


def run():
    from doubles.cuda_machine import Machine
    from doubles.libcuda_double import make_libcuda
    from doubles.pycuda_double import make_pycuda
    from doubles.tensorrt_runtime_double import make_tensorrt

    from edgenext_deploy.runtime import graph

    machine = Machine(capability=tuple(int(part) for part in CAPABILITY.split(".")), name=GPU)
    library = make_libcuda(machine)
    graph.driver_library = lambda: library
    package, driver = make_pycuda(machine, True)
    tensorrt = make_tensorrt(RELEASE, machine)
    tensorrt.__spec__ = importlib.machinery.ModuleSpec("tensorrt", None)
    sys.modules.update({"pycuda": package, "pycuda.driver": driver, "tensorrt": tensorrt})
