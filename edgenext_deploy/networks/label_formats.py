"""The formats in which people keep category names: lines, numbered lines, JSON, Python literals, simple YAML.

A format is understood or refused by its name; the syntax of a known format never becomes a category's name. A JSON
list is the one form that is taken as it stands, so it is the way out wherever lines could mean two things.
"""
import ast
import json
import re
from typing import Any, Dict, List, NoReturn, Optional, Sequence, Tuple

# Where other programs keep the names inside a larger file: Ultralytics, Hugging Face, timm, this toolkit's manifest.
_FIELDS = ("names", "id2label", "label_names", "class_to_idx", "labels", "classes")
_NUMBER_FIRST = re.compile(r"(?P<index>\d{1,9})(?:\s*(?P<mark>[:,;\t=|])\s*|\s+-\s+|\s+|[.)]\s+)(?P<name>\S.*)")
_NUMBER_LAST = re.compile(r"(?P<name>.*?\S)(?:\s*(?P<mark>[:,;\t=|])\s*|\s+)(?P<index>\d{1,9})")
_SYNSET = re.compile(r"(n\d{8})[\s:,]+(\S.*)")
# How the first line of a file in another format begins.
_FOREIGN = (
    (re.compile(r"(<\?xml|<!doctype|<html|<\w+[ >])", re.IGNORECASE), "XML or HTML"),
    (re.compile(r"item\s*\{"), "a TensorFlow label map (pbtxt)"),
    (re.compile(r"(import|from)\s+\w+|[A-Za-z_]\w*\s*=\s*[\[{(]"), "Python code"),
    (re.compile(r"\[[A-Za-z_]\w*\]\n\s*\w+\s*="), "an INI file"))
_YAML_KEY = re.compile(r"[^\s#:'\"\[{-][^:#]*:(\s|$)")
_QUOTED = re.compile(r"([\"']).*\1,?|.*[\"'],")
# Longer lines are no names, and cost the patterns above too much.
_LONGEST = 1000
_LIST = "write the names as a JSON list, [\"cat\", \"dog\"], which is taken as it stands"


class LabelsError(ValueError):
    """The text is not a list of names in a format that is read; the message names the format."""


def parse_labels(text: str) -> Tuple[str, ...]:
    """Return the names in `text`, in the order of the classes.

    Raises:
        LabelsError: an empty name, or a format that is not read, or one that leaves the order open.
    """
    body = text.strip("\n\r\t ")
    if "\0" in body:
        raise LabelsError("it is a binary file")
    for pattern, name in _FOREIGN:
        if pattern.match(body):
            raise LabelsError("it is {}, which is not read; {}".format(name, _LIST))
    if body[:1] in ("[", "{"):
        listed = _bracketed(body)
        if listed is not None:
            return listed
    lines = text.rstrip().split("\n")
    stripped = [line.strip() for line in lines]
    found = _yaml(lines)
    if found is None:
        found = _numbered(stripped)
    return _checked(stripped, "line") if found is None else _checked(found, "name")


def _bracketed(body: str) -> Optional[Tuple[str, ...]]:
    """Return the names of JSON or a Python literal; None if every line is a name with brackets of its own."""
    try:
        value = json.loads(body, object_pairs_hook=_unique_keys)
    except LabelsError:
        raise
    except ValueError as error:
        lines = body.split("\n")
        if len(lines) > 1 and all(re.match(r"\s*\{.*\}\s*$", line) for line in lines):
            raise LabelsError("it is JSON Lines, which is not read; {}".format(_LIST)) from error
        if len(lines) > 1 and all(
                re.match(r"\s*\[[^'\",]*$", line) and line.count("[") == line.count("]") for line in lines):
            return None
        try:
            value = ast.literal_eval(body)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise LabelsError("it begins like JSON and is not valid: {}".format(error)) from error
    except RecursionError as error:
        raise LabelsError("it is JSON that is nested too deeply") from error
    return _checked(_names_of(value), "entry")


def _unique_keys(pairs: Sequence[Tuple[str, Any]]) -> Dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise LabelsError("it is JSON in which a key comes twice")
    return dict(pairs)


def _names_of(value: Any) -> List[Any]:
    """Return the names of a list, an index map, a map to indices, or a larger document with one of these in it."""
    if isinstance(value, (list, tuple)):
        return list(value)
    if not isinstance(value, dict):
        raise LabelsError("a JSON list or map expected, {} found".format(type(value).__name__))
    for field in _FIELDS:
        if isinstance(value.get(field), (list, dict)) and value[field]:
            return _names_of(value[field])
    if "categories" in value or "annotations" in value:
        raise LabelsError("it is a COCO file, whose ids need not be class indices; " + _LIST)
    if value and all(type(index) is int for index in value.values()) and all(type(key) is str for key in value):
        return _in_order([(index, name) for name, index in value.items()], "JSON map from name to index")
    if value and all(re.fullmatch(r"\d{1,9}", str(key)) for key in value):
        return _in_order([(int(key), _last(name)) for key, name in value.items()], "JSON map from index to name")
    raise LabelsError("it is JSON, and neither a list of names, nor a map between names and indices, nor a file with "
                      "one of these under " + ", ".join(_FIELDS))


