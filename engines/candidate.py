"""A plan that is to be tried before it gets its name: what lies there stays as it is until then."""
import contextlib
import os
from typing import Iterator

from edgenext_deploy.artifacts.manifest import manifest_path
from edgenext_deploy.artifacts.plan_check import PlanRecord, write_plan
from edgenext_deploy.scratch import scratch_folder


@contextlib.contextmanager
def candidate(plan: bytes, record: PlanRecord, manifest_file: bytes) -> Iterator[str]:
    """Write a plan with its sidecar and its manifest into a folder for temporary files, and return its path.

    Args:
        plan: as TensorRT serialised it.
        record: content of the sidecar.
        manifest_file: content of its manifest.

    Raises:
        UsageError: the folder cannot be written.
    """
    with scratch_folder() as folder:
        path = os.path.join(folder, "candidate.plan")
        write_plan(path, plan, record, {manifest_path(path): manifest_file})
        yield path
