"""The evaluation: engines over images, row by row, and what the rows say."""
import contextlib
import os
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple, Union

from edgenext_deploy.benchmarks.accuracy.classification import ClassificationTask
from edgenext_deploy.benchmarks.accuracy.data import Data, Item
from edgenext_deploy.benchmarks.accuracy.detection import DetectionTask
from edgenext_deploy.benchmarks.accuracy.results import Results
from edgenext_deploy.benchmarks.accuracy.rows import rows_of
from edgenext_deploy.benchmarks.accuracy.segmentation import SegmentationTask
from edgenext_deploy.benchmarks.accuracy.task import Metric, Row, Task, is_index
from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.networks.base import TASKS, Network
from edgenext_deploy.networks.open import open_network, task_of
from edgenext_deploy.preprocess.photo import photo_decoder
from edgenext_deploy.preprocess.words import in_words
from edgenext_deploy.runtime.options import RuntimeOptions, for_many_photos
from edgenext_deploy.version import __version__

_TASKS: Dict[str, Callable[[Optional[str]], Task]] = {
    "classification": ClassificationTask, "detection": DetectionTask, "segmentation": SegmentationTask}

# Called with images done, images in all, and the name of the one at hand.
Progress = Callable[[int, int, str], None]


class EngineResult(NamedTuple):
    """One engine: what it is, its metrics, and for all but the first how it compares with the first."""

    engine: Dict[str, Any]
    metrics: List[Metric]
    details: Dict[str, Any]
    comparison: Dict[str, Any]


class Evaluation(NamedTuple):
    """The result.

    Attributes:
        task: task of the engines, such as ``classification``.
        data: the images.
        used: number of images that every engine could use.
        unreadable: image and reason, for each of the others.
        turned: number of the used images with an EXIF orientation; they were turned upright.
        resumed: number of images taken from the results file.
        engines: result of each engine, in the order given.
        repeated: number of parts of the images that a Ray cluster did again because a worker or node died.
    """

    task: str
    data: Data
    used: int
    unreadable: List[Dict[str, str]]
    turned: int
    resumed: int
    engines: List[EngineResult]
    repeated: int = 0


def evaluate(*engines: "Union[str, os.PathLike[str]]", data: str, labels: Optional[str] = None,
             class_order: Optional[str] = None, limit: Optional[int] = None, resume: Optional[str] = None,
             runtime: RuntimeOptions = RuntimeOptions(),  # noqa: B008 - immutable
             progress: Optional[Progress] = None, ray: Optional[str] = None,
             note: Callable[[str], None] = lambda text: None) -> Evaluation:
    """Evaluate engines of one task on the same images, and return their figures.

    An image that cannot be used is left out for every engine, and named.

    Args:
        engines: engine files with a manifest; each is compared with the first.
        data: folder of the images; docs/evaluation.md has the layouts.
        labels: file of truths; None for the layout's own.
        class_order: ``index``, ``text`` or ``natural``: what the names of a classifier's folders mean; None finds out,
            see `class_names.map_classes`.
        limit: number of images to evaluate, spread evenly over all; None for all.
        resume: file that keeps the results of each image; what it holds already is not evaluated again.
        runtime: how to run the engines.
        progress: called before each image with the number done, the number of all, and the image's name.
        ray: address of a Ray cluster whose nodes do it: ``auto``, ``local`` for one of this machine, or HOST:PORT;
            see `on_ray`. None for this process.
        note: called with a sentence about each node of the cluster that takes no part.

    Raises:
        BadInputError: engines, data or results file are missing, broken or do not fit together; or no image could
            be used.
        UsageError: engines of several tasks, or options that do not fit.
        MissingRuntimeError: a runtime, or pycocotools for a detector, is not installed.
    """
    paths = [os.fspath(engine) for engine in engines]
    if not paths:
        raise UsageError("no engine to evaluate", "give one or more engine files")
    name, runtime = _common_task(paths), for_many_photos(runtime)
    task = _TASKS[name](class_order)
    with contextlib.ExitStack() as stack:
        networks = [stack.enter_context(open_network(path, runtime=runtime)) for path in paths]
        names = _common_labels(paths, networks)
        images = task.read_data(data, labels, names, limit)
        described = [_described(path, network) for path, network in zip(paths, networks)]
        results = stack.enter_context(Results(
            resume, _header(name, described, images), [item.key for item in images.items],
            lambda row: _is_row(row, task, len(networks), len(names))))
        repeated = 0
        if ray is None:
            _complete(results, lambda items: rows_of(task, networks, items, images.folders), images.items, progress)
        else:
            from edgenext_deploy.benchmarks.accuracy.on_ray import workers_for

            workers = workers_for(ray, paths, runtime, task, images.folders, note)
            batch = max(network.batch for network in networks)
            _complete(results, lambda items: workers.results(items, batch), images.items, progress)
            repeated = workers.repeated
    return _judged(name, task, images, results, described, names)._replace(repeated=repeated)


