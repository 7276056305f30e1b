"""Results of many items, made by workers on the nodes of a Ray cluster; they come in order, and none is lost.

Each node has one worker, or one for each GPU where the work needs GPUs. Items go out in parts. A part whose worker or
node died goes to another; a worker that died is started again as long as its node is there. Files must lie under the
same paths on all nodes: in a folder that they share, as must the folder that the command is started in.
"""
import collections
import os
import time
from typing import Any, Callable, Deque, Dict, Iterator, List, Optional, Sequence, Set, Tuple

from edgenext_deploy.errors import EdgeNextError, IncompatibleError, MissingRuntimeError, UsageError
from edgenext_deploy.install import install_command
from edgenext_deploy.preprocess.photo import photo_decoder
from edgenext_deploy.version import __version__

PART = 64
# At least so many batches make a part: with few, a worker would wait for photos as often as it works.
_BATCHES = 4
# Parts under way for each worker, and finished ones that wait for an earlier part, in all.
_AHEAD, _WAITING = 2, 8
# How often one part may take its worker with it, and how often a worker of a node may die while it starts.
_ATTEMPTS = 3
# How often new nodes are looked for, and how long nobody is told that no worker has started.
_LOOK_S, _SILENT_S = 10.0, 30.0
# What has no place on one node may have one on another: it is left out. Anything else ends the run.
_OF_ONE_NODE = (IncompatibleError, MissingRuntimeError)


def _releases() -> str:
    return "edgenext-deploy {} and {}".format(__version__, photo_decoder())


class _Actor:
    """What runs on a node.

    Args:
        folder: that paths start from.
        releases: of what rows depend on, where the command was started; see `_releases`.
        worker: called with `made_of`; what it returns has ``description``, and ``results(items)`` for a list of items.
        made_of: arguments.
    """

    def __init__(self, folder: str, releases: str, worker: Callable[..., Any], made_of: Sequence[Any]) -> None:
        self._folder, self._releases, self._made_of = folder, releases, (worker, made_of)
        self._worker: Any = None

    def open(self) -> Any:
        """Open what the work needs; return the worker's description of it."""
        if self._releases != _releases():
            raise UsageError("a node of the cluster has {}, this machine {}".format(_releases(), self._releases),
                             "install the same releases on all nodes")
        try:
            os.chdir(self._folder)  # paths are in messages, which are the same everywhere
        except OSError as error:
            raise UsageError("a node of the cluster has no folder {}: {}".format(self._folder, error.strerror),
                             "run the command in a folder that all nodes share") from error
        worker, made_of = self._made_of
        self._worker = worker(*made_of)
        return self._worker.description

    def results(self, items: Sequence[Any]) -> List[Any]:
        """Return the result of each item."""
        return list(self._worker.results(items))


class _Place:
    """A worker on a node: its actor, and whether it has opened."""

    def __init__(self, node: str, actor: Any) -> None:
        self.node, self.actor, self.is_open = node, actor, False


