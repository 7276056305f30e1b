"""The verdict for ``rtx-1.7`` against NVIDIA's own parser, on the models in the onnx package and their variants."""
import importlib.util

import pytest

onnx = pytest.importorskip("onnx")

import onnx_models  # noqa: E402
from parser_matrix import compare  # noqa: E402

pytestmark = [pytest.mark.real, pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx is not installed")]

# Why each is there: Split of affine grids whose sizes are values; ranges as loops, in floating point.
WRONG_YES = {
    "node/test_affine_grid_3d_expanded", "node/test_affine_grid_3d_align_corners_expanded",
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
