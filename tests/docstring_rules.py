"""What a public docstring has to say, as rules that return what is missing.

A docstring is in Google's form: a summary, then sections such as ``Args:`` with one entry a name.
"""
import ast
import importlib
import inspect
import re
import textwrap

from import_graph import FACES, module_files

# A number's entry says what it counts or between what it lies; these words do.
UNIT = re.compile(
    r"pixel|second|minute|\bms\b|\bHz\b|byte|MiB|MAdds|multiply-add|parameters|milliwatt|share|fraction|percent|%|"
    r"degree|[Nn]umber of|[Hh]ow many|[Cc]ount|index|[Ss]eed|at least|at most|\d ?\.\. ?\d|\bfrom \d|\d or \d|\bto \d|"
    r"[Mm]ost |images|frames|threads|classes|layers|copies|calls|inferences|opset|probability|score|version|ratio|"
    r"relative|`unit`")
UNIT_SUFFIXES = ("_s", "_ms", "_us", "_bytes", "_mib", "_mw", "_hz", "_mhz", "_c", "_pct", "_percent", "_flops", "_px")
SHAPE = re.compile(r"`?\[[^\]\n]*\]")
DTYPE = re.compile(r"\b(float16|float32|float64|uint8|int32|int64|bool|dtype|FP16|FP32|FP64)\b")
GIVES_BACK = re.compile(
    r"\b(Returns?|Yields?|Whether|Opens?|Makes?|Builds?|Creates?|Exports?|Measures?|Reads?|Answers?)\b", flags=re.I)
SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Yields):$", flags=re.M)


def entries(doc, *titles):
    """Return name -> text of the entries in those sections of a docstring."""
    found, name = {}, None
    title = None
    for line in doc.splitlines():
        if SECTION.match(line):
            title, name = line.rstrip(":"), None
        elif line and not line.startswith(" "):
            title = None
        elif title in titles:
            entry = re.match(r"    (\*{0,2}\w+(?:, \w+)*): ?(.*)", line)
            if entry:
                name = entry.group(1)
                for part in name.split(", "):
                    found[part.lstrip("*")] = entry.group(2)
            elif name:
                for part in name.split(", "):
                    found[part.lstrip("*")] += " " + line.strip()
    return found


def without_entries(doc):
    """Return what a docstring says apart from its entries: the summary, the text below it, and ``Returns:``."""
    kept, title = [], None
    for line in doc.splitlines():
        if SECTION.match(line):
            title = line.rstrip(":")
        elif line and not line.startswith(" "):
            title = None
        if title in (None, "Returns", "Yields"):
            kept.append(line)
    return "\n".join(kept)


def public_names():
    """Yield what the five packages offer: (dotted name, object)."""
    for face in FACES:
        package = importlib.import_module(face)
        for name in getattr(package, "__all__", ()):
            if not name.startswith("__"):
                yield "{}.{}".format(face, name), getattr(package, name)


def members(found):
    """Yield the public methods and properties of a class that our modules define: (name, function, is a property)."""
    for name in sorted(dir(found)):
        if name.startswith("_") and name != "__call__":
            continue
        for base in found.__mro__:
            if name in vars(base):
                value = vars(base)[name]
                if isinstance(value, property):
                    value = value.fget
                    yield from [(name, value, True)] if is_ours(value) else []
                else:
                    value = getattr(value, "__func__", value)
                    yield from [(name, value, False)] if inspect.isfunction(value) and is_ours(value) else []
                break


def is_ours(found):
    return getattr(found, "__module__", "").split(".")[0] in ("edgenext_deploy", "planted")


def fields_of(found):
    """Return the fields of a record, NamedTuple or dataclass; empty for another class."""
    return list(getattr(found, "_fields", ())) or list(getattr(found, "__dataclass_fields__", ()))