class RayWorkers:
    """Workers on all nodes of a cluster; they start at once.

    Args:
        address: of the cluster; ``auto`` for that which this machine belongs to, ``local`` for one of its own.
        worker: see `_Actor`; a class of a module, or a function.
        made_of: see `_Actor`.
        on_gpus: the work needs GPUs: each gets a worker of its own, and no other node has one.
        note: called with a sentence about a node that takes no part.

    Attributes:
        descriptions: of the workers that have opened, in the order in which they did.
        repeated: number of parts that were sent out again because a worker or node died.

    Raises:
        MissingRuntimeError: no ray, no such cluster, or no node for the work.
    """

    def __init__(self, address: str, worker: Callable[..., Any], made_of: Sequence[Any], *, on_gpus: bool = False,
                 note: Callable[[str], None] = lambda text: None) -> None:
        self._ray = _connect(address)
        self._made_of = (os.getcwd(), _releases(), worker, tuple(made_of))
        self._on_gpus, self._note = on_gpus, note
        self._places: List[_Place] = []
        # Reference of what was asked for, to who was asked and for which part; None for the opening.
        self._under_way: Dict[Any, Tuple[_Place, Optional[int]]] = {}
        self._left_out: Set[str] = set()
        self._deaths: Dict[str, int] = collections.Counter()
        self._refusal: Optional[EdgeNextError] = None
        self._parts: List[Sequence[Any]] = []
        self._ahead: Deque[int] = collections.deque()
        self._done: Dict[int, List[Any]] = {}
        self._attempts: Dict[int, int] = collections.Counter()
        self.descriptions: List[Any] = []
        self.repeated = 0
        self._began = self._looked = time.monotonic()
        self._start()
        if not self._places:
            raise MissingRuntimeError("no node of the Ray cluster has a GPU that Ray knows of" if on_gpus else
                                      "no node of the Ray cluster has a processor to work with",
                                      "look at: ray status")

    def first_description(self) -> Any:
        """Wait until a worker has opened; return what it says of itself."""
        while not self.descriptions:
            self._wait()
        return self.descriptions[0]

    def results(self, items: Sequence[Any], batch: int = 1) -> Iterator[Any]:
        """Yield the result of each item, in their order; call it once.

        Args:
            items: in their order.
            batch: how many items a worker takes at a time; a part has several batches, and whole ones.

        Raises:
            EdgeNextError: what a worker raised.
            MissingRuntimeError: one part took several workers with it, or no node is left.
        """
        size = max(PART, _BATCHES * batch) // batch * batch
        self._parts = [items[first:first + size] for first in range(0, len(items), size)]
        self._ahead.extend(range(len(self._parts)))
        for wanted in range(len(self._parts)):
            while wanted not in self._done:
                self._send(wanted)
                self._wait()
            yield from self._done.pop(wanted)

    def _send(self, wanted: int) -> None:
        last = wanted + _WAITING + _AHEAD * len(self._places)
        for place in self._places:
            busy = sum(other is place for other, _ in self._under_way.values())
            while place.is_open and self._ahead and busy < _AHEAD and self._ahead[0] < last:
                number = self._ahead.popleft()
                self._under_way[place.actor.results.remote(self._parts[number])] = place, number
                busy += 1

    def _wait(self) -> None:
        """Wait for something to end, and take it."""
        ended, _ = self._ray.wait(list(self._under_way), num_returns=1, timeout=_LOOK_S)
        if time.monotonic() - self._looked >= _LOOK_S:
            self._look()
        for reference in ended:
            place, number = self._under_way.pop(reference)
            try:
                found = self._ray.get(reference)
            except self._ray.exceptions.RayTaskError as error:
                self._failed(place, number, error)
            except self._ray.exceptions.RayError as error:  # the worker or its node is gone
                self._died(place, number, error)
            else:
                if number is None:
                    place.is_open = True
                    self._deaths.pop(place.node, None)
                    self.descriptions.append(found)
                else:
                    self._done[number] = found

    def _look(self) -> None:
        """Take nodes that have joined; say it where nobody works yet."""
        self._looked = time.monotonic()
        self._start()
        if not self.descriptions and self._looked - self._began >= _SILENT_S:
            self._began = self._looked + 1e9  # said once
            self._note("waiting for the Ray cluster: no worker has started yet; see: ray status")

    def _failed(self, place: _Place, number: Optional[int], error: Any) -> None:
        """Leave out a node that cannot open what the work needs; raise what a worker raised otherwise."""
        cause = getattr(error, "cause", None)
        if not isinstance(cause, EdgeNextError):
            raise error
        if number is not None or not isinstance(cause, _OF_ONE_NODE):
            raise cause from error
        self._leave_out(place, cause)

    def _died(self, place: _Place, number: Optional[int], error: Exception) -> None:
        if number is None:
            self._deaths[place.node] += 1
            if self._deaths[place.node] >= _ATTEMPTS:
                self._leave_out(place, MissingRuntimeError("{} workers died while they started: {}".format(
                    _ATTEMPTS, error), "look at the node's memory and logs"))
                return
        else:
            self._attempts[number] += 1
            if self._attempts[number] >= _ATTEMPTS:
                first = self._parts[number][0]
                raise MissingRuntimeError("{} workers died at the images from {} on: {}".format(
                    _ATTEMPTS, getattr(first, "key", first), error), "look at the nodes' memory and logs") from error
            self.repeated += 1
            self._ahead = collections.deque(sorted([number, *self._ahead]))
        if place in self._places:
            self._places.remove(place)
        self._start()
        if not self._places:
            raise self._refusal or MissingRuntimeError("no node of the Ray cluster is left",
                                                       "start it again; --resume goes on from here")

    def _leave_out(self, place: _Place, reason: EdgeNextError) -> None:
        self._refusal = reason
        if place.node not in self._left_out:
            self._left_out.add(place.node)
            self._note("a node of the cluster takes no part ({}): {}".format(self._name(place.node), reason))
        self._places = [other for other in self._places if other.node != place.node or other.is_open]
        if not self._places:
            raise reason

    def _start(self) -> None:
        """Start the workers that nodes lack; nodes that are gone, and those that are left out, get none."""
        for node in self._ray.nodes():
            name, resources = node["NodeID"], node["Resources"]
            if not node["Alive"] or name in self._left_out:
                continue
            wanted = int(resources.get("GPU", 0)) if self._on_gpus else int(resources.get("CPU", 0) > 0)
            there = sum(place.node == name for place in self._places)
            for _ in range(wanted - there):
                self._start_on(name)

    def _start_on(self, node: str) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        actor = self._ray.remote(num_cpus=0, num_gpus=int(self._on_gpus))(_Actor).options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(*self._made_of)
        place = _Place(node, actor)
        self._places.append(place)
        self._under_way[actor.open.remote()] = place, None

    def _name(self, node: str) -> str:
        return next((str(found.get("NodeManagerHostname") or node) for found in self._ray.nodes()
                     if found["NodeID"] == node), node)


def _connect(address: str) -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingRuntimeError("Ray cannot be imported: {}".format(error), install_command("ray")) from error
    if not ray.is_initialized():
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except ConnectionError as error:
            raise MissingRuntimeError("no Ray cluster answers at {}: {}".format(address, error),
                                      "start one: ray start --head, or use --ray local") from error
    return ray
