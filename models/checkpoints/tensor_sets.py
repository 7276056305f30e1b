"""Sets of tensors in a weights file: every part of it that could be the parameters of a network."""
import collections
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from edgenext_deploy.errors import BadInputError

BARE = "bare"
_DEEPEST = 12
_MOST_TENSORS = 20_000
_LONGEST_NAME = 500
_MOST_PARTS = 50
# What parallel training, averaging, compilation and checkpointing put around a module, anywhere in it.
_WRAPPERS = re.compile(
    r"(?:^|(?<=\.))(?:module|_module|_orig_mod|_forward_module|_fsdp_wrapped_module|_checkpoint_wrapped_module"
    r"|_fpw_module|_ddp_module)\.")


@dataclass(frozen=True)
class Place:
    """A dictionary of a weights file that has tensors in it.

    Attributes:
        path: keys that lead to it.
        tensors: its tensors by name; dictionaries in it are places of their own.
    """

    path: tuple[str, ...]
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class TensorSet:
    """All tensors of a place whose names have one prefix.

    Attributes:
        place: the dictionary.
        prefix: such as ``student.``; empty for all of the place.
        names: without the prefix.
    """

    place: Place
    prefix: str
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        """Keys and prefix that lead to the set, such as ``state_dict.student``; ``bare`` for the file itself."""
        return ".".join((*self.place.path, *filter(None, [self.prefix.rstrip(".")]))) or BARE

    def tensor(self, name: str) -> Tensor:
        """Return a tensor by its name without the prefix."""
        return self.place.tensors[self.prefix + name]

    def beside(self) -> dict[str, Tensor]:
        """Return the tensors next to the set, whose names have all of its prefix but the last word."""
        parent = ".".join(self.prefix.split(".")[:-2])
        start = parent + "." if parent else ""
        return {name: tensor for name, tensor in self.place.tensors.items()
                if self.prefix and name.startswith(start) and not name.startswith(self.prefix)}

    def is_called(self, state: str) -> bool:
        """Say whether a user who asks for `state` may mean this set: it is the set's name or a part of it."""
        return f".{state}." in f".{self.name}."


def places_of(content: Any) -> list[Place]:
    """Return the places of a file's content, in the file's order, outer ones first.

    Raises:
        BadInputError: more tensors or longer names than a network has, or a tensor that is larger than its data.
    """
    found: list[Place] = []
    seen: set[int] = set()

    def walk(value: Any, path: tuple[str, ...]) -> None:
        if len(path) > _DEEPEST or id(value) in seen:
            return
        items: Iterable[tuple[Any, Any]]
        if isinstance(value, Mapping):
            items = list(value.items())
            tensors = {key: _plain(key, item) for key, item in items
                       if isinstance(key, str) and isinstance(item, Tensor)}
            if tensors:
                found.append(Place(path, tensors))
                if sum(len(place.tensors) for place in found) > _MOST_TENSORS:
                    raise BadInputError(f"holds more than {_MOST_TENSORS} named tensors")
        elif isinstance(value, (list, tuple)):
            items = list(enumerate(value))
        else:
            return
        seen.add(id(value))
        for key, item in items:
            walk(item, (*path, str(key)))

    walk(content, ())
    return found


def _plain(name: str, value: Tensor) -> Tensor:
    """Return a tensor as a plain one: a pickle can give it attributes, which would stand for its methods."""
    if len(name) > _LONGEST_NAME or name.count(".") > _MOST_PARTS:
        raise BadInputError(f"has a tensor of a name with {len(name)} characters and {name.count('.')} dots; at most "
                            f"{_LONGEST_NAME} and {_MOST_PARTS} expected")
    if value.is_nested:
        raise BadInputError(f"{name} is not a plain tensor: a nested one found")
    tensor = Tensor.detach(value)
    if type(tensor) is not Tensor:
        tensor = tensor.as_subclass(Tensor)
    if tensor.layout is torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized:
        held = tensor.untyped_storage().nbytes() // tensor.element_size()
        if tensor.numel() > held:
            raise BadInputError(f"{name} claims {tensor.numel()} values, and its data has {held}",
                                "save the weights again, with .contiguous() where a tensor was expanded")
    return tensor


def sets_of(place: Place) -> list[TensorSet]:
    """Return the sets of a place, one for each prefix that two tensors have, the shortest prefix first."""
    members: dict[str, list[str]] = collections.defaultdict(list)
    for name in place.tensors:
        for start in _starts(name):
            members[name[:start]].append(name[start:])
    return [TensorSet(place, prefix, tuple(members[prefix])) for prefix in sorted(members, key=len)
            if len(members[prefix]) > 1]


def _starts(name: str) -> Iterator[int]:
    yield 0
    for match in re.finditer(r"\.", name):
        yield match.end()


def plain_names(names: Iterable[str], fit: Callable[[Mapping[str, str]], int], wanted: int) -> dict[str, str]:
    """Return what names are called without the wrappers around parts of the network.

    Known wrappers go wherever they stand. Any other one goes where everything below the same parent has it, if the
    names then fit better.

    Args:
        names: of a set of tensors.
        fit: from names with their plain names to the number that the network has.
        wanted: the largest number that `fit` can give.
    """
    best = {name: name for name in names}
    score = fit(best)
    if score == wanted:
        return best
    stripped = {name: _WRAPPERS.sub("", name) for name in best}
    if stripped != best and len(set(stripped.values())) == len(stripped) and fit(stripped) > score:
        best, score = stripped, fit(stripped)
    if 0 < score < wanted:
        for word in _only_children(best.values()):
            tried = {name: plain.replace(f".{word}.", ".") for name, plain in best.items()}
            if len(set(tried.values())) == len(tried) and fit(tried) > score:
                best, score = tried, fit(tried)
    return best


def _only_children(names: Iterable[str]) -> list[str]:
    """Return the words in the middle of names that stand alone below their parents."""
    children: dict[str, set[str]] = collections.defaultdict(set)
    for name in names:
        words = name.split(".")
        for index in range(1, len(words) - 1):
            children[".".join(words[:index])].add(words[index])
    among = {word for words in children.values() if len(words) > 1 for word in words}
    alone = {word for words in children.values() if len(words) == 1 for word in words}
    return sorted(word for word in alone - among if not word.isdigit())
