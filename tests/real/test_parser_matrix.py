"""The verdict for ``rtx-1.7`` against NVIDIA's own parser, on the models in the onnx package and their variants."""
import importlib.util

import pytest

onnx = pytest.importorskip("onnx")

import onnx_models  # noqa: E402
from builder_cases import CASES  # noqa: E402
from parser_matrix import ask_parser, compare, compare_builder  # noqa: E402
from sweeps import sweep  # noqa: E402

pytestmark = [pytest.mark.real, pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx is not installed")]

# Why they are there: ranges as loops, in floating point.
WRONG_YES = {
    "node/test_range_float_type_positive_delta_expanded", "node/test_range_float16_type_positive_delta_expanded",
    "node/test_range_bfloat16_type_positive_delta_expanded"}


def test_published_models():
    found = compare(onnx_models.published(), sm="86")
    assert found.asked > 2000 and found.accepted > 1000
    assert set(found.wrong_yes) <= WRONG_YES
    assert found.wrong_no == {}


def test_variants_with_constants_or_symbolic_sizes():
    found = compare(onnx_models.variants())
    assert found.asked > 3000 and found.accepted > 1500
    assert len(found.wrong_yes) <= 0.01 * found.accepted, found.wrong_yes
    assert found.wrong_no == {}


def test_the_builders_answers_to_the_rules_cases():
    answers = ask_parser([model.SerializeToString() for model, _ in CASES.values()], "86")
    assert all(answer["parsed"] for answer in answers)
    assert {name: answer["built"] for name, answer in zip(CASES, answers)} == {
        name: builds for name, (_, builds) in CASES.items()}


# TensorScatter of constants, which no rule tells from one of inputs. With symbolic sizes, what only the sizes of a run
# decide: heads of 8, K and V of unequal sizes, nonpad_kv_seqlen with several steps, several matrices.
UNBUILT_YES = {"constants/test_tensorscatter", *(f"symbolic/test_{name}" for name in (
    "attention_3d_causal_bf16", "attention_3d_diff_heads_sizes", "attention_3d_diff_heads_sizes_scaled",
    "attention_4d_causal_bf16", "attention_4d_causal_fp16", "attention_4d_causal_nonpad_batch_prefill",
    "attention_4d_causal_nonpad_continued_prefill", "attention_4d_causal_nonpad_negative_offset_structural_empty",
    "attention_4d_diff_heads_mask4d_padded_kv", "attention_4d_fp16", "attention_4d_padded_kv_bf16", "matmul_1d_3d"))}


@pytest.mark.parametrize("models", sweep(["published", "constants", "symbolic"], always=[]))
def test_the_builder_on_every_model_that_the_parser_takes(models):
    made = onnx_models.published() if models == "published" else {
        name: model for name, model in onnx_models.variants().items() if name.startswith(models)}
    wrong_yes, wrong_no, asked = compare_builder(made, "86")
    assert asked > 700
    assert set(wrong_yes) <= UNBUILT_YES
    assert wrong_no == {}
