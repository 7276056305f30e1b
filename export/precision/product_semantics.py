"""Operators that multiply and add: each becomes one product of the arithmetic, so that its sums round as that says."""
import math

import torch.nn.functional as F
from torch import Tensor

from edgenext_deploy.export.precision import shape_semantics as shapes
from edgenext_deploy.export.precision.arithmetic import Float32
from edgenext_deploy.export.precision.steps import Operands, Step, refusal


def conv(a: Float32, step: Step, x: Operands) -> Tensor:
    """2-D convolution."""
    if step.get("auto_pad", b"NOTSET") != b"NOTSET" or x[1].dim() != 4:
        raise refusal(step, "a convolution other than 2-D with written-out padding")
    top, left, bottom, right = step.get("pads", [0] * 4)
    padded = F.pad(x[0], [left, right, top, bottom]) if top or left or bottom or right else x[0]
    return a.conv(padded, x[1], x[2] if len(x) > 2 else None, list(step.get("strides", [1, 1])),
                  list(step.get("dilations", [1, 1])), step.get("group", 1))


def gemm(a: Float32, step: Step, x: Operands) -> Tensor:
    """Matrix product with a bias."""
    if step.get("alpha", 1.0) != 1.0 or step.get("beta", 1.0) != 1.0:
        raise refusal(step, "Gemm with alpha or beta")
    left = x[0].T if step.get("transA", 0) else x[0]
    right = x[1].T if step.get("transB", 0) else x[1]
    return a.matmul(left, right, x[2] if len(x) > 2 else None)


def transposed_convolution(a: Float32, step: Step, x: Operands) -> Tensor:
    """A convolution of the map with zeros between its elements, by the kernel turned round."""
    if step.get("auto_pad", b"NOTSET") != b"NOTSET" or x[1].dim() != 4 or "output_shape" in step.attributes:
        raise refusal(step, "a transposed convolution other than 2-D with written-out padding")
    groups, strides, dilations = step.get("group", 1), step.get("strides", [1, 1]), step.get("dilations", [1, 1])
    pads, extra = step.get("pads", [0] * 4), step.get("output_padding", [0, 0])
    channels, per_group, *kernel = x[1].shape
    weight = x[1].reshape(groups, channels // groups, per_group, *kernel).transpose(1, 2).flip(-2, -1)
    spread = shapes.spread(x[0], strides)
    reach = [distance * (length - 1) for distance, length in zip(dilations, kernel)]
    border = [side for axis in (1, 0)
              for side in (reach[axis] - pads[axis], reach[axis] - pads[axis + 2] + extra[axis])]
    return a.conv(F.pad(spread, border), weight.reshape(groups * per_group, channels // groups, *kernel),
                  x[2] if len(x) > 2 else None, [1, 1], list(dilations), groups)


def einsum(a: Float32, step: Step, x: Operands) -> Tensor:
    """Two operands become one matrix product: common letters that stay are its batch, those that go are summed."""
    text = step.get("equation").decode().replace(" ", "")
    terms, arrow, given = text.partition("->")
    left, _, right = terms.partition(",")
    if not arrow:
        given = "".join(sorted(letter for letter in set(terms) - {","} if terms.count(letter) == 1))
    simple = len(x) == 2 and "." not in text and len(set(left)) == len(left) and len(set(right)) == len(right)
    if not simple or set(left) ^ set(right) != set(given) - (set(left) & set(right)):
        raise refusal(step, f"Einsum {text}")
    batch = [letter for letter in given if letter in left and letter in right]
    summed = [letter for letter in left if letter in right and letter not in given]
    rows, columns = [letter for letter in left if letter not in right], [
        letter for letter in right if letter not in left]
    sizes = {**dict(zip(left, x[0].shape)), **dict(zip(right, x[1].shape))}

    def arranged(value: Tensor, term: str, *groups: list[str]) -> Tensor:
        order = [letter for group in groups for letter in group]
        moved = value.permute([term.index(letter) for letter in order])
        return moved.reshape([math.prod(sizes[letter] for letter in group) for group in groups])

    product = a.matmul(arranged(x[0], left, batch, rows, summed), arranged(x[1], right, batch, summed, columns))
    order = [*batch, *rows, *columns]
    return product.reshape([sizes[letter] for letter in order]).permute([order.index(letter) for letter in given])
