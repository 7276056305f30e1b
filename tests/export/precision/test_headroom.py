"""Headroom: what an FP16 node holds in FP32, in graphs with known answers and in exports that would overflow."""
import functools
import math
import shutil

import exports
import numpy as np
import onnx
import precision_graphs as graphs
import pytest
from PIL import Image
from test_autopin import NEEDED, PLANTED

from edgenext_deploy.data import path_of
from edgenext_deploy.errors import VerificationError
from edgenext_deploy.export.checks.parity import parity_inputs
from edgenext_deploy.export.precision import semantics
from edgenext_deploy.export.precision.headroom import fp16_ranges, headroom_warning, overflowing, require_range
from edgenext_deploy.export.precision.samples import drift_samples
from edgenext_deploy.export.request import ExportRequest
from edgenext_deploy.models.definitions.config import EdgeNeXtConfig
from edgenext_deploy.models.definitions.edgenext import EdgeNeXt
from edgenext_deploy.models.factory import randomise
from edgenext_deploy.models.variants.reference import reference_module
from edgenext_deploy.models.variants.registry import get_variant

NARROW = EdgeNeXtConfig(dims=(16, 24, 32, 48), depths=(1, 2, 2, 2), heads=(2, 2, 2, 2))
FLAG, TYPED = {"target": "nano"}, {"target": "a100"}


def chain(factor, last="Add"):
    """Return three nodes: double, times `factor`, and one that takes what the second gives."""
    taken = ["middle", "middle"] if last == "Add" else ["middle"]
    return graphs.graph(
        [("Mul", ["x", "two"], "before", {}), ("Mul", ["before", "factor"], "middle", {}), (last, taken, "after", {})],
        [1, 2], {"two": np.float32(2), "factor": np.float32(factor)})


def ranges_of(model, values, pins=()):
    return fp16_ranges(model, dict.fromkeys(pins, "a test"), [np.asarray([image], np.float32) for image in values])


def test_figures_are_the_largest_over_inputs_and_signs():
    ranges = ranges_of(chain(100), [[1, -3], [2, 0]])
    assert list(ranges) == ["before", "middle", "after"]
    assert (ranges["middle"].takes, ranges["middle"].gives, ranges["middle"].weight) == (6, 600, 100)
    assert ranges["after"].headroom == 65504 / 1200


def test_the_limits_are_65504_and_a_quarter_of_it():
    for value, overflows, warns in ((65504, False, True), (65505, True, True), (16376, False, False),
                                    (16377, False, True)):
        ranges = ranges_of(graphs.graph([("Relu", ["x"], "y", {})], [1, 2]), [[value, 0]])
        assert (bool(overflowing(ranges)), headroom_warning(ranges) is not None) == (overflows, warns)


def test_values_inside_fp32_islands_do_not_count_but_those_that_fp16_takes_do():
    assert list(overflowing(ranges_of(chain(1e5), [[1, 2]], ["middle", "after"]))) == []
    found = overflowing(ranges_of(chain(1e5), [[1, 2]], ["middle"]))
    assert list(found) == ["after"] and "takes values that overflow (largest magnitude 4e+05)" in found["after"]


@pytest.mark.parametrize("op", ["Erf", "Sigmoid", "HardSigmoid"])
def test_what_maps_infinity_to_the_right_number_may_take_it(op):
    assert overflowing(ranges_of(chain(1e4, op), [[100, 2]], ["middle"])) == {}
    assert list(overflowing(ranges_of(chain(1e4, op), [[100, 2]]))) == ["middle"]


def test_values_inside_an_operator_count():
    layer_norm = [("LayerNormalization", ["x", "one"], "norm", {"axis": -1})]
    model = graphs.graph([("Relu", ["x"], "norm", {})], [1, 2], {"one": np.ones(2, np.float32)})
    del model.graph.node[:]
    model.graph.node.extend(onnx.helper.make_node(op, taken, [name], name=name, **attributes)
                            for op, taken, name, attributes in layer_norm)
    ranges = ranges_of(model, [[0, 1000]])
    assert ranges["norm"].gives == 500**2 and list(overflowing(ranges)) == ["norm"]


def test_a_weight_overflows_but_has_no_headroom():
    large = ranges_of(chain(65505), [[1e-4, 0]])
    assert overflowing(large) == {"middle": "drift analysis: has a weight of magnitude 6.6e+04"}
    with pytest.raises(VerificationError, match=r"node middle has a weight .* headroom 1;"):
        require_range(large)
    assert headroom_warning(ranges_of(chain(60000), [[1e-4, 0]])) is None


def test_a_value_that_is_not_finite_in_fp32_is_an_overflow():
    ranges = ranges_of(chain(3e38, "Sigmoid"), [[100, 0]])
    assert ranges["middle"].gives == math.inf and ranges["middle"].headroom == 0


@pytest.mark.parametrize("form", graphs.FORMS)
def test_what_overflows_is_what_auto_pin_needs(form):
    model, pins = graphs.network(form, functools.partial(graphs.plant_overflow, block=1), graphs.SHALLOW)
    assert list(overflowing(fp16_ranges(model, pins, graphs.golden_samples(2)))) == [
        PLANTED + name for name in NEEDED[form]]


@pytest.mark.parametrize("form", graphs.FORMS)
def test_the_islands_of_large_activations_are_left_out(form):
    model, pins = graphs.network(form, graphs.scale_activations)
    ranges = fp16_ranges(model, pins, graphs.golden_samples(1))
    assert not overflowing(ranges) and ranges.keys().isdisjoint(pins)
    bare = overflowing(fp16_ranges(model, {}, graphs.golden_samples(1)))
    assert {pins[name].split(":")[0] for name in bare} and bare.keys() <= pins.keys()


