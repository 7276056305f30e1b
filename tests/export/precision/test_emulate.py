"""The emulator: FP32 is what ONNX Runtime computes, FP16 is what the format does to known values."""
import numpy as np
import onnx
import onnxruntime
import precision_graphs as graphs
import pytest
import torch
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from operator_cases import CASES, OPSETS, kind_of, module_of

from edgenext_deploy.artifacts.manifest import TensorSpec
from edgenext_deploy.errors import IncompatibleError, UsageError
from edgenext_deploy.export.lowering.trace import emit
from edgenext_deploy.export.precision.arithmetic import Float16Sums, float16, largest_magnitude
from edgenext_deploy.export.precision.emulate import Emulator
from edgenext_deploy.export.precision.shape_semantics import NEAREST
from edgenext_deploy.export.precision.typed import to_typed

# They pass on what they are given, so there is nothing to round.
MOVES = {"to_float", "split", "split_rows", "concat", "concat_rows", "slice", "reshape", "transpose"}


def ones(*shape):
    return np.ones(shape, np.float32)


def run_ort(model, image):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {model.graph.input[0].name: image})


def only(outputs):
    (value,) = outputs.values()
    return value


def half(model, image, accumulate="fp32", pins=()):
    return only(Emulator(model).run(np.asarray(image, np.float32), dict.fromkeys(pins, "a test"), accumulate))


def with_one_input(model, values):
    """Make constants of every input but the first."""
    for spec, value in zip(model.graph.input[1:], values[1:]):
        model.graph.initializer.append(numpy_helper.from_array(value, spec.name))
    del model.graph.input[1:]
    return model


def operator(case, opset, ir_version):
    op, shapes = CASES[case]
    rng = np.random.default_rng(1)
    values = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    expected = op(*(torch.from_numpy(value).double() for value in values))
    expected = expected if isinstance(expected, tuple) else (expected,)
    inputs = tuple(TensorSpec(f"x{i}", value.shape, "float32") for i, value in enumerate(values))
    outputs = tuple(TensorSpec(f"y{i}", tuple(value.shape), kind_of(value)) for i, value in enumerate(expected))
    model, _ = emit(module_of(op, len(values)), inputs, outputs, opset, ir_version, case)
    return with_one_input(model, values), values[0]


@pytest.mark.parametrize("opset, ir_version", OPSETS)
@pytest.mark.parametrize("case", CASES)
def test_every_operator_in_fp32_is_what_onnx_runtime_computes(case, opset, ir_version):
    model, image = operator(case, opset, ir_version)
    for found, expected in zip(Emulator(model).run(image).values(), run_ort(model, image)):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("accumulate", ["fp32", "fp16"])
@pytest.mark.parametrize("case", sorted(set(CASES) - MOVES))
def test_every_operator_in_fp16_is_near_and_representable(case, accumulate):
    model, image = operator(case, *OPSETS[-1])
    exact = Emulator(model).run(image)
    for name, found in Emulator(model).run(image, {}, accumulate).items():
        np.testing.assert_array_equal(found, found.astype(np.float16).astype(np.float32))
        np.testing.assert_allclose(found, exact[name], rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("form", graphs.FORMS)
@pytest.mark.parametrize("name, rounding", [
    ("xxs", 2e-3), ("xxs_bn_hs", 2e-3), ("mobilevit_xxs", 2e-3), ("mobilevitv2_050", 5e-3)])
def test_fp16_networks_agree_with_onnx_runtime_on_the_typed_file(name, rounding, form):
    model, pins = graphs.plain_network(form, name)
    image = graphs.golden_samples(1)[0]
    emulator = Emulator(model)
    exact = only(emulator.run(image))
    scale = np.abs(exact).max()
    np.testing.assert_allclose(exact, run_ort(model, image)[0], atol=1e-5 * scale)
    found = only(emulator.run(image, pins))
    # Both are within FP16's rounding of FP32. ONNX Runtime keeps more digits inside what it fuses.
    assert np.abs(found - run_ort(to_typed(model, pins), image)[0]).max() < rounding * scale
    assert 1e-5 * scale < np.abs(found - exact).max() < rounding * scale


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("removed", [None, "LayerNorm", "L2 norm"])
@pytest.mark.parametrize("change", [graphs.scale_activations, graphs.plant_overflow])
@pytest.mark.parametrize("form", graphs.FORMS)
def test_what_overflows_here_overflows_in_onnx_reference_evaluator_too(form, change, removed):
    """ONNX's own evaluator runs the typed file in numpy's FP16: it rounds everything, and shares no code with ours."""
    model, pins = graphs.network(form, change)
    pins = {name: reason for name, reason in pins.items() if removed is None or removed not in reason}
    image = graphs.golden_samples(1)[0]
    found = only(Emulator(model).run(image, pins))
    independent = ReferenceEvaluator(to_typed(model, pins)).run(None, {"image": image})[0]
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(independent))
    assert np.isfinite(found).all() == (change is graphs.scale_activations)
    scale = np.abs(only(Emulator(model).run(image))).max()
    np.testing.assert_allclose(found, independent, atol=3e-3 * scale)


