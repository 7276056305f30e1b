"""Import every module of the installed package: ``python import_everything.py WHERE``; prints how many there were.

WHERE is the folder that the package must come from. The heavy libraries are stood in for by empty classes, so that
this is about our own imports alone, and quick. Under Python 3.6 the device's modules are imported, and the
workstation's commands, which say there what is missing. Runs on every Python.
"""
import importlib
import importlib.abc
import importlib.machinery
import os
import pkgutil
import sys
import types

# What is stood in for. Anything else has to be installed.
OTHERS = {"torch", "onnx", "onnxruntime", "onnxsim", "onnx_ir", "onnxscript", "safetensors", "pycocotools",
          "tensorrt", "tensorrt_rtx", "pycuda", "cv2"}
ON_36 = ("edgenext_deploy.models", "edgenext_deploy.export")


class AnyClass(type):
    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return StandIn

    def __or__(cls, other):
        return StandIn

    __ror__ = __or__


class StandIn(metaclass=AnyClass):
    """Whatever was asked for: a base class, a decorator, a value."""

    def __init__(self, *arguments, **options):
        pass

    def __call__(self, *arguments, **options):
        return arguments[0] if arguments else self

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return StandIn

    def __class_getitem__(cls, item):
        return cls


class StandInModule(types.ModuleType):
    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return StandIn


class StandInFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        known = name.split(".")[0] in OTHERS
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if known else None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        module.__class__ = StandInModule


def main(where):
    sys.meta_path.insert(0, StandInFinder())
    import edgenext_deploy

    found = os.path.realpath(os.path.dirname(edgenext_deploy.__file__))
    assert found == os.path.realpath(os.path.join(where, "edgenext_deploy")), found
    names = [each.name for each in pkgutil.walk_packages(edgenext_deploy.__path__, "edgenext_deploy.")]
    count = 0
    for name in names:
        workstation = name.startswith(ON_36) and sys.version_info < (3, 10)
        if name.endswith("_child") or (workstation and not name.endswith(".cli") and name not in ON_36):
            continue
        importlib.import_module(name)
        count += 1
    for stage in ("models", "export", "engines", "benchmarks"):
        assert "edgenext_deploy." + stage in names
    sys.stdout.write("{}\n".format(count))


if __name__ == "__main__":
    main(sys.argv[1])
