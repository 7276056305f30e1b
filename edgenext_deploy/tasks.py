"""Open an engine, whatever its task."""
import os
from typing import Any, Optional

from edgenext_deploy import manifest as manifests
from edgenext_deploy.classifier import Classifier
from edgenext_deploy.detector import Detector
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import require_file
from edgenext_deploy.network import EnginePath, Labels, Network
from edgenext_deploy.segmenter import Segmenter

NETWORKS = {network.task: network for network in (Classifier, Detector, Segmenter)}


def open_network(engine: EnginePath, labels: Labels = None, threads: Optional[int] = None, trust: bool = False,
                 **options: Any) -> Network[Any]:
    """Return the engine as a `Classifier`, `Detector` or `Segmenter`, as its manifest says.

    Args:
        engine: and the other arguments named here: see `Network`.
        options: further arguments of the class, such as `top_k`.

    Raises:
        BadInputError: the manifest names a task that this release does not know; and see `Network`.
    """
    path = os.fspath(engine)
    require_file(path, "engine", "export one with edgenext-export")
    task = manifests.read(manifests.manifest_path(path)).task
    if task not in NETWORKS:
        raise BadInputError("{}: its manifest names the task {!r}; one of {} expected".format(
            path, task, ", ".join(NETWORKS)), "use the toolkit version that exported it")
    opened: Network[Any] = NETWORKS[task](path, labels=labels, threads=threads, trust=trust, **options)
    return opened
