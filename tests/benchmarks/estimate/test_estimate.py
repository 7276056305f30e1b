import json
import os

import numpy as np
import pytest
from paths import DATA

from edgenext_deploy.artifacts.engine_file import EngineFile, open_engine_file
from edgenext_deploy.benchmarks.commands.cli import bench_command
from edgenext_deploy.benchmarks.estimate import estimates as module
from edgenext_deploy.benchmarks.estimate.calibration import _NANO_FEATURES, Feature, calibrate, fit
from edgenext_deploy.benchmarks.estimate.estimate_text import summary, title
from edgenext_deploy.benchmarks.estimate.estimates import estimate_file, feature_of
from edgenext_deploy.benchmarks.estimate.graph_file import read_work
from edgenext_deploy.benchmarks.estimate.peaks import devices_with_peak, get_peak
from edgenext_deploy.benchmarks.latency import exports
from edgenext_deploy.benchmarks.report.html.pages import estimate_page
from edgenext_deploy.commands import entry
from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.graph_work import work_of

# One MAC is two operations; a graph of known work: 3x3 convolution of 2 to 4 channels on 8x8, a norm over channels,
# and a 1x1 convolution.
CHANNELS, SIDE = 4, 8


@pytest.fixture
def exported(request):
    """Return a function from a variant's name to its export for nano, where a workstation's libraries are."""
    for name in ("onnx", "torch"):
        pytest.importorskip(name)
    return request.getfixturevalue("nano_export")


def graph(onnx):
    helper = onnx.helper

    def weights(name, *shape):
        return onnx.numpy_helper.from_array(np.ones(shape, np.float32), name)

    nodes = [
        helper.make_node("Conv", ["image", "w0", "b0"], ["x"], "downsample_layers.0.conv", pads=[1, 1, 1, 1]),
        helper.make_node("ReduceMean", ["x"], ["mean"], "stages.0.0.mlp.norm/mean", axes=[1], keepdims=1),
        helper.make_node("Sub", ["x", "mean"], ["centre"], "stages.0.0.mlp.norm/centre"),
        helper.make_node("Mul", ["centre", "centre"], ["square"], "stages.0.0.mlp.norm/square"),
        helper.make_node("ReduceMean", ["square"], ["variance"], "stages.0.0.mlp.norm/variance", axes=[1], keepdims=1),
        helper.make_node("Sqrt", ["variance"], ["deviation"], "stages.0.0.mlp.norm/deviation"),
        helper.make_node("Div", ["centre", "deviation"], ["normed"], "stages.0.0.mlp.norm"),
        helper.make_node("Conv", ["normed", "w1"], ["y"], "stages.0.0.mlp.pwconv1"),
        helper.make_node("Reshape", ["y", "shape"], ["flat"], "head.flatten"),
    ]
    made = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("image", 1, [1, 2, SIDE, SIDE])],
        [helper.make_tensor_value_info("flat", 1, [1, 8 * SIDE * SIDE])],
        [weights("w0", 4, 2, 3, 3), weights("b0", 4), weights("w1", 8, 4, 1, 1),
         onnx.numpy_helper.from_array(np.array([1, -1], np.int64), "shape")])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)])
    return onnx.shape_inference.infer_shapes(model).graph


def test_kernels_operations_and_traffic_of_a_known_graph():
    onnx = pytest.importorskip("onnx")
    stem, stage = work_of(graph(onnx))
    pixels = SIDE * SIDE
    [conv] = stem.kernels
    assert (conv.multiply_adds, conv.parameters) == (pixels * 4 * 2 * 9, 4 * 2 * 9 + 4)
    assert (conv.elements_read, conv.elements_written) == (2 * pixels, 4 * pixels)
    # Centre and square fuse; the division waits for the variance, which waits for the square.
    assert [kernel.name.rsplit(".", 1)[-1] for kernel in stage.kernels] == [
        "norm/mean", "norm/centre", "norm/variance", "norm/deviation", "pwconv1"]
    centre, divide = stage.kernels[1], stage.kernels[3]
    assert (centre.elements_read, centre.elements_written) == (4 * pixels + pixels, 2 * 4 * pixels)
    assert (divide.elements_read, divide.elements_written) == (4 * pixels + pixels, 4 * pixels)
    assert (stem.elements_in, stem.elements_out) == (2 * pixels, 4 * pixels)
    assert (stage.elements_in, stage.parameters) == (4 * pixels, 32)
    # The network's output is a view of what the last kernel writes.
    assert stage.elements_out == 8 * pixels == stage.kernels[-1].elements_written


