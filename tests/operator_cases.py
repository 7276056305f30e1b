"""Every operator of a lowered module with inputs that show what it means."""
import torch

from edgenext_deploy.export.lowering import elementwise_ops, norms, ops, shape_ops
from edgenext_deploy.targets import TARGETS

OPSETS = sorted({(target.opset, target.ir_version) for target in TARGETS.values()})
GENERATOR = torch.Generator().manual_seed(0)


def random(*shape):
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float64)


def scaled(norm, scale):
    norm.scale = scale
    return norm


CASES = {
    "conv": (ops.Conv(random(6, 2, 3, 3), random(6), stride=2, padding=1, groups=2), [(2, 4, 8, 8)]),
    "conv_without_bias": (ops.Conv(random(6, 4, 1, 1), None), [(2, 4, 8, 8)]),
    "conv_dilated": (ops.Conv(random(4, 4, 3, 3), random(4), padding=2, dilation=2), [(1, 4, 8, 8)]),
    "pad": (shape_ops.Pad(4), [(1, 3, 8, 8)]),
    "gemm": (ops.Gemm(random(5, 7), random(5)), [(3, 7)]),
    "normalise_map": (norms.Normalise((1,), 1e-6, torch.ones(7, dtype=torch.float64)), [(2, 7, 4, 5)]),
    "normalise_map_affine": (norms.Normalise((1,), 1e-6, random(7), random(7)), [(2, 7, 4, 5)]),
    "normalise_map_scale_only": (norms.Normalise((1,), 1e-6, random(7)), [(2, 7, 4, 5)]),
    "normalise_image": (norms.Normalise((1, 2, 3), 1e-5, torch.ones(7, dtype=torch.float64)), [(2, 7, 4, 5)]),
    "normalise_image_affine": (norms.Normalise((1, 2, 3), 1e-5, random(7), random(7)), [(2, 7, 4, 5)]),
    "normalise_tokens": (norms.Normalise((-1,), 1e-5, torch.ones(7, dtype=torch.float64)), [(6, 7)]),
    "normalise_tokens_affine": (norms.Normalise((-1,), 1e-5, random(7), random(7)), [(6, 7)]),
    "normalise_columns": (norms.Normalise((1,), 1e-6, random(7), random(7), spatial=1), [(2, 7, 20)]),
    "normalise_primitives": (norms.Normalise((-1,), 1e-5, random(7), form="primitives"), [(6, 7)]),
    "normalise_one_pass": (norms.Normalise((1,), 1e-6, random(7), random(7), form="onepass"), [(2, 7, 4, 5)]),
    "normalise_instances": (norms.Normalise((-1,), 1e-5, random(7), random(7), form="instance"), [(6, 7)]),
    "normalise_instances_plain": (
        norms.Normalise((-1,), 1e-5, torch.ones(7, dtype=torch.float64), form="instance"), [(6, 7)]),
    "normalise_scaled": (scaled(norms.ScaledNormalise((1,), 1e-6, random(7), random(7)), 8.0), [(2, 7, 4, 5)]),
    "normalise_scaled_small": (scaled(norms.ScaledNormalise((-1,), 1e-6, random(7)), 2.0**-6), [(6, 7)]),
    "deviation": (norms.Deviation(1e-6), [(2, 7, 4, 5)]),
    "deviation_fp16": (scaled(norms.Deviation(1e-6, fp16=True), 2.0**-6), [(2, 7, 4, 5)]),
    "l2_normalise": (norms.L2Normalise(), [(2, 4, 3, 9)]),
    "l2_normalise_fp16": (norms.L2Normalise(fp16=True), [(2, 4, 3, 9)]),
    "inverse_norm": (norms.InverseNorm(random(4, 1, 1)), [(2, 4, 3, 9)]),
    "gelu": (elementwise_ops.Gelu(), [(2, 30)]),
    "hard_swish": (elementwise_ops.HardSwish(), [(2, 30)]),
    "silu": (elementwise_ops.Silu(), [(2, 30)]),
    "softmax": (ops.Softmax(axis=3), [(2, 2, 3, 4)]),
    "softmax_middle_axis": (ops.Softmax(axis=2), [(2, 2, 3, 4)]),
    "matmul": (ops.MatMul(), [(2, 3, 4), (2, 4, 5)]),
    "matmul_constant_left": (ops.MatMulConstant(random(6, 3), left=True), [(1, 2, 3, 4)]),
    "matmul_constant_right": (ops.MatMulConstant(random(4, 6), left=False), [(1, 2, 3, 4)]),
    "add": (elementwise_ops.Add(), [(2, 3), (2, 3)]),
    "add_broadcast": (elementwise_ops.Add(), [(2, 3, 4, 4), (2, 3, 1, 1)]),
    "divide_broadcast": (elementwise_ops.Divide(), [(2, 3, 4, 4), (1, 1, 1, 1)]),
    "subtract": (elementwise_ops.Subtract(), [(2, 3), (2, 3)]),
    "multiply_broadcast": (elementwise_ops.Multiply(), [(2, 3, 4, 5), (2, 1, 4, 5)]),
    "sum_last": (shape_ops.SumLast(), [(2, 3, 4, 5)]),
    "relu": (elementwise_ops.Relu(), [(2, 30)]),
    "sigmoid": (elementwise_ops.Sigmoid("a test"), [(2, 30)]),
    "to_float": (elementwise_ops.ToFloat(), [(2, 30)]),
    "exp": (elementwise_ops.Exp("a test"), [(2, 30)]),
    "slice": (shape_ops.Slice(1, 5, axis=2), [(2, 3, 5)]),
    "concat_rows": (shape_ops.Concat(axis=2), [(1, 2, 3), (1, 2, 4)]),
    "split_rows": (shape_ops.Split([4, 3], axis=2), [(1, 2, 7)]),
    "resize": (shape_ops.ResizeBilinear(1, 2, 40, 56), [(1, 2, 3, 4)]),
    "resize_by_an_odd_factor": (shape_ops.ResizeBilinear(1, 2, 512, 96), [(1, 2, 33, 7)]),
    "arg_max": (shape_ops.ArgMax(), [(2, 5, 3, 4)]),
    "add_constant": (elementwise_ops.AddConstant(random(1, 3, 1, 1)), [(2, 3, 4, 4)]),
    "multiply_constant": (elementwise_ops.MultiplyConstant(random(3, 1, 1)), [(2, 3, 4, 4)]),
    "split": (shape_ops.Split([2, 5, 1]), [(1, 8, 3, 3)]),
    "concat": (shape_ops.Concat(), [(1, 2, 3, 3), (1, 4, 3, 3)]),
    "reshape": (shape_ops.Reshape(2, 12), [(2, 3, 4)]),
    "transpose": (shape_ops.Transpose(0, 2, 1), [(2, 3, 4)]),
    "global_mean": (shape_ops.GlobalMean(), [(2, 3, 4, 5)]),
}


class Unary(torch.nn.Module):
    def __init__(self, op):
        super().__init__()
        self.op = op

    def forward(self, a):
        return self.op(a)


class Binary(Unary):
    def forward(self, a, b):
        return self.op(a, b)


def module_of(op, arity):
    return (Unary, Binary)[arity - 1](op)


def kind_of(value):
    return "float32" if value.is_floating_point() else "int32"
