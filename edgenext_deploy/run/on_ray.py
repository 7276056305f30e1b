"""edgenext-run on the nodes of a Ray cluster; see `edgenext_deploy.cluster.on_ray`."""
import contextlib
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import click

from edgenext_deploy.artifacts.row_file import Row
from edgenext_deploy.cluster.engines import SharedEngine, share_engine
from edgenext_deploy.cluster.on_ray import RayWorkers
from edgenext_deploy.errors import UsageError
from edgenext_deploy.run.photo_rows import Photos, ViewOptions, answered, document_head, row_of, rows_depend_on
from edgenext_deploy.run.photos import PhotoOptions, PhotoResults, expand


class Description(NamedTuple):
    """What a worker says of itself.

    Attributes:
        head: see `photo_rows.document_head`.
        depend_on: see `photo_rows.rows_depend_on`.
    """

    head: Dict[str, Any]
    depend_on: Dict[str, Any]


class PhotoWorker:
    """What works on a node: the network, open there.

    Attributes:
        description: see `Description`.

    Args:
        engine: as the command has it.
        options: how it is opened.
        photos: of the run, without their paths.
        fast_decode: whether large photos are decoded smaller.
        readers: number of threads that read photos; None for one for each processor.
    """

    def __init__(self, engine: SharedEngine, options: ViewOptions, photos: Photos,
                 fast_decode: bool, readers: Optional[int]) -> None:
        self._view = options.open(engine.path)
        engine.require(self._view.network.file)
        self._photos, self._fast_decode, self._readers = photos, fast_decode, readers
        self.description = Description(document_head(engine.path, self._view, fast_decode),
                                       rows_depend_on(self._view, options, engine.path, fast_decode))

    def results(self, paths: Sequence[str]) -> Iterator[Row]:
        """Yield the rows of some photos."""
        for _, photo, answer in answered(self._view, self._photos._replace(paths=paths),
                                         fast_decode=self._fast_decode, threads=self._readers):
            yield row_of(self._view, photo, answer)


def run_photos_on_ray(engine: str, images: Tuple[str, ...], view_options: ViewOptions, options: PhotoOptions) -> int:
    """Run a network on photos, on the nodes of a cluster; nothing of it is opened here.

    Args:
        engine: path of the engine, or of a folder of plans.
        images: photos and folders of photos.
        view_options: how each node opens it.
        options: see `PhotoOptions`.

    Returns:
        The exit code, see `run_photos`.

    Raises:
        UsageError: options that need one process.
    """
    if options.save is not None:
        raise UsageError("--save draws into photos, which the nodes of a cluster do not do",
                         "leave out --save or --ray")
    if not options.as_json and options.json_file is None and options.resume is None:
        raise UsageError("--ray prints no tables", "add --json, --json-file FILE or --resume FILE")
    assert options.ray is not None
    photos = expand(images, options)
    shared = share_engine(engine, view_options.runtime)
    workers = RayWorkers(
        options.ray, PhotoWorker, (shared, view_options, photos._replace(paths=()), options.fast_decode,
                                    options.readers),
        on_gpus=shared.on_gpus, note=lambda text: click.echo("note: " + text, err=True))
    first: Description = workers.first_description()
    with contextlib.ExitStack() as stack:
        results = stack.enter_context(PhotoResults(options, photos.paths, first.depend_on))
        try:
            for row in workers.results(photos.paths[results.resumed:], first.head["batch"]):
                results.add(row)
            _say_what_happened(workers, options, len(photos.paths))
            results.finish(_head(workers))
        except KeyboardInterrupt:
            if options.resume is None:
                raise
            return results.interrupted()
    return results.code


def _head(workers: RayWorkers) -> Dict[str, Any]:
    """Return the head of the first worker, with what the others have otherwise, and what happened to the cluster."""
    sessions: List[Dict[str, Any]] = []
    for found in workers.descriptions:
        if found.head["session"] not in sessions:
            sessions.append(found.head["session"])
    cluster: Dict[str, Any] = {"workers": len(workers.descriptions), "parts_repeated": workers.repeated}
    if len(sessions) > 1:
        cluster["sessions"] = sessions
    head = dict(workers.descriptions[0].head)
    images = head.pop("images")
    return dict(head, ray=cluster, images=images)


def _say_what_happened(workers: RayWorkers, options: PhotoOptions, count: int) -> None:
    found = [description.depend_on for description in workers.descriptions]
    for name in found[0]:
        values = sorted({str(one[name]) for one in found})
        if len(values) > 1:
            click.echo("warning: {} differs among the nodes: {}".format(name, ", ".join(values)), err=True)
    if workers.repeated:
        click.echo("note: {} parts of the photos were done again, as a worker or node of the cluster died".format(
            workers.repeated), err=True)
    if not options.as_json:
        found_workers = len(workers.descriptions)
        click.echo("{:,} photos, {} worker{}".format(count, found_workers, "s" * (found_workers != 1)))
