"""The multiply-adds of an ONNX node, from its shapes; neither onnx nor a runtime is needed."""
from functools import reduce
from operator import mul
from typing import Iterable, Sequence

# Operators whose arithmetic is counted, as in every published figure; the others move data or do a few operations
# for each element.
COUNTED = ("Conv", "Gemm", "MatMul")


def product(sizes: Iterable[int]) -> int:
    """Return the product of integers, 1 for none: `math.prod` for Python 3.6 too."""
    return reduce(mul, sizes, 1)


def multiply_adds(
    operator: str, inputs: Sequence[Sequence[int]], output: Sequence[int], transposed: bool = False
) -> int:
    """Return the multiply-adds of one node, 0 for operators outside `COUNTED`. Biases count nothing.

    Args:
        operator: ONNX operator type.
        inputs: shapes of its first two inputs; a convolution's weight is `[out, in / groups, k, k]`.
        output: shape of its output.
        transposed: a Gemm's `transA`.
    """
    if operator not in COUNTED:
        return 0
    inner = product(inputs[1][1:]) if operator == "Conv" else inputs[0][-2 if transposed else -1]
    return product(output) * inner
