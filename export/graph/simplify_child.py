"""Child process of `simplify`: read an ONNX file, simplify it, write the result. Run by path."""
import sys
from typing import Any

# Passes that would undo a choice of the lowering: they merge the explicit Pad, turn pointwise layers into
# Reshape, Gemm, Reshape, break up the GELU that parsers know as one pattern, or write operators that the
# target's opset lacks. Constant folding and the removal of what does nothing stay.
_SKIPPED = [
    "fuse_pad_into_conv", "fuse_pad_into_pool", "fuse_matmul_add_bias_into_gemm",
    "fuse_matmul_add_bias_into_gemm_batched", "fuse_matmul_into_conv", "fuse_mul_into_conv",
    "fuse_preceding_mul_into_conv", "fuse_reduce_sum_into_conv", "fuse_transpose_into_gemm", "fuse_attention",
    "fuse_qkv", "fuse_gqa", "fuse_gelu", "fuse_layer_norm", "fuse_rms_norm", "fuse_lp_normalization",
]


def simplified(model: Any) -> Any:
    """Return an ``onnx.ModelProto`` simplified."""
    import onnxsim

    result, _ = onnxsim.simplify(model, skipped_optimizers=_SKIPPED)
    # Shapes of the values in between: anyone can infer them again, and they are not the same in every release.
    del result.graph.value_info[:]
    return result


def main(source: str, destination: str) -> None:
    """Simplify `source` into `destination`."""
    # onnxsim imports these if they are there, for other uses than this one: two thirds of the process's time.
    for name in ("torch", "sympy"):
        sys.modules[name] = None  # type: ignore[assignment]
    import onnx

    result = simplified(onnx.load(source, load_external_data=False))
    with open(destination, "wb") as stream:
        stream.write(result.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
