"""Pins: the layers of a parsed network that come from nodes on the manifest's FP32 list are made to compute in FP32."""
from typing import Any, Dict, List, NamedTuple, Set, Tuple

from edgenext_deploy.artifacts.manifest import Manifest
from edgenext_deploy.tensorrt_api.builder_api import Release


class PinReport(NamedTuple):
    """Which pins took effect.

    Attributes:
        layers: names of the network layers that were pinned.
        unmatched: names of pinned nodes that no layer of the network comes from.
        refused: names of layers that a pin fits but that must not be pinned: shapes, integers, constants.
    """

    layers: Tuple[str, ...]
    unmatched: Tuple[str, ...]
    refused: Tuple[str, ...]


def pins_of(manifest: Manifest) -> Dict[str, str]:
    """Return node name to the reason why it computes in FP32."""
    return {node: reason for reason, nodes in manifest.precision.fp32_pins.items() for node in nodes}


def pin_layers(release: Release, network: Any, pins: Dict[str, str]) -> PinReport:
    """Pin every layer that came from a pinned node to FP32."""
    pinned: List[str] = []
    refused: List[str] = []
    matched: Set[str] = set()
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        nodes = [node for node in release.layer_nodes(layer) if node in pins]
        if nodes:
            matched.add(nodes[0])
            (pinned if release.pin_to_fp32(layer) else refused).append(layer.name)
    return PinReport(tuple(pinned), tuple(node for node in pins if node not in matched), tuple(refused))
