"""Multiply-adds of a node, counted by hand."""
import pytest

from edgenext_deploy.node_work import multiply_adds, product


@pytest.mark.parametrize("operator, inputs, output, transposed, expected", [
    ("Conv", [(1, 8, 6, 6), (4, 8, 3, 3)], (1, 4, 2, 5), False, 4 * 2 * 5 * 8 * 9),
    ("Conv", [(2, 8, 6, 6), (8, 1, 3, 3)], (2, 8, 6, 6), False, 2 * 8 * 36 * 9),  # depthwise
    ("Gemm", [(7, 3), (5, 3)], (7, 5), False, 7 * 5 * 3),
    ("Gemm", [(3, 7), (5, 3)], (7, 5), True, 7 * 5 * 3),
    ("MatMul", [(2, 4, 6, 3), (2, 4, 3, 5)], (2, 4, 6, 5), False, 2 * 4 * 6 * 5 * 3),
    ("MatMul", [(6, 3), (2, 3, 5)], (2, 6, 5), False, 2 * 6 * 5 * 3),
    ("Softmax", [(7, 3)], (7, 3), False, 0)])
def test_counted_by_hand(operator, inputs, output, transposed, expected):
    assert multiply_adds(operator, inputs, output, transposed) == expected


def test_products():
    assert product(()) == 1 and product([2, 3, 4]) == 24