def text_of(annotation):
    if annotation is inspect.Signature.empty or annotation is None:
        return "None"
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def is_number(annotation):
    return re.fullmatch(r"(?:typing\.)?(?:Optional\[)?(?:int|float)\]?(?: \| None)?", annotation) is not None


def documented(doc, module, *titles):
    """Return the entries of those sections, with those of what the docstring refers to: see `X`, fields of `X`."""
    found = {}
    for name in re.findall(r"(?:[Ss]ee|(?:fields|arguments) of) `(\w+)`", " ".join(doc.split())):
        other = getattr(importlib.import_module(module), name, None) if module in module_files() else None
        if other is not None and inspect.getdoc(other) and inspect.getdoc(other) != doc:
            found.update(entries(inspect.getdoc(other), *titles))
    found.update(entries(doc, *titles))
    return found


def is_named(name, doc):
    """Whether a docstring's sentences name an argument or field, in backticks or as words."""
    return re.search(r"\b{}\b".format(re.escape(name).replace("_", "[ _]")), without_entries(doc)) is not None


def raised_in(function):
    """Return the names of the error classes that a function's own body raises."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    except (OSError, SyntaxError):
        return set()
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
            names.add(node.exc.func.id)
    return {name for name in names if name[:1].isupper()} - {"NotImplementedError", "AssertionError"}


def faults_of_entry(name, annotation, text):
    """Yield what an argument's or field's entry does not say."""
    if "ndarray" in annotation and not (SHAPE.search(text) and DTYPE.search(text)):
        yield "{}: an array without a shape `[...]` and a dtype: {!r}".format(name, text)
    if is_number(annotation) and not name.endswith(UNIT_SUFFIXES) and not UNIT.search(text.replace("see `", "")):
        yield "{}: a number without a unit or a range: {!r}".format(name, text)


def faults_of_function(function, doc, is_property=False):
    """Yield what the docstring of a function or method does not say."""
    if not doc:
        yield "no docstring"
        return
    args = documented(doc, function.__module__, "Args", "Attributes")
    signature = inspect.signature(function)
    for name, parameter in signature.parameters.items():
        if name in ("self", "cls") or name.startswith("_"):
            continue
        annotation = text_of(parameter.annotation)
        if name in args:
            if "see `" not in args[name]:
                yield from faults_of_entry(name, annotation, args[name])
        elif not is_named(name, doc):
            kind = {parameter.VAR_KEYWORD: "**", parameter.VAR_POSITIONAL: "*"}.get(parameter.kind, "")
            yield "no entry for {}{}".format(kind, name)
        else:
            yield from faults_of_entry(name, annotation, without_entries(doc))
    unknown = set(entries(doc, "Args")) - set(signature.parameters)
    yield from ("an entry for {}, which is no parameter".format(name) for name in sorted(unknown))
    result = text_of(signature.return_annotation)
    said = without_entries(doc)
    if result != "None" and not is_property and not GIVES_BACK.search(said):
        yield "it does not say what it returns"
    if "ndarray" in result and not (SHAPE.search(said) and DTYPE.search(said)):
        yield "it returns an array without a shape `[...]` and a dtype"
    yield from faults_of_raises(function, doc)


def faults_of_raises(function, doc):
    known = documented(doc, function.__module__, "Raises")
    for name in sorted(raised_in(function)):
        if name not in known and name not in doc:
            yield "{} is raised and not listed".format(name)


def faults_of_class(found):
    """Yield what the docstrings of a class and of its public methods do not say."""
    doc = inspect.getdoc(found) if found.__doc__ else None
    if not doc or doc.startswith(found.__name__ + "("):  # what NamedTuple and dataclass write themselves
        yield "no docstring"
        return
    fields = fields_of(found)
    annotations = {}
    for base in reversed(found.__mro__):
        annotations.update({name: text_of(text) for name, text in vars(base).get("__annotations__", {}).items()})
    args = {}
    for base in reversed(found.__mro__):
        if is_ours(base) and base.__doc__:
            args.update(documented(inspect.getdoc(base), base.__module__, "Args", "Attributes"))
    for name in fields:
        if name in args:
            if "see `" not in args[name]:
                yield from faults_of_entry(name, annotations.get(name, ""), args[name])
        elif not is_named(name, doc):
            yield "no entry for the field {}".format(name)
    start = vars(found).get("__init__")
    if not fields and inspect.isfunction(start):
        text = "{}\n{}".format(doc, inspect.getdoc(start) or "")
        yield from (fault for fault in faults_of_function(start, text) if "returns" not in fault)
    for name, function, is_property in members(found):
        if name not in fields:
            yield from ("{}: {}".format(name, fault) for fault in faults_of_function(
                function, inspect.getdoc(getattr(found, name)), is_property))


def faults_of(found):
    """Yield what the docstrings of a public name do not say."""
    if inspect.isclass(found):
        yield from faults_of_class(found)
    elif callable(found):
        yield from faults_of_function(found, inspect.getdoc(found))


def docstrings(source):
    """Yield (line, text) of every docstring in a file's text."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(
                    first.value.value, str):
                yield first.lineno, first.value.value


