"""The rows of an evaluation, made by the nodes of a Ray cluster; they come in order, and none is lost.

Each node has one actor, which opens the engines there and reads, prepares and infers as one process alone would
(`rows.rows_of`). Images go out in parts. A part whose worker or node died goes to another; a worker that died is
started again as long as its node is there. Engines and images must lie under the same paths on all nodes: in a folder
that they share, as must the folder that the command is started in.
"""
import collections
import os
from typing import Any, Deque, Dict, Iterator, List, Sequence, Tuple

from edgenext_deploy.benchmarks.accuracy.data import Item
from edgenext_deploy.benchmarks.accuracy.rows import rows_of
from edgenext_deploy.benchmarks.accuracy.task import Row, Task
from edgenext_deploy.errors import EdgeNextError, MissingRuntimeError, UsageError
from edgenext_deploy.install import install_command
from edgenext_deploy.runtime.options import RuntimeOptions

_PART = 64
# Parts under way for each node, and finished ones that wait for an earlier part, in all.
_AHEAD, _WAITING = 2, 8
# How often one part may take its worker with it.
_ATTEMPTS = 3


class Node:
    """What runs on a node: the engines, open there.

    Args:
        folder: that paths start from.
        paths: of the engines.
        digests: SHA-256 of each, as the evaluation's process has it.
        runtime: how to run them.
        task: what an evaluation does for an image.
    """

    def __init__(self, folder: str, paths: Sequence[str], digests: Sequence[str], runtime: RuntimeOptions,
                 task: Task) -> None:
        from edgenext_deploy.networks.open import open_network

        os.chdir(folder)  # paths are in messages, which are the same everywhere
        self._networks = [open_network(path, runtime=runtime) for path in paths]
        self._task = task
        for path, network, digest in zip(paths, self._networks, digests):
            if network.file.sha256 != digest:
                raise UsageError("{} is another file on a node of the cluster".format(path),
                                 "put engines and images in a folder that all nodes share")

    def rows(self, items: Sequence[Item]) -> List[Row]:
        """Return the rows of some images."""
        return list(rows_of(self._task, self._networks, items))


class RayRows:
    """The rows of images in their order; iterate over it once.

    Args:
        address: of the cluster; ``auto`` for that which this machine belongs to, ``local`` for one of its own.
        paths: see `Node`.
        digests: see `Node`.
        runtime: see `Node`.
        task: see `Node`.
        items: the images.

    Attributes:
        nodes: number of nodes at the start.
        repeated: number of parts that were sent out again because a worker or node died.

    Raises:
        MissingRuntimeError: no ray, or no such cluster.
    """

    def __init__(self, address: str, paths: Sequence[str], digests: Sequence[str], runtime: RuntimeOptions, task: Task,
                 items: Sequence[Item]) -> None:
        self._ray = _connect(address)
        self._made_of = (os.getcwd(), list(paths), list(digests), runtime, task)
        self._parts = [list(items[first:first + _PART]) for first in range(0, len(items), _PART)]
        self._actors: Dict[str, Any] = {node: self._start(node) for node in self._alive()}
        self.nodes, self.repeated = len(self._actors), 0

    def __iter__(self) -> Iterator[Row]:
        ahead: Deque[int] = collections.deque(range(len(self._parts)))
        under_way: Dict[Any, Tuple[int, str]] = {}
        done: Dict[int, List[Row]] = {}
        attempts: Dict[int, int] = collections.Counter()
        for wanted in range(len(self._parts)):
            while wanted not in done:
                self._send(ahead, under_way, wanted)
                (ready, *_), _ = self._ray.wait(list(under_way), num_returns=1)
                number, node = under_way.pop(ready)
                try:
                    done[number] = self._ray.get(ready)
                except self._ray.exceptions.RayTaskError as error:
                    raise _own_error(error) from error
                except self._ray.exceptions.RayError as error:  # the worker or its node is gone
                    attempts[number] += 1
                    if attempts[number] >= _ATTEMPTS:
                        raise MissingRuntimeError(
                            "{} workers died at the images from {} on: {}".format(
                                _ATTEMPTS, self._parts[number][0].key, error),
                            "look at the nodes' memory and logs") from error
                    self.repeated += 1
                    ahead.appendleft(number)
                    self._replace(node)
            yield from done.pop(wanted)

    def _send(self, ahead: Deque[int], under_way: Dict[Any, Tuple[int, str]], wanted: int) -> None:
        for node, actor in self._actors.items():
            busy = sum(other == node for _, other in under_way.values())
            while ahead and busy < _AHEAD and ahead[0] < wanted + _WAITING + _AHEAD * len(self._actors):
                number = ahead.popleft()
                under_way[actor.rows.remote(self._parts[number])] = number, node
                busy += 1

    def _replace(self, node: str) -> None:
        """Start the worker of a node again, or do without the node; new nodes of the cluster are taken too."""
        self._actors.pop(node, None)
        for alive in self._alive():
            if alive not in self._actors:
                self._actors[alive] = self._start(alive)
        if not self._actors:
            raise MissingRuntimeError("no node of the Ray cluster is left",
                                      "start it again; --resume goes on from here")

    def _alive(self) -> List[str]:
        return [node["NodeID"] for node in self._ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) > 0]

    def _start(self, node: str) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        actor = self._ray.remote(num_cpus=0)(Node)
        here = NodeAffinitySchedulingStrategy(node, soft=False)
        return actor.options(scheduling_strategy=here).remote(*self._made_of)


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


def _own_error(error: Any) -> BaseException:
    """Return the error that a node raised, ours as it was."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, EdgeNextError) else error