def test_the_roofline_is_the_longer_of_operations_and_traffic():
    onnx = pytest.importorskip("onnx")
    works = work_of(graph(onnx))
    peak = get_peak("nano")._replace(fp16_flops=1e9, memory_bytes_s=1e30)
    operations = sum(kernel.operations for work in works for kernel in work.kernels)
    assert feature_of(works, peak, "fp16").roofline_ms == pytest.approx(operations / 1e6)
    peak = peak._replace(fp16_flops=1e30, memory_bytes_s=1e9)
    elements = sum(kernel.elements for work in works for kernel in work.kernels)
    assert feature_of(works, peak, "fp16").roofline_ms == pytest.approx(2 * elements / 1e6)
    assert feature_of(works, peak._replace(fp32_flops=1e30), "fp32").roofline_ms == pytest.approx(4 * elements / 1e6)


def test_the_fit_recovers_planted_factors_and_predicts_points_left_out():
    features = [(str(index), Feature(roofline, kernels)) for index, (roofline, kernels) in enumerate(
        [(2.0, 200), (4.0, 250), (8.0, 250), (13.0, 270)])]
    latencies = [3.0 * feature.roofline_ms + 0.05 * feature.kernels for _, feature in features]
    exact = fit(features, latencies, "planted")
    assert (exact.roofline_factor, exact.kernel_us) == pytest.approx((3.0, 50.0))
    assert exact.errors == pytest.approx((0.0, 0.0), abs=1e-9)
    assert exact.predict_ms(Feature(1.0, 100)) == pytest.approx(8.0)
    # A point that does not fit is far off where it is left out, and less where it was fitted to.
    spoilt = fit(features, [*latencies[:3], latencies[3] * 1.5], "planted")
    last = spoilt.points[3]
    assert last.left_out_ms == pytest.approx(latencies[3])
    assert last.left_out_error == pytest.approx(1 / 1.5 - 1)
    assert abs(last.fitted_ms / last.published_ms - 1) < abs(last.left_out_error)


def test_the_range_turns_the_errors_around():
    found = calibrate("nano", "fp16")
    low, high = found.range_ms(30.0)
    worst_low, worst_high = found.errors
    assert low == pytest.approx(30.0 / (1 + worst_high)) and high == pytest.approx(30.0 / (1 + worst_low))
    assert low < 30.0 < high


def test_only_published_points_calibrate_and_only_where_there_are_some():
    found = calibrate("nano", "fp16")
    assert [point.published_ms for point in found.points] == [19.3, 31.6, 48.8, 21.0, 35.1, 53.0]
    assert "not stated" in found.source
    assert calibrate("a100", "fp16") is None and calibrate("nano", "fp32") is None


@pytest.mark.parametrize("variant", ["xxs", "mobilevit_xxs"])
def test_the_stored_features_are_those_of_the_export(exported, variant):
    found = feature_of(read_work(exported(variant).onnx_path), get_peak("nano"), "fp16")
    assert found.kernels == _NANO_FEATURES[variant].kernels
    assert found.roofline_ms == pytest.approx(_NANO_FEATURES[variant].roofline_ms, abs=1e-4)


def test_an_estimate_is_called_one_everywhere(exported):
    found = estimate_file(exported("xxs").onnx_path, "nano", "fp16")
    assert found.kind == "estimate" and found.variant == "xxs" and found.published_ms == 19.3
    assert found.total.kernels == sum(stage.kernels for stage in found.stages)
    assert found.total.multiply_adds_m == pytest.approx(254.8, abs=0.5)
    for stage in (*found.stages, found.total):
        assert 0.0 < stage.lower_bound_ms <= stage.roofline_ms <= stage.with_launches_ms < stage.expected_ms
    assert found.expected_low_ms < found.total.expected_ms < found.expected_high_ms
    assert title(found).startswith("ESTIMATE, not measured")
    assert all("stimate" in line for line in summary(found)[:2])
    page = estimate_page(found).decode("utf-8")
    assert "<title>ESTIMATE, not measured" in page and page.count("stimate") > 5


