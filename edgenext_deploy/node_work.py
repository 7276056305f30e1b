"""The multiply-adds of an ONNX node, from its shapes; neither onnx nor a runtime is needed."""
from functools import reduce
from operator import mul
from typing import Any, Callable, Dict, Iterable, Mapping, Sequence

Shape = Sequence[int]


def product(sizes: Iterable[int]) -> int:
    """Return the product of integers, 1 for none: `math.prod` for Python 3.6 too."""
    return reduce(mul, sizes, 1)


def multiply_adds(
    operator: str, inputs: Sequence[Shape], output: Shape, attributes: Mapping[str, Any]
) -> int:
    """Return the multiply-adds of one node, 0 for operators outside `COUNTED`. Biases count nothing.

    Args:
        operator: ONNX operator type.
        inputs: shapes of its inputs; a convolution's weight is `[out, in / groups, k, k]`.
        output: shape of its first output.
        attributes: of the node; text may be bytes.
    """
    count = _COUNTS.get(operator)
    return 0 if count is None else count(inputs, output, attributes)


def _convolution(inputs: Sequence[Shape], output: Shape, attributes: Mapping[str, Any]) -> int:
    return product(output) * product(inputs[1][1:])


def _transposed_convolution(inputs: Sequence[Shape], output: Shape, attributes: Mapping[str, Any]) -> int:
    """Each input element meets one kernel for each output channel of its group: `[in, out / groups, k, k]`."""
    return product(inputs[0]) * product(inputs[1][1:])


def _matrix_product(inputs: Sequence[Shape], output: Shape, attributes: Mapping[str, Any]) -> int:
    return product(output) * inputs[0][-2 if attributes.get("transA") else -1]


def _einsum(inputs: Sequence[Shape], output: Shape, attributes: Mapping[str, Any]) -> int:
    """Count as one product over all letters for each operand after the first; without an ellipsis' axes before them."""
    equation = attributes["equation"]
    text = (equation.decode() if isinstance(equation, bytes) else str(equation)).replace(" ", "")
    sizes: Dict[str, int] = {}
    for term, shape in zip(text.split("->")[0].split(","), inputs):
        before, dots, behind = term.partition("...")
        named = len(before) + len(behind)
        for letter, size in (*zip(before, shape), *zip(reversed(behind), reversed(shape))):
            sizes[letter] = max(size, sizes.get(letter, 1))
        if dots:
            middle = shape[len(before):len(shape) - len(behind)] if named <= len(shape) else ()
            for place, size in enumerate(reversed(middle)):
                sizes["." + str(place)] = max(size, sizes.get("." + str(place), 1))
    return product(sizes.values()) * (len(inputs) - 1)


def _recurrent(inputs: Sequence[Shape], output: Shape, attributes: Mapping[str, Any]) -> int:
    """Every step of every sequence meets both weights: the input's and the recurrent one."""
    return product(inputs[0][:2]) * (product(inputs[1]) + product(inputs[2]))


_COUNTS: Dict[str, Callable[[Sequence[Shape], Shape, Mapping[str, Any]], int]] = {
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "Einsum": _einsum,
    "GRU": _recurrent,
    "Gemm": _matrix_product,
    "LSTM": _recurrent,
    "MatMul": _matrix_product,
    "RNN": _recurrent,
}
# Of the counted ones, those that run step by step, each waiting for the one before.
RECURRENT = ("GRU", "LSTM", "RNN")
# Operators whose arithmetic is counted, as in every published figure; the others move data or do a few operations
# for each element.
COUNTED = tuple(_COUNTS)
