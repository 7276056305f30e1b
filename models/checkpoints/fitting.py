"""Whether a set of tensors is the parameters of a network, under whatever names its publisher gave them."""
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from edgenext_deploy.errors import BadInputError
from edgenext_deploy.models.checkpoints.bookkeeping import is_bookkeeping
from edgenext_deploy.models.checkpoints.heads import head_beside, other_channels, straightened
from edgenext_deploy.models.checkpoints.tensor_sets import TensorSet, plain_names
from edgenext_deploy.models.checkpoints.weights_file import listed
from edgenext_deploy.models.variants.families import Family
from edgenext_deploy.models.variants.key_layouts import to_reference

_UPDATES = ".num_batches_tracked"


@dataclass(frozen=True, eq=False)
class Network:
    """What a set of tensors is compared with.

    Attributes:
        family: its key layouts are understood.
        shapes: from the number of classes to the parameters, on the meta device.
        classes_of: from parameters under the reference names to the number of classes, 0 where that cannot be.
        usual_classes: number of classes of the published network, for messages.
        class_weight: of a classifier, the parameter that `heads.straightened` looks for; empty for another network.
        ignored: starts of reference names that are no part of the network, and no fault.
    """

    family: Family
    shapes: Callable[[int], Mapping[str, Tensor]]
    classes_of: Callable[[Mapping[str, Tensor]], int]
    usual_classes: int = 1
    class_weight: str = ""
    ignored: tuple[str, ...] = ()

    @functools.cached_property
    def names(self) -> frozenset[str]:
        """Names of its parameters, whatever the number of classes."""
        return frozenset(self.shapes(self.usual_classes))

    def count(self, names: Mapping[str, str]) -> int:
        """Return how many of the file's names, given with their plain names, are the network's; see `plain_names`."""
        found = _in_reference(tuple(names.values()), self.family)
        return 0 if isinstance(found, BadInputError) else len(self.names.intersection(found[1]))


@dataclass(frozen=True, eq=False)
class Fit:
    """How a set of tensors fits a network.

    Attributes:
        tensors: the set.
        layout: name of its key layout.
        state: what the network has of it, under the reference names.
        classes: number of classes, 0 if that cannot be told.
        expected: the network's parameters with this number of classes, on the meta device.
        strangers: tensors of the set that are neither the network's nor bookkeeping: reference names with the file's.
        left_out: the file's names of bookkeeping.
        used: the place's names of the tensors in `state`.
        changes: sentences on what was renamed or filled in.
        refusal: why the set cannot be taken though it is this network, and what helps; None if nothing is wrong.
    """

    tensors: TensorSet
    layout: str
    state: Mapping[str, Tensor]
    classes: int
    expected: Mapping[str, Tensor]
    strangers: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    used: frozenset[str] = frozenset()
    changes: tuple[str, ...] = ()
    refusal: BadInputError | None = None

    @property
    def missing(self) -> list[str]:
        """Parameters that the set lacks."""
        return [key for key in self.expected if key not in self.state]

    @property
    def misshapen(self) -> list[str]:
        """Parameters of another shape."""
        return [key for key, value in self.state.items() if value.shape != self.expected[key].shape]

    @property
    def is_complete(self) -> bool:
        """Whether every parameter is there in its shape."""
        return bool(self.classes) and not self.refusal and not self.missing and not self.misshapen

    @property
    def share(self) -> float:
        """Share of the parameters, of the network and of the set together, that are right, 0..1."""
        right = len(self.expected) - len(self.missing) - len(self.misshapen)
        return right / (len(self.expected) + len(self.strangers))

    def faults(self) -> list[str]:
        """Return in words how names and shapes differ from the network's."""
        unexpected = list(self.strangers)
        faults = []
        if self.missing:
            faults.append(f"{keys(self.missing)} missing ({listed(self.missing)})")
        if unexpected:
            faults.append(f"{keys(unexpected)} not expected ({listed(unexpected)})")
        if self.misshapen:
            shapes = (f"{key} is {list(self.state[key].shape)}, {list(self.expected[key].shape)} expected"
                      for key in self.misshapen)
            faults.append(f"{keys(self.misshapen)} of another shape ({listed(shapes)})")
        return faults


