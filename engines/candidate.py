"""A plan that is to be tried before it gets its name: what lies there stays as it is until then."""
import contextlib
import os
import shutil
from typing import Iterator

from edgenext_deploy.artifacts.manifest import find_manifest_path, manifest_path
from edgenext_deploy.artifacts.plan_check import PlanRecord, write_plan
from edgenext_deploy.scratch import scratch_folder


@contextlib.contextmanager
def candidate(plan: bytes, record: PlanRecord, onnx_path: str) -> Iterator[str]:
    """Write a plan with its sidecar and its manifest into a folder for temporary files, and return its path.

    Args:
        plan: as TensorRT serialised it.
        record: content of the sidecar.
        onnx_path: what it was built from.

    Raises:
        UsageError: the folder cannot be written.
    """
    with scratch_folder() as folder:
        path = os.path.join(folder, "candidate.plan")
        shutil.copyfile(find_manifest_path(onnx_path), manifest_path(path))
        write_plan(path, plan, record)
        yield path
