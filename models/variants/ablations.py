"""The ablations of the paper's Tables 7 to 10: what each changes in the config of EdgeNeXt-S.

`s` itself is a row of all four tables. What a table leaves open is said in `docs/ablations.md`.
"""
from typing import Any

_NO_POSITION = (False, False, False, False)
_SEVEN = (7, 7, 7, 7)

ABLATIONS: dict[str, tuple[dict[str, Any], str]] = {
    "s_no_sdta": ({"sdta_blocks": (0, 0, 0, 0)}, "Table 7, w/o SDTA encoders; Table 9, row 1"),
    "s_no_sdta_k7": (
        {"sdta_blocks": (0, 0, 0, 0), "kernel_sizes": _SEVEN}, "Table 7, + w/o adaptive kernels: 7x7 in all stages"),
    "s_k7": ({"kernel_sizes": _SEVEN}, "7x7 in all stages, with SDTA; not in the paper"),
    "s_no_branching": (
        {"branching": False}, "Table 7, w/o adaptive branching: one 3x3 depthwise convolution"),
    "s_no_branching_k579": (
        {"branching": False, "sdta_kernels": (3, 5, 7, 9)},
        "as s_no_branching, its kernel that of the stage; the paper does not say which"),
    "s_no_branching_no_pe": (
        {"branching": False, "position": _NO_POSITION}, "Table 7, + w/o PE, on top of w/o adaptive branching"),
    "s_no_pe": ({"position": _NO_POSITION}, "w/o position code alone; not in the paper"),
    "s_sdta_0003": ({"sdta_blocks": (0, 0, 0, 3)}, "Table 8, row 1"),
    "s_sdta_0093": ({"sdta_blocks": (0, 0, 9, 3)}, "Table 8, row 2"),
    "s_sdta_0001": ({"sdta_blocks": (0, 0, 0, 1)}, "Table 9, row 2"),
    "s_sdta_0011": ({"sdta_blocks": (0, 0, 1, 1)}, "Table 9, row 3"),
    "s_sdta_1111": ({"sdta_blocks": (1, 1, 1, 1)}, "Table 9, row 5"),
    "s_sdta_first": ({"sdta_first": True}, "Table 10, SDTA at the start of each stage"),
}
