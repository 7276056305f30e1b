"""Which of the engine's classes a name in the data stands for: by name, by index, or by its place in an order."""
import re
import unicodedata
from typing import Dict, List, Optional, Sequence, Tuple, Union

from edgenext_deploy.errors import BadInputError

# What decides where names are no labels, and who reads folders so.
CLASS_ORDERS = {"index": "numbers are class indices", "text": "sorted as text, as torchvision's ImageFolder",
                "natural": "numbers in names sorted by value, case ignored, as timm"}
_SHOWN = 3


def matches(names: Sequence[str], labels: Sequence[str]) -> Dict[str, Tuple[int, ...]]:
    """Return the indices of the labels that each name equals; without one, of those that it equals but for spelling.

    Case, spaces, underscores, hyphens and the Unicode form (macOS decomposes names of files) are spelling.
    """
    exact: Dict[str, List[int]] = {}
    folded: Dict[str, List[int]] = {}
    for index, label in enumerate(labels):
        exact.setdefault(label, []).append(index)
        folded.setdefault(_folded(label), []).append(index)
    return {name: tuple(exact.get(name) or folded.get(_folded(name)) or []) for name in names}


def by_name(names: Sequence[str], labels: Sequence[str]) -> Optional[Dict[str, int]]:
    """Return the label index of every name, None unless each name matches one label, and no two the same."""
    found = matches(names, labels)
    if any(len(indices) != 1 for indices in found.values()) or len(set(found.values())) != len(found):
        return None
    return {name: indices[0] for name, indices in found.items()}


def map_classes(names: Sequence[str], labels: Sequence[str],
                class_order: Optional[str] = None) -> Tuple[Dict[str, int], str]:
    """Return the class index of every name, and which rule gave it.

    Names that match labels are taken by name. Otherwise they are class indices; or they are as many as the engine's
    classes and stand for these in an order. The synsets of ImageNet-1k are of the last kind: sorted by id they are in
    the usual order of its classes. A reading that gives a name another class than that of its own label does not
    count, and readings that differ are refused.

    Args:
        names: of the classes in the data.
        labels: of the engine's classes.
        class_order: a key of `CLASS_ORDERS` to choose a reading; None as above.

    Raises:
        BadInputError: no reading fits, or several that differ.
    """
    names = sorted(set(names))
    if class_order is None:
        named = by_name(names, labels)
        if named is not None:
            spelled = all(labels[index] == name for name, index in named.items())
            return named, "named by the engine's labels" + (
                "" if spelled else ", but for case, spaces or underscores")
    readings = _readings(names, labels)
    if class_order is not None:
        if class_order not in readings:
            raise _no_reading(names, labels)
        readings = {class_order: readings[class_order]}
    elif readings:
        readings = _without_contradictions(readings, names, labels)
    if not readings:
        raise _no_reading(names, labels)
    chosen, mapping = next(iter(readings.items()))
    for other in readings.values():
        if other != mapping:
            name = next(name for name in names if other[name] != mapping[name])
            raise BadInputError(
                "the names of the {} classes ({}) can be read in ways that differ: {}".format(
                    len(names), _shown(names), "; ".join("{} ({}), {!r} is class {}".format(
                        key, CLASS_ORDERS[key], name, reading[name]) for key, reading in readings.items())),
                "choose one with --class-order " + ", ".join(readings))
    if chosen == "index":
        return mapping, "named by class index"
    first = min(names, key=mapping.__getitem__)
    return mapping, "sorted {}, in the order of the engine's classes ({} is {!r})".format(
        "by name" if class_order is None else "in {} order".format(class_order), first, labels[0])