def test_without_a_calibration_there_is_no_expected_figure(exported):
    found = estimate_file(exported("xxs").onnx_path, "a100", "fp16")
    assert found.total.expected_ms is None and found.expected_low_ms is None and found.calibration is None
    assert "nothing to calibrate with" in " ".join(summary(found))
    # Everything fits the A100's cache, so nothing has to be moved, and only the operations bound.
    assert found.total.traffic_mb == 0.0


def test_unknown_devices_and_broken_files(tmp_path):
    with pytest.raises(UsageError, match="unknown device 'abacus'"):
        get_peak("abacus")
    with pytest.raises(UsageError, match="no peak rates") as raised:
        get_peak("t4")
    assert "nano, xavier-nx, agx-xavier, orin-nano, orin-nx, agx-orin, a100, h100" in str(raised.value)
    for family in ("orin", "xavier"):  # which of them is not said
        with pytest.raises(UsageError, match="no peak rates"):
            get_peak(family)
    assert get_peak("jetson-nano") is get_peak("nano") and get_peak("Jetson Orin Nano") is get_peak("orin-nano")
    pytest.importorskip("onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no graph")
    with pytest.raises(BadInputError):
        read_work(str(broken))


def test_an_fp32_network_is_bound_by_the_tensor_cores_in_tf32():
    assert get_peak("a100").flops("fp32") == 156e12
    peaks = [get_peak(name) for name in devices_with_peak()]
    # Volta's tensor cores know no TF32.
    volta = [peak for peak in peaks if "Volta" in peak.title]
    assert [peak.device for peak in volta] == ["xavier-nx", "agx-xavier"]
    assert [peak.flops("fp16") / peak.flops("fp32") for peak in volta] == pytest.approx([8.0, 8.0], rel=0.01)
    assert all(peak.flops("fp16") / peak.flops("fp32") == pytest.approx(2.0, rel=0.01)
               for peak in peaks if peak not in volta)


@pytest.mark.parametrize("device, cores, multiply_adds, clock_hz", [
    ("xavier-nx", 48, 64, 1.1e9), ("agx-xavier", 64, 64, 1.377e9),
    ("orin-nano", 32, 256, 1.02e9), ("orin-nx", 32, 256, 1.173e9), ("agx-orin", 64, 256, 1.3e9)])
def test_a_jetsons_rate_is_that_of_its_tensor_cores(device, cores, multiply_adds, clock_hz):
    """The one that is printed and the ones that are worked out follow the same rule."""
    assert get_peak(device).flops("fp16") == pytest.approx(2 * cores * multiply_adds * clock_hz, rel=0.02)


def test_no_board_has_a_faster_bound_than_a_weaker_one(exported):
    path = exported("xxs").onnx_path
    bounds = [estimate_file(path, name, "fp16").total.roofline_ms for name in (
        "nano", "xavier-nx", "agx-xavier", "agx-orin", "a100")]
    assert bounds == sorted(bounds, reverse=True)
    assert estimate_file(path, "orin-nano", "fp16").total.expected_ms is None


def test_a_published_latency_is_named_only_for_its_input(exported, monkeypatch):
    path = str(exported("xxs").onnx_path)
    assert any("Published for this variant" in line for line in summary(estimate_file(path, "nano", "fp16")))
    found = open_engine_file(path).find_manifest()
    smaller = found._replace(inputs=(found.inputs[0]._replace(shape=(1, 3, 224, 224)),))
    monkeypatch.setattr(EngineFile, "find_manifest", lambda file: smaller)
    assert estimate_file(path, "nano", "fp16").published_ms is None