def _last(name: Any) -> Any:
    """Return the name of Keras' entry ``["n01440764", "tench"]``."""
    pair = isinstance(name, (list, tuple)) and len(name) == 2 and re.fullmatch(r"n\d{8}", str(name[0]))
    return name[1] if pair else name


def _in_order(pairs: Sequence[Tuple[int, Any]], what: str) -> List[Any]:
    """Return the names sorted by index; the indices have to be 0 to N - 1."""
    indices = sorted(index for index, _ in pairs)
    if indices != list(range(len(pairs))):
        raise LabelsError("it is a {} with the indices {} to {} for {} names, 0 to {} expected; {}".format(
            what, indices[0], indices[-1], len(pairs), len(pairs) - 1, _LIST))
    return [name for _, name in sorted(pairs, key=lambda pair: pair[0])]


def _checked(names: Sequence[Any], unit: str) -> Tuple[str, ...]:
    if not names:
        raise LabelsError("it has no names")
    for number, name in enumerate(names, 1):
        if not isinstance(name, str):
            raise LabelsError("{} {} is {}, a name in quotes expected".format(
                unit, number, json.dumps(name, default=str)[:60]))
        if len(name) > _LONGEST:
            raise LabelsError("{} {} has {} characters, at most {} expected".format(unit, number, len(name), _LONGEST))
        if not name.strip():
            raise LabelsError("{} {} is empty".format(unit, number))
    return tuple(name.strip() for name in names)


def _numbered(lines: Sequence[str]) -> Optional[List[str]]:
    """Return the names of ``0 cat``, ``cat: 0`` or ``n01440764 tench`` lines, None if these are plain lines."""
    if not all(lines) or max(len(line) for line in lines) > _LONGEST:
        return None
    if all(_QUOTED.fullmatch(line) for line in lines):
        raise LabelsError("every line has quotes or a comma around its name, as in JSON without brackets; " + _LIST)
    synsets = [_SYNSET.fullmatch(line) for line in lines]
    if all(synsets):
        pairs = [(found.group(1), found.group(2)) for found in synsets if found is not None]
        if [synset for synset, _ in pairs] != sorted({synset for synset, _ in pairs}):
            raise LabelsError("it has a synset in front of every name, and these are not in rising order, which is "
                              "that of ImageNet's classes; sort the lines, or " + _LIST)
        if all(re.match(r"\d{1,9}\s", name) for _, name in pairs):
            raise LabelsError("it has a synset and a number in front of every name; " + _LIST)
        return [name for _, name in pairs]
    for pattern in (_NUMBER_FIRST, _NUMBER_LAST):
        found = [pattern.fullmatch(line) for line in lines]
        if len(lines) > 2 and found[0] is None and all(found[1:]) and all(
                match is not None and match.group("mark") in (",", "\t", ";") for match in found[1:]):
            raise LabelsError("it is CSV with a line of headings, which is not read; remove that line")
        if all(found):
            numbered = [(int(match.group("index")), match.group("name")) for match in found if match is not None]
            marked = all(match is not None and match.group("mark") for match in found)
            if _is_numbering(numbered, marked, pattern is _NUMBER_FIRST):
                return _in_order(numbered, "list with a number on every line and")
    return None


def _is_numbering(pairs: Sequence[Tuple[int, str]], marked: bool, first: bool) -> bool:
    """Return whether numbers are indices, and no part of names such as ``100 yen`` or ``type 1``."""
    numbers = {number for number, _ in pairs}
    if marked and first:
        return True
    if len(numbers) != len(pairs) or len({name for _, name in pairs}) != len(pairs):
        return False
    if numbers == set(range(len(pairs))):
        return len(pairs) > 1 or first
    # With a hole or from 1: certainly meant as indices after a colon; in front of a name, too likely to be guessed.
    return marked or (first and min(numbers) <= 1)


