"""What an export gives back."""
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from edgenext_deploy.artifacts.manifest import Manifest
from edgenext_deploy.export.checks.rtx import RtxReport

if TYPE_CHECKING:
    from edgenext_deploy.export.precision_step import PrecisionResult


@dataclasses.dataclass(frozen=True)
class GraphFiles:
    """One graph with its manifest, as written.

    Attributes:
        manifest: the content of `manifest_path`.
        onnx_path: the graph.
        manifest_path: the JSON file next to it that describes it.
    """

    manifest: Manifest
    onnx_path: str
    manifest_path: str


@dataclasses.dataclass(frozen=True)
class ExportResult(GraphFiles):
    """What an export wrote, and what is worth showing.

    Attributes:
        operators: ONNX operator types with their counts, most frequent first.
        emitted_operators: the same before the simplifier.
        warnings: sentences for the user.
        rtx: what TensorRT-RTX said.
        precision: what the precision step did, with the drift analysis if it was asked for.
        other_paths: files of the drift analysis.
        nms: the graph that ends in the NMS plugin, None if it was not asked for.
        notes: sentences for the user on what a default decided.
    """

    operators: dict[str, int]
    emitted_operators: dict[str, int]
    warnings: tuple[str, ...]
    rtx: RtxReport
    precision: "PrecisionResult"
    other_paths: tuple[str, ...]
    nms: GraphFiles | None = None
    notes: tuple[str, ...] = ()

    @property
    def engine_path(self) -> str:
        """Path of the graph that TensorRT is to build."""
        return self.onnx_path if self.nms is None else self.nms.onnx_path


def paths_of(folder: Path, stem: str) -> tuple[str, str]:
    """Return the paths of a graph and of its manifest."""
    return str(folder / f"{stem}.onnx"), str(folder / f"{stem}.json")