def _common_task(engines: Sequence[str]) -> str:
    tasks = [task_of(engine) for engine in engines]
    for engine, task in zip(engines, tasks):
        if task != tasks[0]:
            raise UsageError("{} is {}, {} is {}; engines of one task can be compared".format(
                engines[0], TASKS[tasks[0]], engine, TASKS[task]), "run one command for each task")
    if tasks[0] not in _TASKS:
        raise UsageError("{} is {}, whose answers are neither right nor wrong".format(engines[0], TASKS[tasks[0]]),
                         "evaluate an export of the same weights with its classifier")
    return tasks[0]


def _common_labels(engines: Sequence[str], networks: "Sequence[Network[Any]]") -> Tuple[str, ...]:
    """Return the names of the classes; an engine without any takes those of another."""
    named = [network for network in networks if network.manifest.labels] or list(networks)
    for engine, network in zip(engines, networks):
        same = len(network.labels) == len(named[0].labels) and (
            not network.manifest.labels or network.labels == named[0].labels)
        if not same:
            raise UsageError("{} has {} classes ({}, …), another engine has {} ({}, …)".format(
                engine, len(network.labels), network.labels[0], len(named[0].labels), named[0].labels[0]),
                "compare engines that were trained for the same classes")
    return named[0].labels


def _described(path: str, network: "Network[Any]") -> Dict[str, Any]:
    manifest = network.manifest
    return {"file": path, "sha256": network.file.sha256, "manifest_sha256": network.file.manifest_sha256,
            "variant": manifest.variant, "weights": manifest.weights._asdict(), "target": manifest.target,
            "preprocessing": in_words(manifest.preprocessing), "precision": manifest.precision.requested,
            "session": network.session.describe()}


def _header(task: str, engines: Sequence[Dict[str, Any]], data: Data) -> Dict[str, Any]:
    """Return what the rows depend on: a file of results with another header is of another evaluation."""
    sessions = [engine["session"] for engine in engines]
    return {
        "toolkit": __version__, "task": task, "images": len(data.items), "data": data.sha256,
        "exif_orientation": "applied", "decoder": photo_decoder(),
        "engines": [engine["sha256"] for engine in engines],
        "manifests": [engine["manifest_sha256"] for engine in engines],
        "runtimes": ["{} {} {}".format(session.get("runtime"), session.get("version"),
                                       session.get("device") or session.get("provider")) for session in sessions]}


def _complete(results: Results, rows: "Callable[[Sequence[Item]], Iterable[Row]]", items: Sequence[Item],
              progress: Optional[Progress]) -> None:
    """Add the rows that are not there yet."""
    missing = [(number, item) for number, item in enumerate(items) if item.key not in results.rows]
    for (number, item), row in zip(missing, rows([item for _, item in missing])):
        if progress is not None:
            progress(number, len(items), item.key)
        results.add(item.key, row)


def _is_row(row: Row, task: Task, engines: int, classes: int) -> bool:
    """Say whether a row that was read is one that `_complete` adds."""
    if "error" in row:
        return isinstance(row["error"], str)
    answers, turned = row.get("engines"), row.get("turned_upright_from", 1)
    return (isinstance(answers, list) and len(answers) == engines and is_index(turned, 9) and turned > 0
            and all(isinstance(answer, dict) and task.is_row(answer, classes) for answer in answers))


def _judged(name: str, task: Task, data: Data, results: Results, engines: List[Dict[str, Any]],
            labels: Tuple[str, ...]) -> Evaluation:
    rows = [results.rows[item.key] for item in data.items]
    used = [item for item, row in zip(data.items, rows) if "error" not in row]
    unreadable = [{"image": item.key, "error": str(row["error"])}
                  for item, row in zip(data.items, rows) if "error" in row]
    if not used:
        raise BadInputError("none of {} images can be used; the first: {}".format(
            len(rows), unreadable[0]["error"]), "check --data, see docs/evaluation.md")
    answers = [[row["engines"][index] for row in rows if "error" not in row] for index in range(len(engines))]
    judged: List[EngineResult] = []
    for engine, answer in zip(engines, answers):
        metrics = task.metrics(data, used, answer, len(labels))
        comparison: Dict[str, Any] = {}
        if judged:
            comparison = task.compare(used, answers[0], answer)
            comparison["differences"] = {
                metric.key: None if metric.value is None or other.value is None else metric.value - other.value
                for metric, other in zip(metrics, judged[0].metrics)}
        judged.append(EngineResult(engine, metrics, task.details(data, used, answer, labels), comparison))
    turned = sum("turned_upright_from" in row for row in rows)
    return Evaluation(name, data, len(used), unreadable, turned, results.resumed, judged)
