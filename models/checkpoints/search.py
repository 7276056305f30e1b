"""The search of a weights file for the parameters of a network."""
import itertools
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import shown
from edgenext_deploy.models.checkpoints.fitting import Fit, Network, fit_of, fits_of
from edgenext_deploy.models.checkpoints.tensor_sets import TensorSet, places_of, sets_of
from edgenext_deploy.models.checkpoints.weights_file import listed
from edgenext_deploy.models.variants.families import FAMILIES, Family
from edgenext_deploy.models.variants.key_layouts import KeyLayout

_LONGEST_NAME = 60


class Search:
    """The sets of tensors of one file, compared with one network after another.

    Args:
        content: of the file, see `weights_file.read_weights_file`.
        state: the set that the user asks for, by its name or a part of it; None for no wish.

    Raises:
        BadInputError: there are no named tensors.
    """

    def __init__(self, content: Any, state: str | None = None) -> None:
        self.content, self.state = content, state
        self.places = places_of(content)
        self._sets = [tensors for place in self.places for tensors in sets_of(place)]
        self._fits: dict[Network, list[Fit]] = {}
        if not self.places:
            raise BadInputError(f"has no state dict in it: {_described(content)} found; tensors by name expected",
                                "save the model's state_dict() with torch.save")

    def complete(self, network: Network, num_classes: int | None = None) -> list[Fit]:
        """Return the sets that are the network, with nothing missing and nothing too much.

        Args:
            network: what to look for.
            num_classes: only with this number of classes; None for any number.

        Raises:
            BadInputError: none of them is called what the user asks for.
        """
        whole = [fit for fit in self._all(network) if fit.is_complete]
        fits = [fit for fit in whole if not _strangers(fit, whole) and num_classes in (None, fit.classes)]
        if self.state is None:
            return fits
        if fits and not any(fit.tensors.is_called(self.state) for fit in fits):
            names = [brief(fit.tensors.name) for fit in fits]
            raise BadInputError(f"has nothing called {brief(self.state)} that fits; what fits: {listed(names)}",
                                f"run with --state {shlex.quote(names[0])}")
        called = [fit for fit in fits if fit.tensors.is_called(self.state)]
        return [fit for fit in called if fit.tensors.name == self.state] or called

    def nearest(self, network: Network) -> Fit:
        """Return how the set fits that fits best, among those that the user asks for."""
        fits = [fit for fit in self._all(network) if self.state is None or fit.tensors.is_called(self.state)]
        if fits:
            return max(fits, key=lambda fit: fit.share)
        largest = max(self.places, key=lambda place: len(place.tensors))
        return fit_of(TensorSet(largest, "", tuple(largest.tensors)), network)

    def only(self, fits: Sequence[Fit], preferred: Sequence[str] = ()) -> Fit:
        """Return the one set to take.

        Args:
            fits: at least one.
            preferred: of several, the first of these is taken.

        Raises:
            BadInputError: there are several.
        """
        for state in preferred:
            for fit in fits:
                if fit.tensors.is_called(state):
                    return fit
        if len(fits) == 1:
            return fits[0]
        names = [brief(fit.tensors.name) for fit in fits]
        raise BadInputError(
            f"holds {len(fits)} networks that fit: {listed(names)}",
            f"say which one to take: --state {' or --state '.join(map(shlex.quote, names[:3]))}")

    def notes(self, fit: Fit) -> list[str]:
        """Return what of the file was not taken beside `fit`, in sentences."""
        notes = []
        if fit.left_out:
            notes.append(f"left out, as no parameters: {listed(map(brief, fit.left_out))}")
        also = [other.tensors for other in self._complete_anyhow(fit)]
        beside = [f"{brief(other.name)} (fits too)" for other in also]
        beside += map(brief, self._others(fit, [fit.tensors, *also]))
        if beside:
            notes.append(f"beside it: {listed(beside)}")
        return notes

    def layout_not_read(self) -> tuple[Family, KeyLayout] | None:
        """Return the layout of this file that is known, but not read; of several, the one that most keys show."""
        shown = [(sum(map(layout.marks, place.tensors)), family, layout)
                 for family, place in itertools.product(FAMILIES.values(), self.places)
                 for layout in family.key_layouts if layout.way_out]
        count, family, layout = max(shown, key=lambda entry: entry[0])
        return (family, layout) if count else None

    def _all(self, network: Network) -> list[Fit]:
        if network not in self._fits:
            self._fits[network] = fits_of(self._sets, network)
        return self._fits[network]

    def _complete_anyhow(self, fit: Fit) -> list[Fit]:
        """Return the other sets that are complete for the network that `fit` is of, whatever the user asks for."""
        (every,) = [fits for fits in self._fits.values() if fit in fits]
        return [other for other in every if other is not fit and other.is_complete]

    def _others(self, fit: Fit, known: Sequence[TensorSet]) -> list[str]:
        """Return the first keys of what is in the file besides the `known` sets."""
        names: dict[str, None] = {}
        place = fit.tensors.place
        if isinstance(self.content, Mapping):
            firsts = {tensors.place.path[0] for tensors in known if tensors.place.path}
            names.update((str(key), None) for key, value in self.content.items()
                         if key not in firsts and not (place.path == () and isinstance(value, Tensor)))
        prefixes = tuple(tensors.prefix for tensors in known if tensors.place is place)
        names.update((".".join((*place.path, name.split(".")[0])), None) for name in place.tensors
                     if not name.startswith(prefixes) and name not in fit.used)
        return list(names)


def brief(name: str) -> str:
    """Return a name from a file for a person to read."""
    return shown(name, _LONGEST_NAME)


def _strangers(fit: Fit, others: Sequence[Fit]) -> list[str]:
    """Return the reference names that are too many in a set, where other networks inside it do not count."""
    prefix = fit.tensors.prefix
    inner = tuple(other.tensors.prefix[len(prefix):] for other in others if other.tensors.place is fit.tensors.place
                  and other.tensors.prefix.startswith(prefix) and other.tensors.prefix != prefix)
    return [key for key, name in fit.strangers.items() if not name.startswith(inner)]


def _described(content: Any) -> str:
    if not isinstance(content, Mapping):
        return f"a {type(content).__name__}"
    return f"a dictionary with the keys {listed(map(str, content))}" if content else "an empty dictionary"
