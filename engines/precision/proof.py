"""What precision an engine really computes in, layer by layer.

A kernel that reads and writes FP16 may still hold FP32 arithmetic: TensorRT fuses a LayerNorm's statistics,
pinned to FP32, with the casts around them into one kernel. Such a layer counts as mixed, not as FP16.
"""
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from edgenext_deploy.engines.precision.layer_work import Work
from edgenext_deploy.errors import VerificationError
from edgenext_deploy.tensorrt_api.engine_layers import FP16, FP32, EngineLayer

INSPECTOR = "engine inspector"
BUILDER_LOG = "the builder's list of the engine's layers"
NETWORK = "from the network, not the engine"
_BASIS = "multiply-adds of convolutions and matrix products"
MIXED, OTHER = "mixed", "other"


class Fp32Layer(NamedTuple):
    """A layer of the engine that runs in FP32.

    Attributes:
        name: TensorRT's name for it.
        pinned: whether the manifest asks for FP32.
        reason: the manifest's reason; empty where FP32 was TensorRT's own choice.
    """

    name: str
    pinned: bool
    reason: str


class Proof(NamedTuple):
    """The precision of one engine.

    Attributes:
        source: where the layers come from: `INSPECTOR`, `BUILDER_LOG` or `NETWORK`.
        layers: number of layers of the engine.
        reformats: number of them that only copy into another layout or type.
        fp16_layers: number of layers that read, compute and write FP16.
        mixed_layers: number of layers with both types, or with FP16 outside and pinned FP32 nodes fused inside.
        fp32_layers: number of layers in FP32.
        other_layers: number of layers of neither type: integers, constants, or no types given.
        fp16_layer_share: `fp16_layers` over all layers of FP16, mixed or FP32 type, 0..1.
        fp16_compute_share: share of the compute in FP16, 0..1; None if it could not be attributed.
        compute_basis: how compute is weighed.
        fp32: the FP32 layers.
    """

    source: str
    layers: int
    reformats: int
    fp16_layers: int
    mixed_layers: int
    fp32_layers: int
    other_layers: int
    fp16_layer_share: float
    fp16_compute_share: Optional[float]
    compute_basis: str
    fp32: Tuple[Fp32Layer, ...]

    @property
    def has_fp16_compute(self) -> bool:
        """Whether anything computes in FP16: by compute where that is known, else by layers."""
        if self.fp16_compute_share is not None:
            return self.fp16_compute_share > 0
        return self.fp16_layers > 0


def prove(layers: Sequence[EngineLayer], pins: Dict[str, str], work: Sequence[Work], source: str) -> Proof:
    """Judge the precision of an engine.

    Args:
        layers: of the engine.
        pins: node name to the reason why it must compute in FP32.
        work: what the network's layers compute.
        source: where `layers` come from, `INSPECTOR`, `BUILDER_LOG` or `NETWORK`.
    """
    classes: Dict[str, List[EngineLayer]] = {FP16: [], MIXED: [], FP32: [], OTHER: []}
    reformats = [layer for layer in layers if layer.is_reformat]
    for layer in layers:
        if not layer.is_reformat:
            classes[classify(layer, pins)].append(layer)
    floating = len(classes[FP16]) + len(classes[MIXED]) + len(classes[FP32])
    share, basis = _compute_share(layers, work)
    return Proof(
        source=source, layers=len(layers), reformats=len(reformats), fp16_layers=len(classes[FP16]),
        mixed_layers=len(classes[MIXED]), fp32_layers=len(classes[FP32]), other_layers=len(classes[OTHER]),
        fp16_layer_share=round(len(classes[FP16]) / floating, 4) if floating else 0.0,
        fp16_compute_share=share, compute_basis=basis,
        fp32=tuple(_fp32_layer(layer, pins) for layer in classes[FP32]))


def classify(layer: EngineLayer, pins: Dict[str, str]) -> str:
    """Return ``fp16``, ``mixed``, ``fp32`` or ``other``."""
    types = {kind for kind in layer.inputs + layer.outputs if kind in (FP16, FP32)}
    if not types:
        return OTHER
    if types == {FP32}:
        return FP32
    if types == {FP16, FP32} and layer.weights == FP32:
        return FP32
    if any(node in pins for node in layer.nodes):
        return MIXED
    # A convolution with FP16 weights that takes the FP32 image or gives the FP32 logits computes in FP16.
    return FP16 if types == {FP16} or layer.weights == FP16 else MIXED


def require_fp16(proof: Proof) -> None:
    """Raise VerificationError if an engine that was asked to be FP16 computes nothing in FP16."""
    if proof.has_fp16_compute:
        return
    raise VerificationError(
        "--fp16 was asked for, and nothing in the engine computes in FP16: {} layers in FP32 ({}); no plan was "
        "written".format(proof.fp32_layers, proof.source),
        "check that the GPU has FP16 units and that the manifest's pins do not cover every layer, or build with --fp32")


def _fp32_layer(layer: EngineLayer, pins: Dict[str, str]) -> Fp32Layer:
    reasons = [pins[node] for node in layer.nodes if node in pins]
    return Fp32Layer(layer.name, bool(reasons), reasons[0] if reasons else "")


def _compute_share(layers: Sequence[EngineLayer], work: Sequence[Work]) -> Tuple[Optional[float], str]:
    total = sum(item.multiply_adds for item in work)
    attributed = in_fp16 = 0
    for item in work:
        layer = _layer_of(item, layers)
        if layer is not None:
            attributed += item.multiply_adds
            in_fp16 += item.multiply_adds if _computes_in_fp16(layer) else 0
    if not attributed:
        return None, "layers only: the engine's layers do not tell which of the network's they hold"
    basis = _BASIS
    if attributed < total:
        basis += ", of which {:.0%} could be traced to an engine layer".format(attributed / total)
    return round(in_fp16 / attributed, 4), basis


def _layer_of(item: Work, layers: Sequence[EngineLayer]) -> Optional[EngineLayer]:
    """Return the engine layer that does this work; a copy or a padding kernel may carry the same node's name."""
    for name in item.nodes:
        holders = [layer for layer in layers if name in layer.nodes and not layer.is_reformat]
        if holders:
            return max(holders, key=_heaviness)
    return None


def _heaviness(layer: EngineLayer) -> Tuple[bool, bool]:
    text = (layer.kind + " " + layer.name).lower()
    return any(word in text for word in ("conv", "corr", "gemm", "matmul", "matrix", "fullyconn", "mha")), bool(
        layer.weights)


def _computes_in_fp16(layer: EngineLayer) -> bool:
    if layer.weights in (FP16, FP32):
        return layer.weights == FP16
    return FP16 in (layer.inputs or layer.outputs)
