"""What the drift analysis finds: at each node, at the outputs, and in all. Loads no torch."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class NodeDrift:
    """What FP16 does at one node, the worst over all samples.

    Errors are root mean squares over the node's outputs, divided by the root mean square of its FP32 output; where
    that is zero, they are absolute. Elements that are not finite before the step in question are left out of it; if
    one becomes infinite or NaN in that step, the error is infinite.

    Attributes:
        index: place in topological order, the depth in plots.
        name: of the ONNX node.
        op: its ONNX operator.
        precision: ``fp16`` or ``fp32``.
        reason: why it stays FP32; empty for FP16.
        largest: largest magnitude in the FP32 run, of its outputs and inside it (a LayerNormalization's squares).
        headroom: 65504 / `largest`: below 1 means overflow.
        flushed: share of its output values that are not zero in FP32 arithmetic and zero in FP16.
        subnormal: share that are not zero and below 2^-14 in FP16, where digits are lost.
        non_finite: output values that are infinite or NaN in the FP16 run.
        overflowed: those of them that FP32 arithmetic on the same inputs has finite: they arose here.
        inherited: error from reference to local, which came with the inputs.
        added: error from local to found, which arose here.
        added_worst_case: the same with FP16 sums, over the samples of the worst case.
        alone: largest error of the logits, relative to the largest logit, with this node alone in FP16; None if
            not measured, which is done for the worst nodes in FP16 only.
    """

    index: int
    name: str
    op: str
    precision: str
    reason: str
    largest: float
    headroom: float
    flushed: float
    subnormal: float
    non_finite: int
    overflowed: int
    inherited: float
    added: float
    added_worst_case: float
    alone: float | None


@dataclasses.dataclass(frozen=True)
class Effect:
    """What FP16 does to the outputs, the worst over the samples.

    Attributes:
        accumulate: precision of sums in FP16 nodes, ``fp32`` or ``fp16``.
        samples: how many inputs were run.
        error: largest difference divided by the largest FP32 magnitude of the same output; infinite if not finite.
        cosine: smallest cosine between the FP32 and FP16 outputs of one image; 0 if not finite.
        top1_agreement: share of images (of a detector's anchors, of a segmenter's pixels) whose most probable class
            is the same one.
        non_finite: values inside the graph and at its outputs that are infinite or NaN, in all samples.
    """

    accumulate: str
    samples: int
    error: float
    cosine: float
    top1_agreement: float
    non_finite: int

    def meets(self, tolerance: float, least_agreement: float = 1.0) -> bool:
        """Say whether the outputs are within the tolerance, top-1 agrees enough, and every value is finite."""
        return self.error <= tolerance and self.top1_agreement >= least_agreement and self.non_finite == 0


@dataclasses.dataclass(frozen=True)
class DriftReport:
    """The analysis of one graph with one set of FP32 pins.

    Attributes:
        nodes: in topological order.
        effect: on the outputs with sums in FP32.
        worst_case: with sums in FP16, on the samples with the largest error otherwise.
        pins: nodes that computed in FP32, each with the reason.
    """

    nodes: tuple[NodeDrift, ...]
    effect: Effect
    worst_case: Effect
    pins: dict[str, str]

    def worst(self) -> list[NodeDrift]:
        """Return the nodes, worst first.

        Those that overflow come first, in topological order; then the error they add decides, to two digits, and
        among equals again the order: what comes first may be the cause of the rest.
        """
        return sorted(self.nodes, key=lambda node: (
            node.overflowed == 0, 0.0 if node.overflowed else -float(f"{node.added:.1e}"), node.index))
