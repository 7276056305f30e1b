"""The screen at the end of an export for a race."""
import shlex
from pathlib import Path

from edgenext_deploy.export.race_export import RaceExport
from edgenext_deploy.targets import get_target


def race_lines(written: RaceExport) -> list[str]:
    """Return what was bundled, what was not, and the next commands."""
    first = next(iter(written.manifests.values()))
    title = f"{first.variant} for {first.target}, {first.precision.requested.upper()}"
    lines = [f"{title}, {len(written.manifests)} formulations"]
    width = max(map(len, written.manifests))
    for name, found in written.manifests.items():
        pins = sum(map(len, found.precision.fp32_pins.values()))
        lines.append(f"  {name:<{width}}  {found.lowering['nodes']:4d} nodes, {pins:3d} FP32 pins, "
                     f"{found.precision.casts:3d} Casts, parity {found.parity.max_relative_error:.1g}")
    lines += [f"  left out: {name}: {reason}" for name, reason in written.left_out.items()]
    largest = max(found.graph.bytes for found in written.manifests.values())
    lines.append(f"bundle  {written.path}  {written.bytes / 2**20:.2f} MiB, {written.bytes / largest:.2f} times its "
                 "largest graph")
    lines += [f"warning: {warning}" for warning in written.warnings]
    quoted = shlex.quote(written.path)
    lines += ["next:", f"  edgenext-bench race {quoted}"]
    if get_target(first.target).tensorrt:
        lines += [f"  scp {quoted} DEVICE:", f"  edgenext-build {shlex.quote(Path(written.path).name)}        # there"]
    return lines