def identifiers(source):
    """Return every name in a file's code: defined, used, passed by keyword, or a word of a string constant."""
    found = set()
    documents = {text for _, text in docstrings(source)}
    for node in ast.walk(ast.parse(source)):
        for field in ("name", "id", "attr", "arg", "asname", "module"):
            value = getattr(node, field, None)
            if isinstance(value, str):
                found.update(value.split("."))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in documents:
            found.update(re.findall(r"\w+", node.value))
    return found


REFERENCE = re.compile(r"(?<!`)`([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)(?:\(\))?`(?!`)")


class References:
    """What a backticked name in a docstring may stand for: everything that the files define, use or name."""

    def __init__(self, files):
        self.sources = {module: path.read_text(encoding="utf-8") for module, path in files.items()}
        self.known = set().union(*(identifiers(source) for source in self.sources.values()))
        self.known.update(part for module in files for part in module.split("."))
        self.defined = {module: {name for node in ast.walk(ast.parse(source)) for name in names_bound(node)}
                        for module, source in self.sources.items()}

    def stale(self):
        """Yield (module, line, reference) of the references in docstrings that lead nowhere."""
        for module, source in self.sources.items():
            for line, text in docstrings(source):
                yield from ((module, line, reference) for reference in self.stale_in(text))

    def stale_in(self, text):
        """Return the references in a text that lead nowhere."""
        return [reference for reference in REFERENCE.findall(text) if self._is_stale(reference)]

    def _is_stale(self, reference):
        if reference in OUTSIDE:
            return False
        parts = reference.split(".")
        if reference.startswith("edgenext_deploy."):
            module = reference
            while module not in self.defined:
                module = module.rpartition(".")[0]
            rest = parts[len(module.split(".")):]
            return bool(rest) and module not in FACES and rest[0] not in self.defined[module]
        inside = [module for module in self.defined if ".{}.".format(parts[0]) in module + "."]
        if len(parts) > 1 and inside:
            return parts[1] not in FILE_ENDINGS and not any(
                parts[1] in self.defined[module] or ".{}.".format(".".join(parts[:2])) in module + "."
                for module in inside)
        return any(part not in self.known for part in parts)


def names_bound(node):
    """Yield the names that a statement defines: functions, classes, fields, constants, attributes of self."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
        yield node.name
    elif isinstance(node, ast.alias):
        yield (node.asname or node.name).split(".")[0]
    elif isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Store):
        yield node.id if isinstance(node, ast.Name) else node.attr


# Names in other people's software that docstrings name as their source, and a key of the table of operators.
OUTSIDE = {"printPlanVersion", "pycuda.autoinit", "ssd_mobilevit_small_320", "ssd.py", "traps"}
FILE_ENDINGS = ("py", "json", "md", "onnx", "plan", "cfg", "toml")
