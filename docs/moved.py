"""Rewrite imports of this project's modules to where they are now: ``python docs/moved.py FILE_OR_FOLDER...``.

Reads the table in ``moved.md`` beside it. Python files are changed in place: import statements, and dotted names in
strings and comments. Where a module's last name changed, names bound by ``from package import module`` keep their
old spelling through ``as``. Run it once over a file: some new names are old names of other modules.
"""
import ast
import re
import sys
from pathlib import Path

ROW = re.compile(r"^\| `([\w.]+)(?::(\w+))?` \| `([\w.]+)` \|$", re.MULTILINE)
DOTTED = re.compile(r"\bedgenext_deploy(?:\.\w+)+")
STATEMENT = re.compile(r"\bfrom (?:edgenext_deploy(?:\.\w+)*) import \w+(?: as \w+)?(?:, \w+(?: as \w+)?)*")
FILE = re.compile(r"\b(?:edgenext_deploy|models|export|engines|benchmarks)(?:/\w+)+\.py\b")
WIDTH = 120


def read_table(path: Path) -> "tuple[dict[str, str], dict[tuple[str, str], str]]":
    """Return two dictionaries: old module to new module, and (old module, name) to the name's new module."""
    modules, names = {}, {}
    for old, name, new in ROW.findall(path.read_text()):
        if name:
            names[old, name] = new
        else:
            modules[old] = new
    return modules, names


def new_dotted(text: str, modules: "dict[str, str]", names: "dict[tuple[str, str], str]") -> str:
    """Return a dotted name, a module's or of something in a module, as it is spelled now."""
    parts = text.split(".")
    for count in range(len(parts), 1, -1):
        module = ".".join(parts[:count])
        if count < len(parts) and (module, parts[count]) in names:
            return ".".join([names[module, parts[count]], *parts[count:]])
        if module in modules:
            return ".".join([modules[module], *parts[count:]])
    return text


def new_file(text: str, modules: "dict[str, str]") -> str:
    """Return the path of a module's file as it is now."""
    dotted = text[:-len(".py")].replace("/", ".")
    package = dotted.startswith("edgenext_deploy.")
    new = modules.get(dotted if package else "edgenext_deploy." + dotted)
    if new is None:
        return text
    parts = new.split(".")
    staged = parts[1] in ("models", "export", "engines", "benchmarks")
    return "/".join(parts[1:] if staged else parts) + ".py"


def new_import(
    node: ast.ImportFrom, modules: "dict[str, str]", names: "dict[tuple[str, str], str]"
) -> "list[str] | None":
    """Return a ``from … import …`` statement as lines without indentation, or None if it stays."""
    groups = {}
    for alias in node.names:
        full = "{}.{}".format(node.module, alias.name)
        if full in modules:
            module, _, name = modules[full].rpartition(".")
            bound = alias.asname or alias.name
            shown = name if bound == name else "{} as {}".format(name, bound)
        else:
            module = names.get((node.module, alias.name)) or modules.get(node.module, node.module)
            shown = alias.name if alias.asname is None else "{} as {}".format(alias.name, alias.asname)
        groups.setdefault(module, []).append(shown)
    unchanged = [alias.name if alias.asname is None else "{} as {}".format(alias.name,
                                                                           alias.asname) for alias in node.names]
    if groups == {node.module: unchanged}:
        return None
    lines = []
    for module, shown in groups.items():
        line = "from {} import {}".format(module, ", ".join(shown))
        if node.col_offset + len(line) <= WIDTH:
            lines.append(line)
        else:
            lines += ["from {} import (".format(module), *("    {},".format(name) for name in shown), ")"]
    return lines


def new_text(text: str, modules: "dict[str, str]", names: "dict[tuple[str, str], str]") -> str:
    """Return a string, a comment or a document with the names in it rewritten."""
    def statement(match: "re.Match[str]") -> str:
        node = ast.parse(match.group()).body[0]
        lines = new_import(node, modules, names)
        # Marked as below.
        return "\0" + (match.group() if lines is None else "; ".join(lines)).replace("edgenext_deploy", "\1") + "\0"

    text = STATEMENT.sub(statement, text)
    text = DOTTED.sub(lambda match: new_dotted(match.group(), modules, names), text)
    text = FILE.sub(lambda match: new_file(match.group(), modules), text)
    return text.replace("\0", "").replace("\1", "edgenext_deploy")


def rewrite(source: str, modules: "dict[str, str]", names: "dict[tuple[str, str], str]") -> str:
    """Return the text of a Python file with its imports rewritten."""
    lines = source.split("\n")
    statements = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)
                  and node.level == 0 and (node.module or "").split(".")[0] == "edgenext_deploy"]
    for node in sorted(statements, key=lambda node: -node.lineno):
        new = new_import(node, modules, names)
        if new is None:
            kept = lines[node.lineno - 1:node.end_lineno]
        else:
            trailing = lines[node.end_lineno - 1][node.end_col_offset:]
            prefix = lines[node.lineno - 1][:node.col_offset]
            indent = " " * node.col_offset
            kept = [prefix + new[0], *(indent + line for line in new[1:])]
            kept[-1] += trailing
        # Marked, so that the pass over dotted names leaves them alone.
        lines[node.lineno - 1:node.end_lineno] = ["\0" + line for line in kept]
    result = []
    for line in lines:
        if line.startswith("\0"):
            result.append(line[1:])
        else:
            result.append(new_text(line, modules, names))
    return "\n".join(result)


def main(arguments: "list[str]") -> None:
    """Rewrite every Python file that is named, or lies in a folder that is named."""
    modules, names = read_table(Path(__file__).with_name("moved.md"))
    for argument in map(Path, arguments):
        for path in sorted(argument.rglob("*.py")) if argument.is_dir() else [argument]:
            source = path.read_text()
            new = rewrite(source, modules, names)
            if new != source:
                path.write_text(new)
                print("rewritten", path)


if __name__ == "__main__":
    main(sys.argv[1:])
