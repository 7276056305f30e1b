"""Multiply-adds of a node, counted by hand."""
import pytest

from edgenext_deploy.node_work import multiply_adds, product


@pytest.mark.parametrize("operator, inputs, output, attributes, expected", [
    ("Conv", [(1, 8, 6, 6), (4, 8, 3, 3)], (1, 4, 2, 5), {}, 4 * 2 * 5 * 8 * 9),
    ("Conv", [(2, 8, 6, 6), (8, 1, 3, 3)], (2, 8, 6, 6), {}, 2 * 8 * 36 * 9),  # depthwise
    ("Gemm", [(7, 3), (5, 3)], (7, 5), {}, 7 * 5 * 3),
    ("Gemm", [(3, 7), (5, 3)], (7, 5), {"transA": 1}, 7 * 5 * 3),
    ("MatMul", [(2, 4, 6, 3), (2, 4, 3, 5)], (2, 4, 6, 5), {}, 2 * 4 * 6 * 5 * 3),
    ("MatMul", [(6, 3), (2, 3, 5)], (2, 6, 5), {}, 2 * 6 * 5 * 3),
    ("ConvTranspose", [(1, 8, 5, 6), (8, 4, 2, 3)], (1, 4, 10, 18), {}, 8 * 5 * 6 * 4 * 2 * 3),
    ("ConvTranspose", [(1, 8, 5, 6), (8, 2, 2, 2)], (1, 8, 10, 12), {"group": 4}, 8 * 5 * 6 * 2 * 2 * 2),
    ("LSTM", [(9, 2, 5), (2, 4 * 3, 5), (2, 4 * 3, 3), (), (), ()], (9, 2, 2, 3), {}, 9 * 2 * 2 * 12 * (5 + 3)),
    ("GRU", [(9, 2, 5), (1, 3 * 4, 5), (1, 3 * 4, 4)], (9, 1, 2, 4), {}, 9 * 2 * 12 * (5 + 4)),
    ("Einsum", [(2, 6, 3), (2, 3, 5)], (2, 6, 5), {"equation": b"bik, bkj->bij"}, 2 * 6 * 3 * 5),
    ("Einsum", [(4, 2, 6, 3), (3, 5)], (4, 2, 6, 5), {"equation": "...k,kj->...j"}, 4 * 2 * 6 * 3 * 5),
    ("Einsum", [(6, 3), (3, 5), (5, 2)], (6, 2), {"equation": "ab,bc,cd"}, 2 * 6 * 3 * 5 * 2),
    ("Einsum", [(6, 3)], (3, 6), {"equation": "ab->ba"}, 0),
    ("Softmax", [(7, 3)], (7, 3), {}, 0)])
def test_counted_by_hand(operator, inputs, output, attributes, expected):
    assert multiply_adds(operator, inputs, output, attributes) == expected


def test_products():
    assert product(()) == 1 and product([2, 3, 4]) == 24
