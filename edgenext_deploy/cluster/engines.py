"""Engines on the nodes of a cluster: the files that the command was given, and GPUs where they need them."""
import os
from typing import TYPE_CHECKING, Dict, NamedTuple, Optional

from edgenext_deploy.artifacts.plan_folder import records_in
from edgenext_deploy.errors import UsageError
from edgenext_deploy.runtime.open import read_engine
from edgenext_deploy.runtime.options import RuntimeOptions
from edgenext_deploy.runtime.table import choose_runtime

if TYPE_CHECKING:
    from edgenext_deploy.artifacts.engine_file import EngineFile

_PROCESSOR = "CPUExecutionProvider"


class SharedEngine(NamedTuple):
    """An engine in a folder that all nodes share.

    Attributes:
        path: of the file, or of a folder with a plan for each kind of GPU.
        manifests: digest of the manifest for each digest of a file that a node may open; None for any manifest.
        on_gpus: whether it runs on GPUs.
    """

    path: str
    manifests: Dict[str, Optional[str]]
    on_gpus: bool

    def require(self, file: "EngineFile") -> None:
        """Raise UsageError unless a file, as a node has read it, is the engine."""
        if self.manifests.get(file.sha256, "") not in (None, file.manifest_sha256):
            raise UsageError("{} is another file on a node of the cluster".format(self.path),
                             "put engines and images in a folder that all nodes share")


def share_engine(path: str, runtime: RuntimeOptions) -> SharedEngine:
    """Return what the nodes need to know of an engine; of plans for several GPUs only the sidecars are read.

    Raises:
        BadInputError: no engine, or a broken one.
        UsageError: an option that the engine's runtime does not take, or the number of a GPU, which Ray chooses.
    """
    records = records_in(path) if os.path.isdir(path) else {}
    if records:
        found: Dict[str, Optional[str]] = {
            record.plan.sha256: record.manifest_sha256 for record in records.values()}
        chosen = choose_runtime(next(iter(records)), runtime.runtime)
    else:
        file = read_engine(path, runtime)
        file.manifest()
        found = {file.sha256: file.manifest_sha256}
        chosen = choose_runtime(file.path, runtime.runtime)
    on_gpus = chosen.on_gpu or runtime.provider not in (None, _PROCESSOR)
    if on_gpus and runtime.device:
        raise UsageError("Ray gives each worker a GPU of its own, and --gpu asks for number {}".format(runtime.device),
                         "leave --gpu out")
    return SharedEngine(path, found, on_gpus)