def test_an_fp16_sum_of_ones_stalls_where_the_spacing_becomes_two():
    total = graphs.graph([("ReduceSum", ["x", "axes"], "y", {})], [1, 4096], {"axes": np.array([1])})
    assert half(total, ones(1, 4096)) == 4096
    assert half(total, ones(1, 4096), "fp16") == 2048


@pytest.mark.parametrize("node, shape, constant", [
    (("MatMul", ["x", "w"], "y", {}), [1, 4096], ones(4096, 1)),
    (("Gemm", ["x", "w"], "y", {"transB": 1}), [1, 4096], ones(1, 4096)),
    (("Conv", ["x", "w"], "y", {}), [1, 4096, 1, 1], ones(1, 4096, 1, 1)),
    (("Conv", ["x", "w"], "y", {}), [1, 1, 64, 64], ones(1, 1, 64, 64)),
])
def test_products_are_summed_the_same_way(node, shape, constant):
    model = graphs.graph([node], shape, {"w": constant})
    assert half(model, ones(*shape)).item() == 4096
    assert half(model, ones(*shape), "fp16").item() == 2048


def test_means_are_sums_divided():
    model = graphs.graph([("GlobalAveragePool", ["x"], "y", {})], [1, 1, 64, 64])
    assert half(model, ones(1, 1, 64, 64)).item() == 1
    assert half(model, ones(1, 1, 64, 64), "fp16").item() == 0.5


