"""Small FP32 graphs with known answers, and lowered networks, for the tests of the precision tools."""
import dataclasses
import functools

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from edgenext_deploy.artifacts.golden import golden_batch
from edgenext_deploy.artifacts.manifest import Preprocessing, TensorSpec
from edgenext_deploy.export.lowering.context import LoweringContext
from edgenext_deploy.export.lowering.lower import lower
from edgenext_deploy.export.lowering.scales import set_scales
from edgenext_deploy.export.lowering.trace import emit
from edgenext_deploy.export.precision.fp32_pins import pins_of
from edgenext_deploy.formulations import parse_formulation
from edgenext_deploy.models.factory import create_model, randomise
from edgenext_deploy.models.variants.registry import get_variant
from edgenext_deploy.preprocess.photo import normalise

SIZE = 64
PREPROCESSING = Preprocessing(
    SIZE, SIZE, 0.875, "bicubic", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), False)
# The two forms that differ most: primitives for TensorRT 8.2, and LayerNormalization, Gelu and Gemm.
FORMS = {"nchw-13": (13, "nchw"), "tokens-20": (20, "tokens")}

# xxs with every kind of block and half the nodes: a search runs each of them dozens of times.
SHALLOW = dataclasses.replace(
    get_variant("xxs"), name="shallow", config=dataclasses.replace(get_variant("xxs").config, depths=(1, 1, 3, 1)))


def graph(nodes, shape, constants=None, outputs=None):
    """Return a model from ``(op, inputs, name, attributes)``; a node's output has its name, the input is ``x``."""
    made = [helper.make_node(op, inputs, [name], name=name, **attributes) for op, inputs, name, attributes in nodes]
    values = {name: numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()}
    outputs = outputs or [nodes[-1][2]]
    body = helper.make_graph(
        made, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_empty_tensor_value_info(name) for name in outputs], list(values.values()))
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    inferred = {value.name: value for value in onnx.shape_inference.infer_shapes(model).graph.output}
    for value in model.graph.output:
        value.CopyFrom(inferred[value.name])
    onnx.checker.check_model(model, full_check=True)
    return model


def network(form, change=lambda model: None, variant="xxs"):
    """Return a lowered network with ten classes and its plan, after `change` of the reference module.

    `form` is of `FORMS`, or any pair of an opset and a formulation.
    """
    opset, formulation = FORMS.get(form, form)
    module = randomise(create_model(variant, num_classes=10), seed=0).eval().requires_grad_(False)
    change(module)
    context = LoweringContext(1, SIZE, SIZE, parse_formulation(formulation))
    lowered = lower(module, context)
    set_scales(lowered, context.scalings, [torch.from_numpy(image).double() for image in golden_samples(2)])
    model, islands = emit(
        lowered, (TensorSpec("image", (1, 3, SIZE, SIZE), "float32"),), (TensorSpec("logits", (1, 10), "float32"),),
        opset, 8, "network")
    return model, pins_of(model, islands)


@functools.lru_cache(maxsize=None)
def plain_network(form, variant="xxs"):
    return network(form, variant=variant)


def golden_samples(count):
    return [normalise(golden_batch(seed, (1, 3, SIZE, SIZE)), PREPROCESSING) for seed in range(count)]


def plant_overflow(module, factor=3e4, stage=2, block=3):
    """Scale one block's hidden activations; in FP32 the network stays the same but for the nonlinearity."""
    target = module.stages[stage][block]
    with torch.no_grad():
        target.pwconv1.weight.mul_(factor)
        target.pwconv1.bias.mul_(factor)
        target.pwconv2.weight.div_(factor)


def scale_activations(module, residual=1000.0, query_key=300.0):
    """Scale the residual stream and all that is added to it, and queries and keys, until norms in FP16 overflow."""
    with torch.no_grad():
        for downsample in list(module.downsample_layers)[1:]:
            downsample[1].weight.mul_(residual)
            downsample[1].bias.mul_(residual)
        for block in (block for stage in list(module.stages)[1:] for block in stage):
            block.gamma.mul_(residual)
            if hasattr(block, "xca"):
                # Strong attention: a channel of it that collapses has to show in the logits.
                block.gamma_xca.mul_(8 * residual)
                block.xca.qkv.weight[:2 * block.xca.proj.in_features] *= query_key
                block.xca.qkv.bias[:2 * block.xca.proj.in_features] *= query_key
