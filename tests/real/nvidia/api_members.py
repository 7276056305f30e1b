"""api_members.py RELEASE: the real bindings' classes, members and signatures, as JSON on standard output."""
import enum
import inspect
import json
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from real.nvidia import trap

_SIGNATURE = re.compile(r"^(?:\d+\. )?(\w+)\((.*)\) -> .*$")
# Of the names with underscores, the API table lists these.
_SPECIAL = ("__getitem__", "__len__", "__del__")


def signatures(thing):
    """Return the parameters of each overload that pybind11 wrote into the docstring, without self."""
    found = []
    for line in (getattr(thing, "__doc__", None) or "").splitlines():
        match = _SIGNATURE.match(line.strip())
        if match:
            found.append([part for part in split(match.group(2)) if not part.startswith("self:")])
    return found


def split(text):
    """Split parameters at the commas that are not inside brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[(<") - (letter in "])>")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def members(found):
    """Return kind ("c" for a class, "e" for an enum), and for each member its signatures, None for a property."""
    if hasattr(found, "__members__"):
        return "e", dict.fromkeys(found.__members__)
    result = {}
    for base in found.__mro__:
        if base is object or base.__name__ in ("pybind11_object", "Enum"):
            continue
        for name, value in vars(base).items():
            if name in result or (name.startswith("_") and name not in (*_SPECIAL, "__init__")):
                continue
            if inspect.isclass(value) or isinstance(value, enum.Enum):
                continue
            result[name] = signatures(value) if callable(value) or isinstance(value, staticmethod) else None
    return "c", result


def table(module):
    classes, functions = {}, {}

    def walk(owner, prefix):
        for name, value in sorted(vars(owner).items()):
            if name.startswith("_"):
                continue
            if inspect.isclass(value) and "tensorrt" in (value.__module__ or ""):
                if prefix + name not in classes:
                    classes[prefix + name] = members(value)
                    walk(value, prefix + name + ".")
            elif not prefix and callable(value):
                functions[name] = signatures(value)

    walk(module, "")
    return {"classes": classes, "functions": functions, "version": module.__version__}


if __name__ == "__main__":
    trap.load_libraries(sys.argv[1])
    json.dump(table(trap.import_bindings(sys.argv[1])), sys.stdout, indent=1, sort_keys=True)