def test_a_graph_for_another_target_says_that_the_fit_was_to_others(exported):
    found = estimate_file(str(exported("xxs").onnx_path), "nano", "fp16")
    assert title(found) == "ESTIMATE, not measured: xxs on nano, FP16, batch 1, input 3×256×256"
    assert not any("may fit less well" in line for line in summary(found))
    for target, said in (("onnxruntime", "exported for onnxruntime"), (None, "not known what it was exported for")):
        assert any(said in line and "may fit less well" in line for line in summary(found._replace(target=target)))
    batch = found._replace(input_shape=(4, 3, 224, 320))
    assert title(batch).endswith("FP16, batch 4, input 3×224×320")
    assert title(found._replace(input_shape=None)).endswith("xxs on nano, FP16")


def test_the_command(tmp_path, capsys, monkeypatch, exported):
    path = exported("xxs").onnx_path
    monkeypatch.setattr(exports, "run_module", lambda name, arguments, limit: None)
    with pytest.raises(SystemExit) as stopped:
        entry.run_command(bench_command, ["estimate", "--engine", str(path), "--json", str(tmp_path / "e.json"),
                                            "--html", str(tmp_path / "e.html")])
    out = capsys.readouterr().out
    assert stopped.value.code == 0
    assert "ESTIMATE, not measured" in out and "Estimated latency" in out
    assert json.loads((tmp_path / "e.json").read_text(encoding="utf-8"))["kind"] == "estimate"
    for arguments in ([], ["--variant", "s", "--engine", str(path)]):
        with pytest.raises(SystemExit) as stopped:
            entry.run_command(bench_command, ["estimate", *arguments])
        assert stopped.value.code == 2


def test_a_variant_is_exported_in_a_child(monkeypatch):
    asked = []

    def export(name, arguments, limit):
        asked.append((name, arguments))
        raise UsageError("stop here")

    monkeypatch.setattr(exports, "run_module", export)
    with pytest.raises(UsageError, match="stop here"):
        module.estimate_variant("xs", "nano", "fp16")
    [(name, arguments)] = asked
    assert name == "edgenext_deploy.export.commands.cli" and arguments[:4] == ["--variant", "xs", "--target", "nano"]


def onnx_file(folder, nodes, shape=(1, 2, 8, 8), weights=(), domains=(), out_shape=None):
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    made = helper.make_graph(
        [helper.make_node(*words, **options) for words, options in nodes], "g",
        [helper.make_tensor_value_info("image", 1, shape)], [helper.make_tensor_value_info("y", 1, out_shape)],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights])
    opsets = [helper.make_opsetid("", 17), *[helper.make_opsetid(domain, 1) for domain in domains]]
    path = str(folder / "foreign.onnx")
    onnx.save(helper.make_model(made, opset_imports=opsets), path)
    return path


@pytest.mark.parametrize("node, options, found", [
    (("DeformConv", ["image", "image", "image"], ["y"], "bend"), {}, "'bend' (DeformConv) cannot be"),
    (("QuickGelu", ["image"], ["y"], "act"), {"domain": "com.microsoft"}, "'act' (com.microsoft.QuickGelu) cannot be"),
    (("LSTM", ["image", "image", "image"], ["y"]), {}, "'y' (LSTM) cannot be estimated")])
def test_an_operator_of_unknown_work_is_refused_by_its_nodes_name(tmp_path, node, options, found):
    path = onnx_file(tmp_path, [(node, options)], domains=("com.microsoft",))
    with pytest.raises(BadInputError) as refused:
        estimate_file(path, "nano", "fp16")
    assert found in str(refused.value) and "edgenext-bench" in str(refused.value)


def test_control_flow_is_refused_by_its_nodes_name(tmp_path):
    helper = pytest.importorskip("onnx").helper
    branch = helper.make_graph([helper.make_node("Relu", ["image"], ["r"])], "b", [],
                               [helper.make_tensor_value_info("r", 1, None)])
    path = onnx_file(tmp_path, [(("If", ["yes"], ["y"], "choose"), {"then_branch": branch, "else_branch": branch})],
                     weights=[("yes", np.array(True))])
    with pytest.raises(BadInputError, match=r"node 'choose' \(If\) cannot be estimated: control flow"):
        read_work(path)