def map_presence(names: Sequence[str], label: str, class_order: Optional[str] = None) -> Tuple[Dict[str, int], str]:
    """Return of every name whether it stands for an engine's one class (1) or not (0), and which rule said so.

    A name that matches the engine's label is the class, and every other name is not. Otherwise names ``0`` and ``1``
    say it themselves; and of two sorted names the second is the class, because such a network is trained with the
    dataset's indices 0 and 1.

    Args:
        names: of the classes in the data.
        label: of the engine's one class.
        class_order: a key of `CLASS_ORDERS` to choose a reading of two names; None as above, but two names that say
            nothing are refused.

    Raises:
        BadInputError: nothing says which name is the class, or there is one name, so that nothing is told apart.
    """
    names = sorted(set(names))
    if len(names) == 1:
        raise BadInputError("the engine has one class, {!r}, and all images are of {!r}: it could be right on all of "
                            "them whatever it sees".format(label, names[0]), "add images of something else")
    if class_order is None:
        found = matches(names, [label])
        named = [name for name in names if found[name]]
        if len(named) == 1:
            return {name: int(name == named[0]) for name in names}, "{!r} is the engine's class, others are not".format(
                named[0])
    if len(names) == 2:
        readings = _readings(names, ["", ""])
        if class_order is None and "index" in readings:
            class_order = "index"
        if class_order is not None and class_order in readings:
            mapping = readings[class_order]
            return mapping, "{!r} is the engine's class, by {}".format(max(names, key=mapping.__getitem__), class_order)
    raise BadInputError(
        "the engine has one class, {!r}, and of {} folders or names ({}) nothing says which it is".format(
            label, len(names), _shown(names)),
        "name one {!r}, or of two sort the class behind the other and add --class-order text".format(label))


def _folded(name: str) -> str:
    return re.sub(r"[\s_-]+", "", unicodedata.normalize("NFKC", name).casefold())


def _natural(name: str) -> List[Tuple[int, Union[int, str]]]:
    """Return timm's key, in a form that compares any two names."""
    return [(0, int(part)) if re.fullmatch("[0-9]+", part) else (1, part)
            for part in re.split("([0-9]+)", name.lower())]


def _readings(names: Sequence[str], labels: Sequence[str]) -> Dict[str, Dict[str, int]]:
    """Return every reading that is possible, by its key in `CLASS_ORDERS`."""
    found: Dict[str, Dict[str, int]] = {}
    if all(re.fullmatch("[0-9]{1,9}", name) and int(name) < len(labels) for name in names):
        indices = {name: int(name) for name in names}
        if len(set(indices.values())) == len(names):
            found["index"] = indices
    if len(names) == len(labels):
        found["text"] = {name: index for index, name in enumerate(names)}
        found["natural"] = {name: index for index, name in enumerate(sorted(names, key=_natural))}
    return found


def _without_contradictions(readings: Dict[str, Dict[str, int]], names: Sequence[str],
                            labels: Sequence[str]) -> Dict[str, Dict[str, int]]:
    """Return the readings that give each name that matches a label that label's class.

    Raises:
        BadInputError: there is none.
    """
    found = matches(names, labels)
    good = {order: mapping for order, mapping in readings.items()
            if all(not indices or mapping[name] in indices for name, indices in found.items())}
    if not good:
        order, mapping = next(iter(readings.items()))
        wrong = next(name for name in names if found[name] and mapping[name] not in found[name])
        strangers = [name for name in names if len(found[name]) != 1]
        raise BadInputError(
            "{!r} is the engine's class {} ({!r}), and read by {} it would be class {}; {}".format(
                wrong, found[wrong][0], labels[found[wrong][0]], order, mapping[wrong],
                "{} of {} names match no label, or several ({})".format(len(strangers), len(names), _shown(strangers))
                if strangers else "two names match one label"),
            "name every class as the engine's labels, or insist with --class-order " + ", ".join(readings))
    return good


def _no_reading(names: Sequence[str], labels: Sequence[str]) -> BadInputError:
    unnamed = [name for name in names if name not in labels or list(labels).count(name) > 1] or names
    return BadInputError(
        "{} classes found ({}), and the engine has {}; they are not its labels either: {!r} is none of them".format(
            len(names), _shown(names), len(labels), unnamed[0]),
        "name the classes as the engine's labels ({!r}, …) or by their index".format(labels[0]))


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