def scaled(*parameters, factor):
    for parameter in parameters:
        parameter.data *= factor


def depthwise(module):
    block = module.stages[0][0].dwconv
    scaled(block.weight, block.bias, factor=3e5)  # the norm behind it hides the scale in FP32


def attention_values(module):
    xca = module.stages[3][1].xca
    values = 2 * xca.proj.in_features
    scaled(xca.qkv.weight[values:], xca.qkv.bias[values:], factor=1e6)
    scaled(xca.proj.weight, factor=1e-6)


def residual_stream(module):
    scaled(module.downsample_layers[1][1].weight, module.downsample_layers[1][1].bias, factor=1e6)


def hidden(module):
    graphs.plant_overflow(module, 1e6, 2, 0)


def head_weight(module):
    module.head.weight.data[0, 0] = 1e5


def narrow(change):
    module = randomise(EdgeNeXt(NARROW, 5), 1)
    change(module)
    return module


def export(module, folder, **options):
    return exports.quick_export(ExportRequest(module, str(folder), **{"fp16": True, "image_size": 64, **options}))


@pytest.mark.parametrize("options", [FLAG, TYPED], ids=["flag", "typed"])
@pytest.mark.parametrize("change, node", [
    (depthwise, "stages.0.0.dwconv"), (attention_values, r"stages.3.1.xca.\S+"), (hidden, "stages.2.0.mlp.pwconv1"),
    (residual_stream, "downsample_layers.1.conv"), (head_weight, "head")])
def test_an_export_that_would_overflow_fails_and_names_the_first_node(change, node, options, tmp_path):
    with pytest.raises(VerificationError, match=f"ends at 65504, and in FP32 node {node}") as caught:
        export(narrow(change), tmp_path, **options)
    assert caught.value.exit_code == 5 and "--auto-pin" in caught.value.fix
    assert list(tmp_path.iterdir()) == []


def test_fp32_does_not_ask(tmp_path):
    assert export(narrow(depthwise), tmp_path, fp16=False).manifest.precision.requested == "fp32"


@pytest.mark.parametrize("options", [FLAG, TYPED], ids=["flag", "typed"])
def test_little_headroom_is_a_warning(options, tmp_path):
    for factor, warns in ((1e3, False), (4e3, True)):
        module = narrow(lambda module, by=factor: graphs.plant_overflow(module, by, 2, 0))
        result = export(module, tmp_path / str(factor), **options)
        found = [warning for warning in result.warnings if "FP16 headroom is" in warning]
        assert bool(found) == warns, factor
    assert "at node stages.2.0.mlp." in found[0] and "--auto-pin --samples" in found[0]


def test_an_operator_that_the_emulation_does_not_know_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.delitem(semantics.RULES, "Softmax")
    result = export(narrow(lambda module: None), tmp_path)
    assert any("not known whether FP16 overflows" in warning and "Softmax" in warning for warning in result.warnings)


def one_photo(folder):
    folder.mkdir()
    shutil.copy(path_of("photos", "cat.jpg"), folder)
    return folder


def in_the_backbone(module):
    graphs.plant_overflow(module.backbone)


def in_the_head(module):
    norm = module.aspp.project[1]
    scaled(norm.weight, norm.bias, factor=1e6)
    scaled(module.classifier.weight, factor=1e-6)


@pytest.mark.parametrize("variant, change, options", [
    ("xxs_ssdlite", in_the_backbone, FLAG), ("xxs_ssdlite", in_the_backbone, TYPED),
    ("mobilevit_xxs_deeplabv3", in_the_head, FLAG), ("mobilevit_xxs_deeplabv3", in_the_head, TYPED)])
def test_auto_pin_repairs_detectors_and_segmenters(variant, change, options, tmp_path):
    module = randomise(reference_module(get_variant(variant), 4), 0)
    change(module)
    with pytest.raises(VerificationError, match="FP16 would overflow"):
        export(module, tmp_path / "out", **options)
    result = export(module, tmp_path / "out", auto_pin=True, samples=one_photo(tmp_path / "photos"), **options)
    added = result.precision.proposal.added
    assert 0 < len(added) <= 6 and any("largest magnitude" in reason for reason in added.values())
    assert result.precision.proposal.after.non_finite == 0
    assert added.keys() <= {name for names in result.manifest.precision.fp32_pins.values() for name in names}


def test_auto_pin_also_pins_what_only_the_parity_inputs_provoke(tmp_path):
    """A photo of one colour excites the first convolution less."""
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (64, 64), (128, 128, 128)).save(photos / "flat.png")
    plain = export(narrow(lambda module: None), tmp_path / "plain", **FLAG)
    graph, preprocessing = onnx.load(plain.onnx_path), plain.manifest.preprocessing
    node, shape = "stages.0.0.dwconv.conv", (1, 3, 64, 64)
    flat, all_inputs = (fp16_ranges(graph, {}, inputs)[node].gives for inputs in (
        drift_samples(photos, shape, preprocessing), parity_inputs(shape, preprocessing)))

    def change(module):
        block = module.stages[0][0].dwconv
        scaled(block.weight, block.bias, factor=65504 / math.sqrt(flat * all_inputs))

    proposal = export(narrow(change), tmp_path / "out", auto_pin=True, samples=photos, **FLAG).precision.proposal
    assert proposal.before.non_finite == 0 and node in proposal.added
