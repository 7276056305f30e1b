"""How much the network's layers compute, from the shapes in the parsed network.

Multiply-adds of convolutions and matrix products; element-wise layers, norms and softmax count none, as in
every published figure. The engine fuses and renames layers, so the counts are taken before the build and
given to the engine's layers by the names of what was fused.
"""
import math
from typing import Any, List, NamedTuple, Tuple

from edgenext_deploy.node_work import product
from edgenext_deploy.tensorrt_api.builder_api import Release


class Work(NamedTuple):
    """Multiply-adds of one network layer, and the names the engine may know it by."""

    nodes: Tuple[str, ...]
    multiply_adds: int


def network_work(release: Release, network: Any) -> List[Work]:
    """Return the layers of a parsed network that multiply and add; their shapes must be static."""
    found = []
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        kind = release.layer_kind(layer)
        nodes = release.layer_nodes(layer)
        if kind == "CONVOLUTION":
            count = _convolution(release.as_convolution(layer))
        elif kind == "MATRIX_MULTIPLY":
            count = _matrix_product(_shape(layer.get_input(0)), _shape(layer.get_input(1)), _shape(layer.get_output(0)))
        elif kind == "FULLY_CONNECTED":
            taken, given = _shape(layer.get_input(0)), _shape(layer.get_output(0))
            count = product(given) * (product(taken) // taken[0])
        else:
            continue
        found.append(Work(nodes, count))
    return found


def _shape(tensor: Any) -> Tuple[int, ...]:
    return tuple(tensor.shape)


def _convolution(layer: Any) -> int:
    inputs_per_group = _shape(layer.get_input(0))[1] // int(layer.num_groups)
    return product(_shape(layer.get_output(0))) * inputs_per_group * product(tuple(layer.kernel_size_nd))


def _matrix_product(left: Tuple[int, ...], right: Tuple[int, ...], given: Tuple[int, ...]) -> int:
    # [M, K] x [K, N] = [M, N], either factor perhaps transposed: left * right / given = K^2. Batches are in front.
    inner = math.sqrt(product(left[-2:]) * product(right[-2:]) // product(given[-2:]))
    return product(given) * round(inner)
