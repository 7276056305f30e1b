"""The imports of the project as a graph: module to the modules of ours that it imports, at any depth of its code."""
import ast
from pathlib import Path

import paths

ROOT = Path(paths.ROOT)
STAGES = ("models", "export", "engines", "benchmarks")
# What their `__init__` lists is the public interface; nothing inside the project imports through it.
FACES = ("edgenext_deploy", *("edgenext_deploy." + stage for stage in STAGES))


def module_files():
    """Return every module of the project by its import name; links are followed, so a stage's files count once."""
    found = {}
    for path in sorted((ROOT / "edgenext_deploy").glob("**/*.py")) + [
            path for stage in STAGES for path in sorted((ROOT / stage).glob("**/*.py"))]:
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[0] == "edgenext_deploy" and parts[1] in STAGES:
            continue
        parts = parts if parts[0] == "edgenext_deploy" else ("edgenext_deploy", *parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_in(node):
    """Yield the dotted names that one statement imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.level == 0:
        yield from ("{}.{}".format(node.module, alias.name) for alias in node.names)


def imports_of(source):
    """Yield the dotted names that a file's text imports, also inside functions and for type checkers alone."""
    for node in ast.walk(ast.parse(source)):
        yield from imports_in(node)


def module_graph(files):
    """Return module -> modules of `files` that it imports."""
    def resolve(name):
        while name and name not in files:
            name = name.rpartition(".")[0]
        return name

    return {module: {resolve(name) for name in imports_of(path.read_text(encoding="utf-8"))} - {"", module}
            for module, path in files.items()}


def room_of(module, files):
    """Return the folder that a module lies in, as a dotted name; a face is a room of its own."""
    if module in FACES:
        return module + ".__init__"
    return module if files[module].name == "__init__.py" else module.rpartition(".")[0]


def room_graph(graph, files):
    """Return room -> rooms that its modules import."""
    rooms = {}
    for module, imported in graph.items():
        here = rooms.setdefault(room_of(module, files), set())
        here.update(room_of(other, files) for other in imported)
        here.discard(room_of(module, files))
    return rooms


def cycles(graph):
    """Return the sets of nodes that reach each other (Tarjan's strongly connected components of two and more)."""
    number, low, stack, found = {}, {}, [], []

    def visit(node):
        number[node] = low[node] = len(number)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in number:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], number[other])
        if low[node] == number[node]:
            component = stack[stack.index(node):]
            del stack[stack.index(node):]
            if len(component) > 1:
                found.append(sorted(component))

    for node in sorted(graph):
        if node not in number:
            visit(node)
    return found
