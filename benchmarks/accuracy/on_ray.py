"""The rows of an evaluation, made by the nodes of a Ray cluster; see `edgenext_deploy.cluster.on_ray`."""
from typing import Callable, FrozenSet, Iterator, List, Sequence

from edgenext_deploy.benchmarks.accuracy.data import Item
from edgenext_deploy.benchmarks.accuracy.rows import rows_of
from edgenext_deploy.benchmarks.accuracy.task import Row, Task
from edgenext_deploy.cluster.engines import SharedEngine, share_engine
from edgenext_deploy.cluster.on_ray import RayWorkers
from edgenext_deploy.runtime.options import RuntimeOptions


class RowWorker:
    """What works on a node: the engines, open there.

    Attributes:
        description: none is needed.

    Args:
        engines: as the evaluation's process has them.
        runtime: how to run them.
        task: what an evaluation does for an image.
        folders: see `Data`.
    """

    def __init__(self, engines: Sequence[SharedEngine], runtime: RuntimeOptions, task: Task,
                 folders: FrozenSet[str]) -> None:
        from edgenext_deploy.networks.open import open_network

        self._networks = [open_network(engine.path, runtime=runtime) for engine in engines]
        self._task, self._folders = task, folders
        self.description = None
        for engine, network in zip(engines, self._networks):
            engine.require(network.file)

    def results(self, items: Sequence[Item]) -> Iterator[Row]:
        """Yield the rows of some images."""
        return rows_of(self._task, self._networks, items, self._folders)


def workers_for(address: str, paths: Sequence[str], runtime: RuntimeOptions, task: Task, folders: FrozenSet[str],
                note: Callable[[str], None]) -> RayWorkers:
    """Start the workers of an evaluation.

    Args:
        address: of the cluster, see `RayWorkers`.
        paths: of the engines.
        runtime: see `RowWorker`.
        task: see `RowWorker`.
        folders: see `Data`.
        note: called with a sentence about a node that takes no part.
    """
    engines: List[SharedEngine] = [share_engine(path, runtime) for path in paths]
    return RayWorkers(address, RowWorker, (engines, runtime, task, folders),
                      on_gpus=any(engine.on_gpus for engine in engines), note=note)
