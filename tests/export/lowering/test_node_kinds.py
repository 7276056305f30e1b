"""The kind of every node that a lowering emits: by its name alone as by its operator, and as its weights say."""
import dataclasses

import pytest

from edgenext_deploy import node_names
from edgenext_deploy.artifacts.manifest import TensorSpec
from edgenext_deploy.export.lowering.context import LoweringContext
from edgenext_deploy.export.lowering.lower import lower
from edgenext_deploy.export.lowering.trace import emit
from edgenext_deploy.formulations import parse_formulation
from edgenext_deploy.models.factory import create_model
from edgenext_deploy.models.variants.registry import get_variant

NARROW = {"dims": (16, 24, 40, 48), "heads": (4, 4, 4, 4), "depths": (1, 2, 2, 2)}
# Its name also stands for the ArgMax before it, which is the work.
EXCEPT = {"classes"}


def nodes_of(name, formulation, opset):
    variant = get_variant(name)
    if variant.family == "edgenext" and not variant.config.downsample_in_block:
        variant = dataclasses.replace(variant, config=dataclasses.replace(variant.config, **NARROW))
    context = LoweringContext(1, 96, 96, parse_formulation(formulation))
    ends = {"detection": ("boxes", "scores"), "segmentation": ("classes",), "classification": ("logits",)}[variant.task]
    graph, _ = emit(
        lower(create_model(variant, num_classes=3), context), (TensorSpec("image", (1, 3, 96, 96), "float32"),),
        tuple(TensorSpec(end, (1,), "float32") for end in ends), opset, 8, name)
    return graph.graph


def views(graph):
    """Return the Reshapes around an InstanceNormalization of single tokens: they have its name and do nothing."""
    ends = {name for node in graph.node if node.op_type == "InstanceNormalization" for name in (
        node.input[0], node.output[0])}
    return {node.name for node in graph.node if node.op_type == "Reshape" and not ends.isdisjoint(
        (node.input[0], node.output[0]))}


@pytest.mark.parametrize("formulation, opset", [
    ("nchw", 13), ("tokens-attribute", 20), ("nchw-matmul-scaled-scores", 13), ("nchw-channelslast", 20),
    ("nchw-scaled-behind", 13), ("tokens-matmul-instance-scores", 20)])
@pytest.mark.parametrize("name", [
    "xxs", "xxs_bn_hs", "s_no_branching_k579", "xxs_deeplabv3", "mobilevit_xxs_ssdlite", "mobilevit_xxs_deeplabv3",
    "s_rw", "mobilevitv2_050"])
def test_the_name_says_what_the_operator_says(name, formulation, opset):
    graph = nodes_of(name, formulation, opset)
    nodes = [node for node in graph.node if node.name not in EXCEPT | views(graph)]
    assert len(nodes) > 60
    assert [node.name for node in nodes if node_names.part_of(node.name) is None] == []
    assert [node.name for node in nodes
            if node_names.kind_of(node.name) != node_names.kind_of(node.name, node.op_type)] == []
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for node in nodes:
        if node.op_type == "Conv":
            _, per_group, *kernel = shapes[node.input[1]]
            (groups,) = [item.i for item in node.attribute if item.name == "group"]
            kind = (node_names.DEPTHWISE if groups > 1 and per_group == 1 else
                    node_names.POINTWISE if kernel == [1, 1] else node_names.CONVOLUTION)
            assert (node.name, node_names.kind_of(node.name)) == (node.name, kind)
