"""How much scratch memory the builder may give a kernel, and whether the board has enough for the build itself.

TensorRT 8.2's own default is 0 bytes: kernels that need scratch memory are then silently left out.
"""
from typing import Optional, Tuple

from edgenext_deploy.machine.facts import SWAP_ADVICE, Memory

MIB = 1 << 20
# A quarter of what is free leaves room for the builder, cuDNN and cuBLAS, which took 650 MB to load on a Nano
# (wang-xinyu/tensorrtx issue 1160). trtexec of 8.2 asks for 16 MiB; EdgeNeXt's layers need far less than the most.
_SHARE = 4
_LEAST_BYTES, _MOST_BYTES = 32 * MIB, 256 * MIB
_OWN_MEMORY_BYTES = 1024 * MIB
_COMFORTABLE_BYTES = 1536 * MIB


def choose_workspace(shared_memory: bool, memory: Optional[Memory]) -> Tuple[int, Optional[str]]:
    """Return the workspace in bytes, and a warning if the build may run out of memory.

    Args:
        shared_memory: GPU and CPU share the DRAM.
        memory: what is free now, None if unknown.
    """
    if not shared_memory:
        return _OWN_MEMORY_BYTES, None
    if memory is None:
        return _LEAST_BYTES, None
    share = memory.available_bytes // _SHARE // MIB * MIB
    workspace = max(_LEAST_BYTES, min(_MOST_BYTES, share))
    free = memory.available_bytes + memory.swap_free_bytes
    if free >= _COMFORTABLE_BYTES:
        return workspace, None
    return workspace, "only {} MiB of memory and {} MiB of swap are free, and the build may be killed; {}".format(
        memory.available_bytes // MIB, memory.swap_free_bytes // MIB, SWAP_ADVICE)