@pytest.mark.parametrize("shape, node, found", [
    (("n", 2, 8, 8), ("Relu", ["image"], ["y"], "act"), "input 'image' has no fixed shape: ['?', 2, 8, 8]"),
    ((4, 4), ("NonZero", ["image"], ["y"], "where"), "node 'where' (NonZero) cannot be estimated"),
    ((4, 4), ("Expand", ["image", "image"], ["y"], "wide"), "output 'y' of node 'wide' (Expand) has no fixed shape")])
def test_what_has_no_fixed_size_is_refused_by_name(tmp_path, shape, node, found):
    with pytest.raises(BadInputError) as refused:
        read_work(onnx_file(tmp_path, [(node, {})], shape))
    assert found in str(refused.value)


def test_shape_arithmetic_counts_nothing(tmp_path):
    """A flatten as exporters write it: Shape, Gather, Concat, Reshape."""
    nodes = [(("Relu", ["image"], ["r"]), {}), (("Shape", ["r"], ["s"]), {}), (("Gather", ["s", "zero"], ["n"]), {}),
             (("Unsqueeze", ["n", "zero1"], ["n1"]), {}), (("Concat", ["n1", "rest"], ["to"]), {"axis": 0}),
             (("Reshape", ["r", "to"], ["flat"]), {}), (("MatMul", ["flat", "w"], ["y"]), {})]
    weights = [("zero", np.array(0)), ("zero1", np.array([0])), ("rest", np.array([-1])),
               ("w", np.ones((128, 3), np.float32))]
    [work] = read_work(onnx_file(tmp_path, nodes, weights=weights))
    assert [(kernel.multiply_adds, kernel.elements, kernel.parameters) for kernel in work.kernels] == [
        (0, 128 + 128, 0), (128 * 3, 128 + 384 + 3, 384)]


ADOPTED = ["convnext", "deeplabv3_mobilenet_v3", "mobilenet_v2", "mobilenet_v3", "shufflenet_v2",
           "ssdlite_mobilenet_v3", "swin", "vit"]


@pytest.mark.parametrize("name", ADOPTED)
def test_networks_of_others_are_estimated_with_all_their_products(name):
    """Every weight of a convolution or product is used once at each place: counted by hand from the file's shapes."""
    onnx = pytest.importorskip("onnx")
    path = os.path.join(DATA, "adoption", name + "_20.onnx")
    model = onnx.shape_inference.infer_shapes(onnx.load(path), data_prop=True)
    shapes = {value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
              for value in (*model.graph.value_info, *model.graph.output, *model.graph.input)}
    shapes.update({tensor.name: list(tensor.dims) for tensor in model.graph.initializer})
    expected = 0
    for node in model.graph.node:
        if node.op_type == "Conv":
            expected += int(np.prod(shapes[node.output[0]])) * int(np.prod(shapes[node.input[1]][1:]))
        elif node.op_type in ("MatMul", "Gemm"):
            expected += int(np.prod(shapes[node.output[0]])) * shapes[node.input[0]][-1]
    found = estimate_file(path, "nano", "fp16")
    assert found.variant is None and not found.adopted
    assert 1e6 * found.total.multiply_adds_m == pytest.approx(expected) and expected > 1e5


def test_an_adopted_network_is_estimated_like_ours_and_the_fit_is_called_another_kinds(tmp_path):
    pytest.importorskip("torch")
    from edgenext_deploy.export.adoption.api import adopt

    path = os.path.join(DATA, "adoption", "mobilenet_v2_17.onnx")
    result = adopt(path, str(tmp_path), input="input=1x3x64x64")
    found = estimate_file(str(result.onnx_path), "nano", "fp16")
    assert found.adopted and found.target == "nano" and found.variant
    assert found.total.multiply_adds_m == pytest.approx(
        estimate_file(path.replace("_17", "_20"), "nano", "fp16").total.multiply_adds_m, rel=0.02)
    assert "another one" in " ".join(summary(found)) and "another one" in estimate_page(found).decode("utf-8")