def fits_of(sets: Iterable[TensorSet], network: Network) -> list[Fit]:
    """Return how sets fit a network, where they have some of its tensors and are at least half as large.

    Of several prefixes that lead to the same tensors, the shortest counts. Two names for one parameter are no fit.
    """
    fits: list[Fit] = []
    for tensors in sets:
        if 2 * len(tensors.names) >= len(network.names):
            fit = fit_of(tensors, network)
            if not fit.state:
                continue
            if not any(fit.is_complete and other.is_complete and fit.tensors.place is other.tensors.place
                       and fit.used == other.used for other in fits):
                fits.append(fit)
    return fits


def fit_of(tensors: TensorSet, network: Network) -> Fit:
    """Return how one set fits a network."""
    plain = plain_names(tensors.names, network.count, len(network.names))
    named = _in_reference(tuple(plain.values()), network.family)
    if isinstance(named, BadInputError):
        return Fit(tensors, "", {}, 0, network.shapes(network.usual_classes), refusal=named)
    layout, reference_names = named
    if network.names.isdisjoint(reference_names):
        strangers = dict(zip(reference_names, plain))
        return Fit(tensors, layout, {}, 0, network.shapes(network.usual_classes), strangers)
    file_names = dict(zip(reference_names, plain))
    found = {key: tensors.tensor(name) for key, name in file_names.items() if not key.startswith(network.ignored)}
    changes: list[str] = []
    refusal = None
    head: dict[str, str] = {}
    if network.class_weight:
        beside = tensors.beside()
        head = head_beside(found, network.class_weight, beside)
        found.update((key, beside[name]) for key, name in head.items())
        found, changes, refusal = straightened(found, network.class_weight)
        if head:
            outer = head[network.class_weight].rsplit(".", 1)[0]
            changes.insert(0, f"{outer} beside the backbone taken as its head, with nothing but dropout between them")
    classes = network.classes_of(found)
    expected = network.shapes(classes or network.usual_classes)
    state = {key: value for key, value in found.items() if key in expected}
    absent = [key for key in expected if key.endswith(_UPDATES) and key not in state]
    state.update((key, torch.zeros(expected[key].shape, dtype=expected[key].dtype)) for key in absent)
    if absent:
        changes.append(f"{len(absent)} num_batches_tracked, which inference does not use, filled in")
    modules = {key.split(".")[0] for key in expected}
    others = {key: file_names.get(key, key) for key in found if key not in expected}
    left_out = {key: name for key, name in others.items() if is_bookkeeping(key, modules)}
    strangers = {key: name for key, name in others.items() if key not in left_out}
    unused = {*others.values(), *(name for key, name in file_names.items() if key.startswith(network.ignored))}
    used = frozenset([*(tensors.prefix + name for name in tensors.names if name not in unused), *head.values()])
    return Fit(tensors, layout, state, classes, expected, strangers, tuple(left_out.values()), used, tuple(changes),
               refusal or other_channels(state, expected))


@functools.lru_cache(maxsize=128)
def _in_reference(names: tuple[str, ...], family: Family) -> tuple[str, tuple[str, ...]] | BadInputError:
    """Return the layout and what the reference modules call `names`, or that two of them mean the same parameter.

    A search for the nearest variant asks this once for each, and most of them are of the same family.
    """
    try:
        layout, mapping = to_reference(names, family.key_layouts)
    except BadInputError as error:
        return error
    return layout, tuple(mapping[name] for name in names)


def keys(names: Sequence[str] | Mapping[str, Tensor]) -> str:
    """Return the number of keys in words."""
    return f"{len(names)} key" + ("" if len(names) == 1 else "s")
