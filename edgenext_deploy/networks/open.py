"""Open an engine, whatever its task."""
import os
from typing import Any, Dict, Type

from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.artifacts.engine_file import EngineFile
from edgenext_deploy.deprecated import old_call
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.networks.base import Labels, Network
from edgenext_deploy.networks.classifier import Classifier
from edgenext_deploy.networks.detector import Detector
from edgenext_deploy.networks.feature_extractor import FeatureExtractor
from edgenext_deploy.networks.segmenter import Segmenter
from edgenext_deploy.runtime.open import EngineSource, engine_path, read_engine
from edgenext_deploy.runtime.options import RuntimeOptions, runtime_from_keywords
from edgenext_deploy.runtime.table import require_engine

NETWORKS: Dict[str, Type[Network[Any]]] = {
    "classification": Classifier, "detection": Detector, "segmentation": Segmenter, "features": FeatureExtractor}


def task_of(engine: EngineSource) -> str:
    """Return the task that an engine's manifest names; of a path, the engine itself is not read.

    Raises:
        BadInputError: no engine or manifest, a broken one, or a task that this release does not know.
    """
    if isinstance(engine, EngineFile):
        path, task = engine.path, engine.manifest().task
    else:
        path = engine_path(os.fspath(engine))
        require_engine(path)
        task = manifests.read(manifests.find_manifest_path(path)).task
    if task not in NETWORKS:
        raise BadInputError("{}: its manifest names the task {!r}; one of {} expected".format(
            path, task, ", ".join(NETWORKS)), "use the toolkit version that exported it")
    return task


@old_call("labels", "threads", "trust", adapt=runtime_from_keywords("runtime"))
def open_network(engine: EngineSource, *, labels: Labels = None,
                 runtime: RuntimeOptions = RuntimeOptions(), **options: Any) -> Network[Any]:  # noqa: B008 - immutable
    """Return the engine as a `Classifier`, `Detector`, `Segmenter` or `FeatureExtractor`, as its manifest says.

    Args:
        engine: see `Network`, also for the errors.
        labels: see `Network`.
        runtime: how the engine is run.
        options: further arguments of the class, such as `color` and `top_k`.
    """
    file = read_engine(engine, runtime)
    return NETWORKS[task_of(file)](file, labels=labels, runtime=runtime, **options)
