"""What a build is asked for, and what it gives; these records pass between the processes that take part in it."""
from typing import NamedTuple, Optional, Tuple

from edgenext_deploy.engines.precision.pins import PinReport
from edgenext_deploy.engines.precision.proof import Proof


class BuildRequest(NamedTuple):
    """One build.

    Attributes:
        onnx_path: the graph, with its manifest next to it.
        runtime: Python module that builds: ``tensorrt`` or ``tensorrt_rtx``.
        target: name of the target, for advice.
        precision: ``fp16`` or ``fp32``; None for what the manifest was exported for.
        compute_capability: GPU generation to build for, where the runtime builds ahead.
        workspace_bytes: most scratch memory of a kernel.
        timing_cache: path of the timing cache, None for none.
        optimization_level: 0 to 5, None for TensorRT's default.
        drop_cublas: leave cuBLAS out, which saves memory on small boards.
    """

    onnx_path: str
    runtime: str
    target: str
    precision: Optional[str]
    compute_capability: Optional[str]
    workspace_bytes: int
    timing_cache: Optional[str] = None
    optimization_level: Optional[int] = None
    drop_cublas: bool = False


class BuildReport(NamedTuple):
    """How a plan was built.

    Attributes:
        runtime: ``tensorrt`` or ``tensorrt_rtx``.
        version: version of the runtime.
        precision: ``fp16`` or ``fp32``.
        mode: ``flag``, ``typed`` or ``fp32``.
        flags: builder flags that were set.
        compute_capability: GPU generation that the builder was told to build for; None where it builds for this GPU.
        workspace_bytes: most scratch memory of a kernel.
        optimization_level: 0 to 5, None for TensorRT's default.
        dropped_tactics: sources of kernels that were left out.
        build_s: seconds of the build alone.
        timing_cache: path of the timing cache, None for none.
        timing_cache_use: ``none``, ``new``, ``extended`` or ``reused`` (every time was found in it).
        network_layers: layers of the parsed network, before fusion.
        pins: which of the manifest's FP32 pins took effect; empty except in flag mode.
        proof: the precision of what was built.
        plan_bytes: size of the plan.
        warnings: what the user should know.
    """

    runtime: str
    version: str
    precision: str
    mode: str
    flags: Tuple[str, ...]
    compute_capability: Optional[str]
    workspace_bytes: int
    optimization_level: Optional[int]
    dropped_tactics: Tuple[str, ...]
    build_s: float
    timing_cache: Optional[str]
    timing_cache_use: str
    network_layers: int
    pins: PinReport
    proof: Proof
    plan_bytes: int
    warnings: Tuple[str, ...]


class BuildResult(NamedTuple):
    """A plan, still in memory, and how it was built."""

    plan: bytes
    report: BuildReport
