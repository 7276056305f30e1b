"""The reference of the public names, from their docstrings: one page of Markdown for each package.

The sources are read and not imported, so that the site needs neither torch nor a Python that runs the package.
"""
import ast
import inspect
import re
import textwrap
from pathlib import Path
from typing import Dict, List, Tuple, Union

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("edgenext_deploy", "edgenext_deploy.models", "edgenext_deploy.export", "edgenext_deploy.engines",
            "edgenext_deploy.benchmarks")
Definition = Union[ast.ClassDef, ast.FunctionDef]
_SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Yields):$")
_ENTRY = re.compile(r"^    (\*{0,2}\w[\w., ]*): (.*)")


def pages() -> Dict[str, str]:
    """Return the page of each package."""
    return {package: page(package) for package in PACKAGES}


def page(package: str) -> str:
    """Return the page of one package: its docstring, then every public name."""
    tree = ast.parse(_file_of(package).read_text(encoding="utf-8"))
    parts = ["# `{}`".format(package), _markdown(ast.get_docstring(tree) or "")]
    for name, module in sorted(public_names(package).items()):
        parts.append(section(name, module))
    return "\n\n".join(parts) + "\n"


def public_names(package: str) -> Dict[str, str]:
    """Return the public names of a package, each with the module that defines it."""
    for node in ast.walk(ast.parse(_file_of(package).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "lazy_names":
            return dict(ast.literal_eval(node.args[1]))
    raise LookupError("{} has no public names".format(package))


def section(name: str, module: str) -> str:
    """Return a heading, the signature and the docstring of a public name, and those of a class's methods."""
    body = ast.parse(_file_of(module).read_text(encoding="utf-8")).body
    found = [node for node in body if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == name]
    parts = ["## `{}`".format(name), "From `{}`.".format(module)]
    if not found:
        raise LookupError("{} defines no {}".format(module, name))
    parts.append(_defined(found[0]))
    if isinstance(found[0], ast.ClassDef):
        for node in found[0].body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and ast.get_docstring(node):
                parts += ["### `{}.{}`".format(name, node.name), _defined(node)]
    return "\n\n".join(part for part in parts if part)


def _file_of(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _defined(node: Definition) -> str:
    return "```python\n{}\n```\n\n{}".format(_signature(node), _markdown(ast.get_docstring(node) or ""))


def _signature(node: Definition) -> str:
    if isinstance(node, ast.FunctionDef):
        if any(getattr(decorator, "id", "") == "property" for decorator in node.decorator_list):
            return "{}: {}".format(node.name, ast.unparse(node.returns) if node.returns else "Any")
        arguments, result = _without_self(node), " -> " + ast.unparse(node.returns) if node.returns else ""
        line = "{}({}){}".format(node.name, ast.unparse(arguments), result)
        return line if len(line) <= 110 else _folded(node.name, arguments, result)
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            line = "{}({})".format(node.name, ast.unparse(_without_self(item)))
            return line if len(line) <= 110 else _folded(node.name, _without_self(item), "")
    fields = [ast.unparse(item) for item in node.body if isinstance(item, ast.AnnAssign)]
    bases = "({})".format(", ".join(ast.unparse(base) for base in node.bases)) if node.bases else ""
    return "class {}{}".format(node.name, bases) + "".join("\n    " + field for field in fields)


def _without_self(node: ast.FunctionDef) -> ast.arguments:
    arguments = node.args
    if arguments.args and arguments.args[0].arg in ("self", "cls"):
        arguments.args = arguments.args[1:]
    return arguments


def _folded(name: str, arguments: ast.arguments, result: str) -> str:
    """Return a signature with one argument a line."""
    parts: List[str] = []
    default_from = len(arguments.args) - len(arguments.defaults)
    for index, argument in enumerate(arguments.args):
        default = arguments.defaults[index - default_from] if index >= default_from else None
        parts.append(_argument(argument, default))
    if arguments.vararg:
        parts.append("*" + ast.unparse(arguments.vararg))
    elif arguments.kwonlyargs:
        parts.append("*")
    parts += [_argument(argument, default) for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults)]
    if arguments.kwarg:
        parts.append("**" + ast.unparse(arguments.kwarg))
    return "{}(\n    {},\n){}".format(name, ",\n    ".join(parts), result)


def _argument(argument: ast.arg, default: Union[ast.expr, None]) -> str:
    text = ast.unparse(argument)
    if default is None:
        return text
    return text + (" = " if argument.annotation else "=") + ast.unparse(default)


def _markdown(docstring: str) -> str:
    """Return a docstring in Google's form as Markdown: its sections become lists."""
    lines: List[str] = []
    in_section = False
    for line in inspect.cleandoc(docstring).splitlines():
        title, entry = _SECTION.match(line), _ENTRY.match(line)
        if title:
            in_section = True
            lines += ["**{}**".format(title.group(1)), ""]
        elif in_section and entry:
            lines.append("- `{}`: {}".format(*_pair(entry)))
        elif in_section and line.startswith("    "):
            lines.append("  " + line.strip() if lines[-1].startswith(("- ", "  ")) else line.strip())
        else:
            in_section = in_section and not line
            lines.append(line)
    # Names are in reStructuredText's double backticks.
    return textwrap.dedent("\n".join(lines)).replace("``", "`")


def _pair(entry: "re.Match[str]") -> Tuple[str, str]:
    return entry.group(1), entry.group(2)