def _yaml(lines: Sequence[str]) -> Optional[List[str]]:
    """Return the names of a YAML list, an index map or a file with ``names:``, None if these lines are no YAML."""
    used = [line.rstrip() for line in lines if line.strip() and not re.match(r"\s*#(\s|$)", line)]
    explicit = used[:1] == ["---"] or (bool(used) and used[0].startswith("%YAML"))
    used = [line for line in used if line not in ("---", "...") and not line.startswith("%YAML")]
    top = [line for line in used if not line[0].isspace() and not re.match(r"-(\s|$)", line)]
    keys = [line for line in top if _YAML_KEY.match(line)]
    for field in _FIELDS:
        start = next((number for number, line in enumerate(used) if re.match(field + r"\s*:(\s|$)", line)), None)
        if start is not None and len(keys) == len(top):
            inline = _uncommented(used[start].split(":", 1)[1])
            block = []
            for line in used[start + 1:]:
                if not line[0].isspace() and not re.match(r"(-(\s|$)|[\]}])", line):
                    break
                block.append(line)
            return _names_of_yaml(inline, block)
    if used and all(re.match(r"-(\s|$)", line) for line in used):
        return _names_of_yaml("", used)
    if explicit or (len(keys) > 1 and len(keys) == len(top) and any(line.endswith(":") for line in keys)) or (
            len(keys) > 1 and len(keys) == len(used) and not all(
                _NUMBER_FIRST.fullmatch(line) or _NUMBER_LAST.fullmatch(line) for line in keys)):
        if explicit and used and len(keys) == len(used):
            return _numbered(used) or _refuse_yaml("no names are found in it")
        _refuse_yaml("no names are found in it")
    return None


def _names_of_yaml(inline: str, block: Sequence[str]) -> List[str]:
    if inline[:1] in ("[", "{"):
        return _flow(" ".join([inline, *(_uncommented(line.strip()) for line in block)]))
    if inline or not block:
        _refuse_yaml("{!r} is no list or map".format(inline[:40]))
    stripped = [_uncommented(line.strip()) for line in block]
    if len({len(line) - len(line.lstrip()) for line in block}) > 1:
        _refuse_yaml("its names are nested")
    if all(re.match(r"-(\s|$)", line) for line in stripped):
        return [_scalar(line[1:].strip()) for line in stripped]
    return _map([_split_entry(line) for line in stripped])


def _flow(text: str) -> List[str]:
    """Return the names of ``[cat, 'dog']`` or ``{0: cat, 1: dog}``."""
    closing = {"[": "]", "{": "}"}[text[0]]
    if not text.endswith(closing):
        _refuse_yaml("its list does not end in {!r}".format(closing))
    entries, rest = [], text[1:-1].strip()
    while rest:
        match = re.match(r"""((?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^,'"\[\]{}][^,\[\]{}]*))\s*(?:,\s*|$)""", rest)
        if match is None:
            _refuse_yaml("{!r} is not understood".format(rest[:40]))
        entries.append(match.group(1).strip())
        rest = rest[match.end():]
    return [_scalar(entry) for entry in entries] if closing == "]" else _map([_split_entry(entry) for entry in entries])


def _split_entry(entry: str) -> Tuple[str, str]:
    match = re.match(r"""("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^:'"]+):\s+(\S.*)""", entry)
    if match is None:
        _refuse_yaml("{!r} is no 'index: name'".format(entry[:40]))
    return _scalar(match.group(1).strip()), _scalar(match.group(2).strip())


def _map(entries: Sequence[Tuple[str, str]]) -> List[str]:
    found: Dict[str, Any] = dict(entries)
    if len(found) != len(entries):
        _refuse_yaml("a key comes twice")
    if all(re.fullmatch(r"\d{1,9}", key) for key in found):
        return _in_order([(int(key), name) for key, name in entries], "YAML map from index to name")
    if all(re.fullmatch(r"\d{1,9}", name) for name in found.values()):
        return _in_order([(int(index), name) for name, index in entries], "YAML map from name to index")
    raise LabelsError("it is a YAML map, and neither from indices to names nor from names to indices; " + _LIST)


def _scalar(text: str) -> str:
    """Return a quoted or plain scalar as text; ``no`` stays the word, for it is a name here."""
    if len(text) > 1 and text[0] == text[-1] == '"':
        try:
            return str(json.loads(text))
        except ValueError:
            _refuse_yaml("{!r} has an escape that is not understood".format(text[:40]))
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1].replace("''", "'")
    if text[:1] in tuple("&*!|>%@`\"'[]{}") or re.match(r"[?-](\s|$)", text) or re.search(r":(\s|$)", text):
        _refuse_yaml("{!r} is more than a plain name".format(text[:40]))
    return text


def _uncommented(text: str) -> str:
    """Return YAML without a comment at its end."""
    match = re.match(r"""((?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|(?<!\s)#|[^#])*)(?:(?<=\s)#.*|#.*)?$""", " " + text)
    return (match.group(1) if match is not None else text).strip()


def _refuse_yaml(why: str) -> NoReturn:
    raise LabelsError("it is YAML, of which only plain lists and maps of names are read, and {}; {}".format(why, _LIST))
