"""What our code uses of TensorRT's and pycuda's Python APIs, found by a walk over its syntax trees."""
import ast
import os
from collections import namedtuple

from paths import ROOT

FOLDERS = ("edgenext_deploy", "engines", "benchmarks")
# The last name of the expression that holds one of the bindings' objects, without a leading underscore.
TENSORRT = {"config": "IBuilderConfig", "builder": "Builder", "network": "INetworkDefinition", "parser": "OnnxParser",
            "engine": "ICudaEngine", "context": "IExecutionContext", "layer": "ILayer", "tensor": "ITensor",
            "error": "ParserError", "get_timing_cache": "ITimingCache", "create_engine_inspector": "EngineInspector",
            "Runtime": "Runtime", "runtime": "Runtime", "as_convolution": "IConvolutionLayer",
            "convolution": "IConvolutionLayer"}
PYCUDA = {"context": "Context", "stream": "Stream", "handle": "Device", "mark": "Event", "memory": "DeviceAllocation",
          "Device": "Device"}

Use = namedtuple("Use", "owner name call path line")
Use.__doc__ = """One use of a member.

owner: class of the API, empty for the module itself.
call: None, or the number of positional arguments and the keywords.
"""


def sources():
    """Return the files that run on a device; the stages' links inside the core are not followed."""
    return sorted(os.path.join(folder, name) for top in FOLDERS for folder, _, names in os.walk(os.path.join(ROOT, top))
                  for name in names if name.endswith(".py"))


def parsed(paths=None):
    for path in paths or sources():
        with open(path, encoding="utf-8") as stream:
            yield os.path.relpath(path, ROOT), ast.parse(stream.read())


def last_name(node):
    """Return the last name of an expression: ``layer`` of ``self._layer``, ``Runtime`` of ``trt.Runtime(logger)``."""
    if isinstance(node, ast.Call):
        node = node.func
    if isinstance(node, ast.Attribute):
        return node.attr.lstrip("_")
    return node.id.lstrip("_") if isinstance(node, ast.Name) else ""


def chain(node, root):
    """Return the names behind the module in ``self.trt.DataType.FLOAT``, or None where it is not at the root."""
    names = []
    while isinstance(node, ast.Attribute):
        if node.attr.lstrip("_") == root:
            return names[::-1]
        names.append(node.attr)
        node = node.value
    return names[::-1] if isinstance(node, ast.Name) and node.id == root else None


def form(call):
    """Return the call's number of positional arguments and its keywords; None for a call with *arguments."""
    if any(isinstance(argument, ast.Starred) for argument in call.args):
        return None
    return len(call.args), tuple(keyword.arg for keyword in call.keywords)


def uses(root, receivers, classes, paths=None):
    """Return every `Use` of a module called `root`, and of objects in variables whose names are in `receivers`.

    Args:
        root: ``trt`` or ``driver``.
        receivers: class by variable name.
        classes: names of members by class; what no class in question has is a name of our own objects.
        paths: files to read; by default all that run on a device.
    """
    found = []
    for path, tree in parsed(paths):
        calls = {id(node.func): form(node) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                found.extend(_overrides(node, root, path))
            if not isinstance(node, ast.Attribute):
                continue
            call, names = calls.get(id(node)), chain(node, root)
            if names:
                if names[-1] == "__init__" and call:
                    call = call[0] - 1, call[1]  # called on the class, so self is an argument
                found.append(Use(".".join(names[:-1]), names[-1], call, path, node.lineno))
            elif names is None:
                owner = receivers.get(last_name(node.value))
                if owner and node.attr in classes.get(owner, ()):
                    found.append(Use(owner, node.attr, call, path, node.lineno))
    return found


def _overrides(node, root, path):
    """Yield the methods of a class that derives from one of the module's: the bindings call them by name."""
    for base in node.bases:
        names = chain(base, root)
        for method in node.body if names else ():
            if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                yield Use(".".join(names), method.name, (len(method.args.args) - 1, ()), path, method.lineno)