def test_fp16_sums_are_those_of_a_loop():
    rng = np.random.default_rng(2)
    x, weight, bias = (rng.standard_normal(shape).astype(np.float16) for shape in ((2, 4, 7, 9), (6, 2, 3, 3), (6,)))
    found = Float16Sums().conv(*(torch.from_numpy(v).float() for v in (x, weight, bias)), [2, 1], [1, 2], 2).numpy()
    assert found.shape == (2, 6, 3, 5)
    for b, o, i, j in ((0, 0, 0, 0), (1, 5, 2, 4), (1, 2, 1, 3)):
        total = np.float16(0)
        for c in range(2):
            for u in range(3):
                for v in range(3):
                    product = float(x[b, o // 3 * 2 + c, 2 * i + u, j + 2 * v]) * float(weight[o, c, u, v])
                    total = np.float16(float(total) + product)
        assert found[b, o, i, j] == np.float16(total + bias[o])


def test_squares_overflow_at_256():
    square = graphs.graph([("Mul", ["x", "x"], "y", {})], [3])
    np.testing.assert_array_equal(half(square, [255, -255.875, 256]), [65024, 65472, np.inf])
    np.testing.assert_array_equal(half(square, [255, -255.875, 256], pins=["y"]), [65025, 255.875**2, 65536])


def test_small_values_become_subnormal_and_then_zero():
    scale = graphs.graph([("Mul", ["x", "one"], "y", {})], [3], {"one": np.float32(1)})
    found = half(scale, [1e-8, 1e-7, 1e-4])
    np.testing.assert_array_equal(found, np.array([0, 2**-23, np.float16(1e-4)], np.float32))


def test_weights_of_an_fp16_node_are_rounded_and_those_of_a_pinned_one_are_not():
    model = graphs.graph([("Mul", ["x", "w"], "y", {})], [1], {"w": np.float32(1e-8)})
    assert half(model, [1000.0]) == 0
    assert half(model, [1000.0], pins=["y"]) == np.float32(1e-8) * np.float32(1000)


CHAIN = [("Mul", ["x", "x"], "square", {}), ("Reshape", ["square", "shape"], "move", {}),
         ("Sqrt", ["move"], "root", {})]


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.parametrize("pins, expected", [
    ([], np.inf), (["square"], np.inf), (["square", "root"], 300), (["root"], np.inf), (["square", "move"], np.inf)])
def test_an_island_keeps_its_values_until_an_fp16_node_takes_them(pins, expected):
    model = graphs.graph(CHAIN, [2, 2], {"shape": np.array([4])})
    image = np.full((2, 2), 300, np.float32)
    np.testing.assert_array_equal(half(model, image, pins=pins), np.full(4, expected, np.float32))
    # Not ONNX Runtime: on a CPU it computes the FP16 nodes in FP32 and drops the casts in between.
    typed = ReferenceEvaluator(to_typed(model, dict.fromkeys(pins, "a test"))).run(None, {"x": image})[0]
    np.testing.assert_array_equal(typed, np.full(4, expected, np.float32))


def layer_norm():
    node = onnx.helper.make_node("LayerNormalization", ["x", "w", "b"], ["y"], name="y", axis=-1, epsilon=1e-6)
    body = onnx.helper.make_graph(
        [node], "g", [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 4])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(ones(4), "w"), numpy_helper.from_array(0 * ones(4), "b")])
    return onnx.helper.make_model(body, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


def test_layer_normalization_in_fp16_collapses_when_its_squares_overflow():
    signs = np.array([[1, -1, 1, -1]], np.float32)
    np.testing.assert_allclose(half(layer_norm(), 100 * signs), signs, rtol=1e-3)
    np.testing.assert_array_equal(half(layer_norm(), 300 * signs), 0 * signs)
    np.testing.assert_allclose(half(layer_norm(), 300 * signs, pins=["y"]), signs, rtol=1e-5)


def test_an_operator_that_the_lowering_never_writes_is_named_with_its_node():
    model = graphs.graph([("Asin", ["x"], "odd.one", {})], [1])
    with pytest.raises(IncompatibleError, match=r"Asin.*'odd\.one'"):
        Emulator(model)


@pytest.mark.parametrize("node, shape, constants", [
    (("Gemm", ["x", "w"], "y", {"alpha": 2.0}), [1, 1], {"w": ones(1, 1)}),
    (("Pad", ["x", "p"], "y", {"mode": "reflect"}), [3], {"p": np.array([1, 1])}),
    (("Conv", ["x", "w"], "y", {"auto_pad": "SAME_UPPER"}), [1, 1, 3, 3], {"w": ones(1, 1, 2, 2)}),
    (("Conv", ["x", "w"], "y", {}), [1, 1, 3], {"w": ones(1, 1, 2)}),
])
def test_an_attribute_that_is_not_emulated_is_refused_rather_than_ignored(node, shape, constants):
    with pytest.raises(IncompatibleError, match="'y'"):
        Emulator(graphs.graph([node], shape, constants)).run(ones(*shape))


def test_two_inputs_are_refused():
    model = graphs.graph([("Add", ["x", "x"], "y", {})], [1])
    model.graph.input.append(onnx.helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, [1]))
    with pytest.raises(UsageError, match="found 2"):
        Emulator(model)


def test_an_unknown_way_of_summing_is_an_error():
    with pytest.raises(KeyError):
        float16("bf16")


def test_the_largest_magnitude_leaves_out_what_is_not_finite():
    assert largest_magnitude(torch.tensor([1.0, -3.0, float("inf"), float("nan")])) == 3
    assert largest_magnitude(torch.tensor([float("nan")])) == 0
    assert largest_magnitude(torch.tensor([])) == 0


def test_torch_keeps_its_number_of_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        half(graphs.graph([("Add", ["x", "x"], "y", {})], [1]), [1.0])
        assert torch.get_num_threads() == 2
        assert not torch.is_inference_mode_enabled()
    finally:
        torch.set_num_threads(before)


def test_a_constant_of_a_type_that_numpy_lacks_is_named():
    model = graphs.graph([("Relu", ["x"], "y", {})], [1])
    tensor = model.graph.initializer.add(name="small", data_type=onnx.TensorProto.FLOAT8E4M3FN, dims=[1])
    tensor.raw_data = bytes(1)
    with pytest.raises(IncompatibleError, match=r"FLOAT8E4M3FN.*'small'"):
        Emulator(model)


def weights(*shape):
    return np.random.default_rng(2).standard_normal(shape).astype(np.float32)


def resize(coordinates, rounding):
    return [("Resize", ["x", "", "", "sizes"], "y", {
        "mode": "nearest", "coordinate_transformation_mode": coordinates, "nearest_mode": rounding})]


