"""What is known of one formulation of a network before a device has measured it."""
import dataclasses
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One formulation of a network for one target.

    Attributes:
        name: of the formulation.
        out: why it may not run there, in one sentence; empty if it may.
        same_as: name of an earlier candidate with the very same graph, whose figures then stand here too; empty if
            there is none.
        model: the FP32 graph, simplified.
        fp32_pins: the nodes that must compute in FP32, each with the reason.
        parity: largest difference from the reference module in ONNX Runtime, FP32, relative to the largest value;
            infinite if that is more than an export allows.
        nodes: number of nodes in the graph.
        kernels: number of launches of a builder that fuses as `graph_work` does.
        traffic_bytes: what these kernels read and write, weights included: 2 bytes an element in FP16, 4 in FP32.
        graph_bytes: size of the FP32 file.
        casts: number of Cast nodes in the graph's FP16-typed form; None without FP16.
        drift: error of an output with every sum in FP16, emulated, relative to its largest value, the worst over the
            samples; infinite if a value is not finite, None without FP16.
        problems: why the target's TensorRT releases cannot run it; empty if they can.
        rtx_layers: layers of TensorRT-RTX's engine of the typed form; None where that was not built.
        rtx_reason: why it was not built; empty if it was.
    """

    name: str
    out: str
    same_as: str
    model: "onnx.ModelProto" = dataclasses.field(repr=False)
    fp32_pins: dict[str, str] = dataclasses.field(repr=False)
    parity: float
    nodes: int
    kernels: int
    traffic_bytes: int
    graph_bytes: int
    casts: int | None
    drift: float | None
    problems: tuple[str, ...]
    rtx_layers: int | None
    rtx_reason: str

    @property
    def fp32_nodes(self) -> int:
        """Number of nodes that must compute in FP32 where the others compute in FP16."""
        return len(self.fp32_pins)

    def to_json(self) -> dict[str, Any]:
        """Return everything but the graph as JSON data; an infinite error becomes a string."""
        data = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)
                if field.name not in ("model", "fp32_pins")}
        infinite = {name: "infinite" for name in ("parity", "drift") if data[name] == math.inf}
        return {**data, "fp32_nodes": self.fp32_nodes, "problems": list(self.problems), **infinite}


@dataclasses.dataclass(frozen=True)
class FormulationReport:
    """The formulations of one network for one target.

    Attributes:
        variant: name of the network.
        target: name of the target.
        fp16: whether the engine is to compute in FP16.
        shape: of the images, `[B, 3, H, W]`.
        weights: where they come from, in words.
        tolerance: the drift, relative, beyond which a candidate is out.
        samples: number of inputs that the drift is the worst over; 0 without FP16.
        candidates: the target's own formulation first.
    """

    variant: str
    target: str
    fp16: bool
    shape: tuple[int, int, int, int]
    weights: str
    tolerance: float
    samples: int
    candidates: tuple[Candidate, ...]

    @property
    def may_run(self) -> tuple[Candidate, ...]:
        """The candidates that are worth measuring: not out, and each graph once."""
        return tuple(candidate for candidate in self.candidates if not candidate.out and not candidate.same_as)

    def to_json(self) -> dict[str, Any]:
        """Return everything but the graphs as JSON data."""
        data = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**data, "shape": list(self.shape),
                "candidates": [candidate.to_json() for candidate in self.candidates]}