# What only graphs of other people have: nodes, shape of the input, constants.
FOREIGN = {
    "transposed": ([("ConvTranspose", ["x", "w", "b"], "y", {
        "strides": [2, 3], "pads": [1, 0, 0, 2], "output_padding": [1, 0]})], (2, 4, 5, 6),
        {"w": weights(4, 3, 3, 4), "b": weights(3)}),
    "transposed_groups": ([("ConvTranspose", ["x", "w"], "y", {"group": 2, "dilations": [2, 1]})], (1, 4, 5, 6),
                          {"w": weights(4, 3, 3, 2)}),
    "einsum_product": ([("Einsum", ["x", "w"], "y", {"equation": "bhik, bhjk -> bhij"})], (2, 3, 4, 5),
                       {"w": weights(2, 3, 6, 5)}),
    "einsum_order": ([("Einsum", ["x", "w"], "y", {"equation": "abcd,ce->eadb"})], (2, 3, 4, 5), {"w": weights(4, 6)}),
    "einsum_silent": ([("Einsum", ["x", "w"], "y", {"equation": "nchw,nk"})], (2, 3, 4, 5), {"w": weights(2, 6)}),
    "product": ([("ReduceProd", ["x"], "y", {"axes": [1, -1], "keepdims": 0})], (2, 3, 4, 5), {}),
    "product_kept": ([("ReduceProd", ["x"], "y", {})], (2, 3, 4), {}),
    "where": ([("Where", ["mask", "x", "low"], "y", {})], (2, 3, 4, 5),
              {"mask": weights(1, 3, 1, 5) > 0, "low": np.float32(-7)}),
    # Whole numbers as float32: what is compared is the same in FP16.
    **{op.lower(): ([("Round", ["x"], "whole", {}), (op, ["whole", "one"], "c", {}), ("Cast", ["c"], "y", {"to": 1})],
                    (2, 3, 4, 5), {"one": np.float32(1)})
       for op in ("Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal")},
    **{op.lower(): ([("Greater", ["x", "low"], "above", {}), ("Not", ["above"], "below", {}),
                     (op, ["below", "mask"], "c", {}), ("Cast", ["c"], "whole", {"to": 7}),
                     ("Cast", ["whole"], "y", {"to": 1})],
                    (2, 3, 4, 5), {"low": np.float32(0.1), "mask": weights(3, 1, 5) > 0})
       for op in ("And", "Or", "Xor")},
    **{op.lower(): ([(op, ["x"], "y", {})], (2, 3, 4), {})
       for op in ("Sign", "Floor", "Ceil", "Sin", "Cos", "ReduceMin")},
    **{f"{coordinates}_{rounding}_{size}": (resize(coordinates, rounding), (1, 2, 5, 7), {
        "sizes": np.array([1, 2, size, size + 3])})
       for coordinates, rounding in NEAREST for size in (3, 10)}}


@pytest.mark.parametrize("case", FOREIGN)
def test_operators_of_other_peoples_graphs(case):
    nodes, shape, constants = FOREIGN[case]
    model, image = graphs.graph(nodes, list(shape), constants), weights(*shape)
    (expected,) = run_ort(model, image)
    np.testing.assert_allclose(only(Emulator(model).run(image)), expected, rtol=1e-5, atol=1e-5)
    for accumulate in ("fp32", "fp16"):
        found = half(model, image, accumulate)
        np.testing.assert_array_equal(found, found.astype(np.float16).astype(np.float32))
        np.testing.assert_allclose(found, expected, rtol=2e-2, atol=2e-2)


def test_an_output_that_the_emulation_does_not_give_is_refused():
    model = graphs.graph([("MaxPool", ["x"], "y", {"kernel_shape": [2, 2], "pads": [0] * 4}), ("Relu", ["y"], "z", {})],
                         [1, 1, 4, 4])
    model.graph.node[0].output.append("places")
    model.graph.node[1].input[0] = "places"
    with pytest.raises(IncompatibleError, match="another output of MaxPool"):
        Emulator(model).run(weights(1, 1, 4, 4))


@pytest.mark.parametrize("equation, second", [("ii,ij->ij", (4, 5)), ("ij,kl->il", (4, 5)), ("i...,ij->...j", (4, 5))])
def test_an_einsum_that_is_no_matrix_product_is_refused(equation, second):
    model = graphs.graph([("Einsum", ["x", "w"], "y", {"equation": equation})], [4, 4], {"w": weights(*second)})
    with pytest.raises(IncompatibleError, match="Einsum"):
        Emulator(model).run(weights(4, 4))
